"""The 26th place's network: sizes, Hugging Face's Llama, padding, length, frames to come."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from src import models
from src.landmarks import Layout
from src.models.llama import Attention, Config, Llama, SwiGlu
from src.models.mixing import LayerMix
from src.recipes import llama

SIGNS = 7
CONFIG = Config(heads=2, depth=3, hidden=24, max_len=12, head_dim=8, dropout=0.0, axes=2)
# Float32 sums in another order; values are near 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def build(layout: Layout, config: Config = CONFIG, seed: int = 0) -> Llama:
    """A network in evaluation mode whose every parameter and statistic is random."""
    net = Llama(replace(config, classifier_dropout=0.0), layout, SIGNS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            spread = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(spread + 1 if "norm.weight" in name else spread)
        for name, buffer in net.named_buffers():
            if "running" in name:
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return net.eval()


@pytest.fixture
def net(layout) -> Llama:
    return build(layout)


@pytest.fixture
def features(xyz) -> Tensor:
    """(5, 12, L, 2), 0 = missing or padded."""
    return xyz[..., :2]


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "published"), [(llama.SINGLE, 9_213_946), (llama.THREE[0], 1_695_610)]
)
def test_the_networks_have_the_published_number_of_parameters(recipe, published):
    """26th-place-llama.txt: 9.2M and 1.7M; to the last one recognition.md 2.4."""
    with torch.device("meta"):
        net = models.build(recipe.model, recipe.layout, 250)
    assert sum(p.numel() for p in net.parameters()) == published
    assert isinstance(net, Llama) and len(net.layers) == recipe.model.depth


def test_the_single_networks_hidden_width_is_llamas_rule():
    """4 D times 2 / 3, rounded up to a multiple of 8; the members have 4 D."""
    config = llama.SINGLE.model
    assert config.hidden == -(-(4 * config.width * 2 // 3) // 8) * 8
    assert llama.THREE[0].model.hidden == 4 * llama.THREE[0].model.width


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


def allowed(looks: Tensor) -> Tensor:
    """Their form of a mask, by which it is taken as it is and not made causal."""
    return torch.where(looks, 0.0, torch.finfo(torch.float32).min)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(5, 13, CONFIG.width, generator=torch.Generator().manual_seed(1))


def test_all_tokens_are_those_of_hugging_faces_llama(net, tokens, mask):
    """Non-causal, with padding."""
    looks = F.pad(mask, (1, 0), value=True)[:, None, None]
    ours = tokens
    for layer in net.layers:
        ours = layer(ours, looks)
    everywhere = looks.expand(-1, -1, 13, -1)
    theirs = as_hugging_face(net)(inputs_embeds=tokens, attention_mask=allowed(everywhere))
    torch.testing.assert_close(net.norm(ours), theirs.last_hidden_state, **CLOSE)


def test_the_class_token_is_hugging_faces_though_only_it_asks_in_the_last_layer(
    net, features, mask
):
    embedded = net.frame_norm(net.frames(features.flatten(-2)), mask) + net.positions
    tokens = torch.cat([net.token.expand(5, 1, -1), embedded], 1)
    looks = F.pad(mask, (1, 0), value=True)[:, None, None].expand(-1, -1, 13, -1)
    theirs = as_hugging_face(net)(inputs_embeds=tokens, attention_mask=allowed(looks))
    pooled = theirs.last_hidden_state[:, 0]
    out = net(features, mask)
    torch.testing.assert_close(out["pooled"], pooled, **CLOSE)
    logits = net.classifier(F.batch_norm(
        pooled, net.token_norm.running_mean, net.token_norm.running_var,
        net.token_norm.weight, net.token_norm.bias,
    ))  # fmt: skip
    torch.testing.assert_close(out["logits"], logits, **CLOSE)


def test_causal_attention_is_hugging_faces_as_it_comes(net, tokens):
    causal = torch.ones(13, 13, dtype=torch.bool).tril().expand(5, 1, -1, -1)
    ours = tokens
    for layer in net.layers:
        ours = layer(ours, causal)
    theirs = as_hugging_face(net)(inputs_embeds=tokens)
    torch.testing.assert_close(net.norm(ours), theirs.last_hidden_state, **CLOSE)


def test_gradients_are_hugging_faces(net, tokens):
    theirs, inputs = as_hugging_face(net), (tokens.clone(), tokens.clone())
    for x in inputs:
        x.requires_grad_()
    ours = inputs[0]
    for layer in net.layers:
        ours = layer(ours, None)
    net.norm(ours).square().sum().backward()
    everything = torch.zeros(5, 1, 13, 13)
    out = theirs(inputs_embeds=inputs[1], attention_mask=everything).last_hidden_state
    out.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        net.layers[0].mlp.gated.weight.grad[: CONFIG.hidden],
        theirs.layers[0].mlp.gate_proj.weight.grad,
        rtol=1e-3,
        atol=1e-3,  # gradients are near 10
    )


def test_swiglu_by_hand():
    mlp = SwiGlu(3, 5)
    x = torch.randn(2, 4, 3)
    w1, w3 = mlp.gated.weight.chunk(2)
    a = x @ w1.T
    expected = (a / (1 + torch.exp(-a)) * (x @ w3.T)) @ mlp.out.weight.T
    torch.testing.assert_close(mlp(x), expected, **CLOSE)


def test_attention_drops_out_in_training_only(tokens):
    """The authors' fused call dropped out in validation too (recognition.md 2.4)."""
    attention = Attention(replace(CONFIG, dropout=0.5)).eval()
    assert torch.equal(attention(tokens, None, None), attention(tokens, None, None))
    attention.train()
    assert not torch.equal(attention(tokens, None, None), attention(tokens, None, None))


# --- padding, length, what is missing -----------------------------------------------------------


@pytest.mark.parametrize("fill", [0.0, 1e6, float("nan")])
def test_padding_changes_no_logit(net, features, mask, fill):
    out = net(features, mask)["logits"]
    for k, length in enumerate(mask.sum(1)):
        alone = net(features[k : k + 1, :length])["logits"]
        torch.testing.assert_close(out[k : k + 1], alone, **CLOSE)
    other = torch.where(mask[..., None, None], features, fill)
    assert torch.equal(net(other, mask)["logits"], out)


def test_padding_changes_no_statistic_in_training(layout, features, mask):
    net, other = build(layout).train(), build(layout).train()
    out = net(features, mask)["logits"]
    noisy = torch.where(mask[..., None, None], features, 1e6)
    longer, longer_mask = F.pad(noisy, (0, 0, 0, 0, 0, 5)), F.pad(mask, (0, 5))
    torch.testing.assert_close(other(longer, longer_mask)["logits"], out, **CLOSE)
    real = net.frames(features.flatten(-2))[mask]
    expected = 0.9 * build(layout).frame_norm.running_mean + 0.1 * real.mean(0)
    for norm in (net.frame_norm, other.frame_norm):
        torch.testing.assert_close(norm.running_mean, expected, **CLOSE)


def test_a_longer_clip_is_read_up_to_max_len(net, features, mask):
    longer = torch.cat([features, torch.randn(5, 9, *features.shape[2:])], 1)
    expected = net(features, None)["logits"]
    assert torch.equal(net(longer, None)["logits"], expected)
    everything = torch.ones(5, 21, dtype=torch.bool)
    torch.testing.assert_close(net(longer, everything)["logits"], expected, **CLOSE)


def test_the_order_of_the_frames_matters(net, features):
    moved = net(features[:, torch.arange(12).roll(3)])["logits"]
    assert (moved - net(features)["logits"]).abs().max() > 0.01


@pytest.mark.parametrize("train", [False, True])
def test_clips_of_one_frame_and_of_nothing_seen_are_finite(net, features, train):
    net.train(train)
    mask = torch.zeros(5, 12, dtype=torch.bool)
    mask[:, 0] = True
    assert net(torch.zeros_like(features), mask)["logits"].isfinite().all()
    assert net(features[:, :1], mask[:, :1])["logits"].isfinite().all()


def test_mixing_before_a_layer_is_mixing_its_tokens(net, features, mask):
    """Mixed before the first layer: as if the embedded frames and the masks had been mixed."""
    partner, share = torch.tensor([1, 2, 3, 4, 0]), torch.tensor([0.5, 0.9, 0.3, 1.0, 0.7])
    mix = LayerMix(partner, share, torch.tensor(0))
    ours = net(features, mask, mix)["pooled"]
    clean = torch.where(mask[..., None, None], features, 0.0)
    x = net.frame_norm(net.frames(clean.flatten(-2)), mask) + net.positions
    by_clip = share[:, None, None]
    x = torch.cat([net.token.expand(5, 1, -1), by_clip * x + (1 - by_clip) * x[partner]], 1)
    looks = F.pad(mask | mask[partner], (1, 0), value=True)[:, None, None]
    for layer in net.layers:
        x = layer(x, looks)
    torch.testing.assert_close(ours, net.norm(x[:, 0]), **CLOSE)


# --- frames to come -----------------------------------------------------------------------------

FORESEEING = replace(CONFIG, next_frame_share=0.4, next_frame_ahead=2)


def test_predicting_frames_is_off_unless_asked_for(layout, features, mask):
    net = build(layout).train()
    assert net(features, mask).keys() == {"logits", "pooled"}
    assert not any("next_frame" in name for name, _ in net.named_parameters())


def test_predicting_frames_changes_nothing_about_the_signs(layout, features, mask):
    plain, foreseeing = build(layout).train(), build(layout, FORESEEING).train()
    foreseeing.load_state_dict(plain.state_dict(), strict=False)
    expected, ours = plain(features, mask), foreseeing(features, mask)
    torch.testing.assert_close(ours["logits"], expected["logits"], **CLOSE)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(foreseeing.get_buffer(name), buffer)
    assert foreseeing.eval()(features, mask).keys() == {"logits", "pooled"}


def test_a_share_of_the_clips_predicts_and_the_truth_is_later_frames(layout, features, mask):
    out = build(layout, FORESEEING).train()(features, mask)
    assert len(out["next_frame"]) == 2  # 0.4 of 5
    assert torch.equal(out["next_frame_true"], features[:2, 2:])
    known = out["next_frame_mask"]
    expected = (features[:2, 2:] != 0).any(-1) & (mask[:2, :-2] & mask[:2, 2:])[..., None]
    assert torch.equal(known, expected)
    assert known[0].any() and not known[1].any()  # the second clip has one frame


def test_a_prediction_depends_on_the_past_alone(layout, features, mask):
    net = build(layout, FORESEEING).eval()
    features = features.clone().requires_grad_()
    embedded = net.frame_norm(net.frames(features.flatten(-2)), mask) + net.positions
    predicted = net._next_frames(embedded, features, mask)["next_frame"]
    for t in (0, 4, 9):
        (gradient,) = torch.autograd.grad(
            predicted[0, t].sum(), features, retain_graph=True, materialize_grads=True
        )
        reached = (gradient[0] != 0).flatten(1).any(1)
        assert reached.tolist() == [s <= t for s in range(12)]


def test_predictions_are_learnt_and_padding_takes_no_part(layout, features, mask):
    out = build(layout, replace(FORESEEING, next_frame_share=1.0)).train()(features, mask)
    assert all(value.isfinite().all() for value in out.values())
    noisy = torch.where(mask[..., None, None], features, 1e6)
    net = build(layout, replace(FORESEEING, next_frame_share=1.0)).train()
    other = net(noisy, mask)
    known = out["next_frame_mask"]
    assert torch.equal(other["next_frame_mask"], known)
    torch.testing.assert_close(other["next_frame"][known], out["next_frame"][known], **CLOSE)


# --- export -------------------------------------------------------------------------------------


class Logits(nn.Module):
    """What is exported: one clip without padding."""

    def __init__(self, net: Llama):
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features)["logits"]


def test_the_exported_network_agrees_at_every_length_and_beyond_max_len(layout):
    module = Logits(build(layout))
    clip = torch.randn(1, 40, len(layout), 2, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 deprecates its own tree specs
        program = torch.export.export(
            module,
            (clip[:, :7],),
            dynamic_shapes=({1: torch.export.Dim.DYNAMIC},),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()
    for n_frames in (*range(1, 15), 40):
        part = clip[:, :n_frames]
        torch.testing.assert_close(program(part), module(part), **CLOSE)
