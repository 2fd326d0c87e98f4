"""The 26th place's network against Hugging Face's Llama; length, frames to come."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from src.models.llama import Attention, Llama
from tests.models.conftest import CLOSE, LAYOUT, MASK, SIGNS, features, randomised
from tests.models.conftest import LLAMA as CONFIG

FORESEEING = replace(CONFIG, next_frame_share=0.4, next_frame_ahead=2)


def build(config=CONFIG) -> Llama:
    """A network in evaluation mode; all of it is random."""
    return randomised(Llama(config, LAYOUT, SIGNS)).eval()


@pytest.fixture
def net() -> Llama:
    return build()


@pytest.fixture
def frames() -> Tensor:
    """(5, 12, L, 2), 0 = missing or padded."""
    return features(len(LAYOUT), 2)


# --- against Hugging Face -----------------------------------------------------------------------


def split_pairs(weight: Tensor, heads: int) -> Tensor:
    """Rows of a projection from neighbours as rotary pairs (ours) to halves (theirs)."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def as_hugging_face(net: Llama) -> LlamaModel:
    """Their Llama with the layers and the last norm of ours."""
    config = net.config
    theirs = LlamaModel(
        LlamaConfig(
            vocab_size=1,
            hidden_size=config.width,
            intermediate_size=config.hidden,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            rms_norm_eps=1e-5,
            attention_bias=True,  # for the output; the others' biases are 0
            attn_implementation="eager",
        )
    )
    state = {"norm.weight": net.norm.weight, "embed_tokens.weight": torch.zeros(1, config.width)}
    for number, layer in enumerate(net.layers):
        q, k, v = layer.attention.qkv.weight.chunk(3)
        gate, up = layer.mlp.gated.weight.chunk(2)
        own = {
            "self_attn.q_proj.weight": split_pairs(q, config.heads),
            "self_attn.k_proj.weight": split_pairs(k, config.heads),
            "self_attn.v_proj.weight": v,
            "self_attn.o_proj.weight": layer.attention.out.weight,
            "self_attn.o_proj.bias": layer.attention.out.bias,
            **{f"self_attn.{x}_proj.bias": torch.zeros(config.width) for x in "qkv"},
            "mlp.gate_proj.weight": gate,
            "mlp.up_proj.weight": up,
            "mlp.down_proj.weight": layer.mlp.out.weight,
            "input_layernorm.weight": layer.attention_norm.weight,
            "post_attention_layernorm.weight": layer.mlp_norm.weight,
        }
        state |= {f"layers.{number}.{name}": value for name, value in own.items()}
    theirs.load_state_dict({name: value.detach() for name, value in state.items()})
    return theirs.eval()


def run_both(net: Llama, tokens: Tensor, sees: Tensor) -> tuple[Tensor, Tensor]:
    """The last hidden states of both; `sees` (5, 1, 13, 13) is True where a query sees a key."""
    ours = tokens
    for layer in net.layers:
        ours = layer(ours, sees)
    theirs = as_hugging_face(net)(
        # In this form a mask is taken as it is and not made causal.
        inputs_embeds=tokens,
        attention_mask=torch.where(sees, 0.0, torch.finfo(torch.float32).min),
    )
    return net.norm(ours), theirs.last_hidden_state


SEES = {
    "every token": torch.ones(5, 1, 13, 13, dtype=torch.bool),
    "real tokens": F.pad(MASK, (1, 0), value=True)[:, None, None].expand(-1, -1, 13, -1),
    "earlier tokens": torch.ones(13, 13, dtype=torch.bool).tril().expand(5, 1, -1, -1),
}


@pytest.mark.parametrize("sees", SEES.values(), ids=SEES)
def test_layers_are_hugging_faces_and_so_are_their_gradients(net, sees):
    tokens = torch.randn(5, 13, CONFIG.width, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(tokens.shape, generator=torch.Generator().manual_seed(2))
    ours, theirs = run_both(net, tokens.requires_grad_(), sees)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    gradients = (torch.autograd.grad((out * weight).sum(), tokens)[0] for out in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_logits_are_those_of_hugging_faces_class_token(net, frames, mask):
    """Though in the last layer it is the only query."""
    embedded = net.frame_norm(net.frames(frames.flatten(-2)), mask) + net.positions
    tokens = torch.cat([net.token.expand(5, 1, -1), embedded], 1)
    _, theirs = run_both(net, tokens, SEES["real tokens"])
    out = net(frames, mask)
    torch.testing.assert_close(out["pooled"], theirs[:, 0], **CLOSE)
    expected = F.batch_norm(
        theirs[:, 0], net.token_norm.running_mean, net.token_norm.running_var,
        net.token_norm.weight, net.token_norm.bias,
    )  # fmt: skip
    torch.testing.assert_close(out["logits"], net.classifier(expected), **CLOSE)


def test_attention_drops_out_in_training_only():
    """The authors' fused call dropped out in validation too (recognition.md 2.4)."""
    attention, x = Attention(replace(CONFIG, dropout=0.5)).eval(), features(CONFIG.width)
    assert torch.equal(attention(x, None, None), attention(x, None, None))
    attention.train()
    assert not torch.equal(attention(x, None, None), attention(x, None, None))


def test_of_a_longer_clip_the_first_frames_are_read(net, frames):
    longer = torch.cat([frames, torch.randn(5, 9, *frames.shape[2:])], 1)
    expected = net(frames)["logits"]
    assert torch.equal(net(longer)["logits"], expected)
    everything = torch.ones(longer.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(net(longer, everything)["logits"], expected, **CLOSE)


# --- frames to come -----------------------------------------------------------------------------


def test_predicting_frames_changes_nothing_about_the_signs(frames, mask):
    plain, foreseeing = build().train(), build(FORESEEING).train()
    foreseeing.load_state_dict(plain.state_dict(), strict=False)
    expected, ours = plain(frames, mask), foreseeing(frames, mask)
    assert expected.keys() == {"logits", "pooled"}
    torch.testing.assert_close(ours["logits"], expected["logits"], **CLOSE)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(foreseeing.get_buffer(name), buffer)
    assert foreseeing.eval()(frames, mask).keys() == {"logits", "pooled"}


def test_a_share_of_the_clips_predicts_and_the_truth_is_later_frames(frames, mask):
    out = build(FORESEEING).train()(frames, mask)
    assert len(out["next_frame"]) == 2  # 0.4 of 5
    # Not the first two, which are the shortest clips of a batch that is sorted by length.
    true, real = frames[[0, 2]], mask[[0, 2]]
    assert torch.equal(out["next_frame_true"], true[:, 2:])
    known = out["next_frame_mask"]
    assert torch.equal(known, (true[:, 2:] != 0).any(-1) & (real[:, :-2] & real[:, 2:])[..., None])
    assert known[0].any() and known[1].any()


def test_a_prediction_depends_on_the_past_alone(frames, mask):
    net = build(FORESEEING)
    frames.requires_grad_()
    embedded = net.frame_norm(net.frames(frames.flatten(-2)), mask) + net.positions
    predicted = net._next_frames(embedded, frames, mask)["next_frame"]
    for t in (0, 4, 9):
        (gradient,) = torch.autograd.grad(
            predicted[0, t].sum(), frames, retain_graph=True, materialize_grads=True
        )
        reached = (gradient[0] != 0).flatten(1).any(1)
        assert reached.tolist() == [s <= t for s in range(12)]


def test_padding_takes_no_part_in_a_prediction(frames, mask):
    config = replace(FORESEEING, next_frame_share=1.0)
    out = build(config).train()(frames, mask)
    assert all(value.isfinite().all() for value in out.values())
    other = build(config).train()(torch.where(mask[..., None, None], frames, 1e6), mask)
    known = out["next_frame_mask"]
    assert torch.equal(other["next_frame_mask"], known)
    torch.testing.assert_close(other["next_frame"][known], out["next_frame"][known], **CLOSE)
