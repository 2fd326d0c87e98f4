"""The 2nd place's network: sizes, against Hugging Face's BERT and DeBERTa-v2, padding, length."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model

from src import models
from src.models.hand_bert import Config, HandBert, Layer, PositionalConv, subsampled
from src.models.mixing import LayerMix
from src.recipes import hand_bert

SIGNS, FEATURES = 7, 30
SMALL = Config(
    3, features=FEATURES, max_len=12, width=16, inner=24, heads=2, dropout=0.0
)  # fmt: skip
# Float32 sums in another order; values are near 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def build(config: Config = SMALL, seed: int = 0) -> HandBert:
    """A network in evaluation mode whose every parameter is random, so that every one matters."""
    net = HandBert(config, hand_bert.LAYOUT, SIGNS)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            spread = 0.3 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(spread + 1 if "norm.weight" in name else spread)
    return net.eval()


@pytest.fixture
def features(mask) -> Tensor:
    """(5, 12, F), 0 in padded frames."""
    x = torch.randn(*mask.shape, FEATURES, generator=torch.Generator().manual_seed(1))
    return torch.where(mask[..., None], x, 0.0)


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "expected"), [(3, 1_922_810), (4, 2_450_938)])
def test_sizes_are_the_published_ones(layers, expected):
    """recognition.md 1.4."""
    net = models.build(Config(layers), hand_bert.LAYOUT, classes=250)
    assert sum(p.numel() for p in net.parameters()) == expected


def test_what_deberta_has_and_bert_has_not():
    """One table of 2 x 97 relative positions and its norm for all layers, and no token types."""
    bert, deberta, plain = (
        sum(p.numel() for p in HandBert(config, hand_bert.LAYOUT, 250).parameters())
        for config in (
            Config(4),
            Config(4, family="deberta"),
            Config(4, family="deberta", disentangled=False),
        )
    )
    assert plain == bert - 3 * 256
    assert deberta == plain + 2 * 97 * 256 + 2 * 256


def test_weights_are_drawn_as_berts_are():
    torch.manual_seed(0)
    net = HandBert(Config(2), hand_bert.LAYOUT, 250)
    for layer in net.layers:
        for dense in (layer.attention.query, layer.attention_out, layer.intermediate, layer.out):
            # 65,536 draws or more: their deviation is within one per cent, four standard errors.
            assert dense.weight.std().item() == pytest.approx(0.02, rel=0.012)
            assert (dense.bias == 0).all()
    assert net.embedding.position.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert (net.embedding.cls == 0).all()
    # torch's own: U(-1/sqrt(F), 1/sqrt(F)).
    assert net.embedding.project.weight.abs().max().item() == pytest.approx(972**-0.5, rel=1e-3)


# --- against Hugging Face -----------------------------------------------------------------------


def theirs(config: Config) -> nn.Module:
    """BertModel or DebertaV2Model, which is the document's: embedding, encoder."""
    sizes = {
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.max_len + 1,
        "vocab_size": 1,
        "hidden_act": "silu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    if config.family == "bert":
        return BertModel(BertConfig(**sizes), add_pooling_layer=False).eval()
    relative = {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_buckets": config.max_len + 1,
        "max_relative_positions": config.max_len + 1,
    }
    more = relative if config.disentangled else {}
    return DebertaV2Model(DebertaV2Config(**sizes, type_vocab_size=0, **more)).eval()


def copy_weights(ours: HandBert, model: nn.Module, config: Config) -> None:
    """Fill theirs from ours."""
    pairs = [
        (model.embeddings.position_embeddings, ours.embedding.position),
        (model.embeddings.LayerNorm, ours.embedding.norm),
    ]
    if config.family == "bert":
        types = ours.embedding.token_type.weight[:2]
        model.embeddings.token_type_embeddings.weight.data.copy_(types)
    elif config.disentangled:
        positions = ours.layers[0].attention.positions
        pairs += [
            (model.encoder.rel_embeddings, positions.table),
            (model.encoder.LayerNorm, positions.norm),
        ]
    suffix = "" if config.family == "bert" else "_proj"
    for layer, own in zip(model.encoder.layer, ours.layers, strict=True):
        attention = layer.attention.self
        pairs += [
            (getattr(attention, f"{name}{suffix}"), getattr(own.attention, name))
            for name in ("query", "key", "value")
        ]
        pairs += [
            (layer.attention.output.dense, own.attention_out),
            (layer.attention.output.LayerNorm, own.attention_norm),
            (layer.intermediate.dense, own.intermediate),
            (layer.output.dense, own.out),
            (layer.output.LayerNorm, own.out_norm),
        ]
    for other, own in pairs:
        other.load_state_dict(own.state_dict())


FAMILIES = {
    "bert": SMALL,
    "deberta": replace(SMALL, family="deberta"),
    "the authors' deberta": replace(SMALL, family="deberta", disentangled=False),
}


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_without_the_convolution_it_is_hugging_faces_model(config, features, mask):
    config = replace(config, positional_conv=False)
    ours = build(config)
    model = theirs(config)
    copy_weights(ours, model, config)

    projected = features @ ours.embedding.project.weight.T
    tokens = torch.cat([ours.embedding.cls.expand(5, 1, -1), projected], 1)
    seen = F.pad(mask, (1, 0), value=True).long()
    with torch.no_grad():
        cls = model(inputs_embeds=tokens, attention_mask=seen).last_hidden_state[:, 0]
        out = ours(features, mask)
    torch.testing.assert_close(out["pooled"], cls, **CLOSE)
    expected = cls @ ours.classifier.weight.T + ours.classifier.bias
    torch.testing.assert_close(out["logits"], expected, **CLOSE)


def test_relative_positions_matter(features, mask):
    """The variant that the authors ran is another function."""
    with_them, without = FAMILIES["deberta"], FAMILIES["the authors' deberta"]
    first, second = build(with_them), build(without)
    second.load_state_dict(first.state_dict(), strict=False)
    assert not torch.allclose(first(features, mask)["logits"], second(features, mask)["logits"])


# --- the positional convolution -----------------------------------------------------------------


def test_every_layer_but_the_first_has_one():
    have = [layer.positional_conv is not None for layer in build().layers]
    assert have == [False, True, True]


def test_it_adds_a_depthwise_convolution_of_the_tokens():
    torch.manual_seed(0)
    module = PositionalConv(4)
    x = torch.randn(1, 5, 4)
    padded = F.pad(x, (0, 0, 1, 1))
    weight, bias = module.conv.weight[:, 0], module.conv.bias  # (D, 3)
    for t in range(5):
        expected = x[0, t] + bias + (padded[0, t : t + 3].T * weight).sum(1)
        torch.testing.assert_close(module(x, None)[0, t], expected)


# --- padding, length ----------------------------------------------------------------------------


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("fill", [0.0, 1e3])
def test_padding_changes_no_logit(config, fill, features, mask):
    net = build(config)
    padded = F.pad(features, (0, 0, 0, 20), value=fill)
    padded[:, :12] = torch.where(mask[..., None], features, fill)
    more = F.pad(mask, (0, 20), value=False)
    expected = net(features, mask)["logits"]
    torch.testing.assert_close(net(padded, more)["logits"], expected, **CLOSE)
    for k, length in enumerate(mask.sum(1).tolist()):
        alone = net(features[k : k + 1, :length])["logits"][0]
        torch.testing.assert_close(alone, expected[k], **CLOSE)


def frames_kept(n: int, max_len: int) -> list[int]:
    """recognition.md 1.3: floor(i n / max_len) of a longer clip, in whole numbers."""
    return [i * n // max_len for i in range(max_len)] if n > max_len else list(range(n))


@pytest.mark.parametrize("max_len", [5, 96])
def test_long_clips_are_subsampled_as_the_document_says(max_len):
    for n in (1, 4, 5, 6, 11, 95, 96, 97, 200, 537):
        numbers = torch.arange(float(n))[None, :, None]
        kept, mask = subsampled(numbers, None, max_len)
        assert kept.flatten().tolist() == frames_kept(n, max_len), n
        assert mask is None


def test_each_clip_is_subsampled_by_its_own_length():
    lengths = (12, 1, 5, 6, 30)
    numbers = torch.arange(30.0).expand(5, 30)[..., None]
    mask = torch.arange(30) < torch.tensor(lengths)[:, None]
    kept, still = subsampled(numbers, mask, 5)
    for k, n in enumerate(lengths):
        assert kept[k, still[k], 0].tolist() == frames_kept(n, 5)


def test_a_long_clip_is_its_subsample():
    """And the position of a frame is its place among those that are kept."""
    net = build()
    x = torch.randn(1, 40, FEATURES, generator=torch.Generator().manual_seed(2))
    kept = x[:, frames_kept(40, 12)]
    assert torch.equal(net(x)["logits"], net(kept)["logits"])
    assert not torch.allclose(net(x)["logits"], net(kept.flip(1))["logits"])


def test_the_last_layer_computes_the_class_token_as_if_all_were_asked_for(features, mask):
    layer: Layer = build().layers[-1]
    x = torch.randn(5, 13, 16, generator=torch.Generator().manual_seed(3))
    tokens = F.pad(mask, (1, 0), value=True)
    torch.testing.assert_close(layer(x, tokens, asked=1), layer(x, tokens)[:, :1], **CLOSE)


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_every_parameter_learns_but_the_two_spare_rows(config, features, mask):
    net = build(replace(config, dropout=0.1)).train()
    net(features, mask)["logits"].square().sum().backward()
    for name, parameter in net.named_parameters():
        rows = parameter.grad[:1] if "token_type" in name else parameter.grad
        assert rows.abs().sum() > 0, name
    if config.family == "bert":
        assert (net.embedding.token_type.weight.grad[1:] == 0).all()


def test_manifold_mixup_before_the_first_layer_mixes_the_tokens(features, mask):
    """With the share 0 a clip becomes its partner; with another layer's number too."""
    net = build()
    full = torch.ones_like(mask)
    partner = torch.tensor([4, 3, 2, 1, 0])
    for layer in range(3):
        mix = LayerMix(partner, torch.zeros(5), torch.tensor(layer))
        mixed = net(features, full, mix)["logits"]
        torch.testing.assert_close(mixed, net(features, full)["logits"][partner], **CLOSE)


# --- export -------------------------------------------------------------------------------------


class Core(nn.Module):
    """Landmarks to logits, as in a submission's graph."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, xyz: Tensor) -> Tensor:
        features = hand_bert.BERT.features(xyz, None, hand_bert.LAYOUT)
        return self.net(features)["logits"]


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_the_exported_network_agrees_at_every_length(config):
    core = Core(build(replace(config, features=972))).eval()
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(1, 60, len(hand_bert.LAYOUT), 3, generator=generator)
    xyz[:, 5:20, :40], xyz[:, 10:30, 40:61], xyz[:, ::3, 61:] = torch.nan, torch.nan, torch.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 deprecates its own tree specs
        program = torch.export.export(
            core, (xyz[:, :7],), dynamic_shapes=({1: torch.export.Dim.DYNAMIC},), strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()  # fmt: skip
    for n in (1, 2, 3, 11, 12, 13, 24, 60):
        torch.testing.assert_close(program(xyz[:, :n]), core(xyz[:, :n]), **CLOSE)
    nothing = torch.full_like(xyz, torch.nan)
    assert core(nothing).isfinite().all()
    torch.testing.assert_close(program(nothing), core(nothing), **CLOSE)
