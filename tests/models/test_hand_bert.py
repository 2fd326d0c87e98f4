"""The 2nd place's network against Hugging Face's BERT and DeBERTa-v2; what long clips become."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model

from src.models.hand_bert import Config, HandBert, PositionalConv, subsampled
from tests.benchmarks.hugging_face import DISENTANGLED, layer_pairs, table_pairs
from tests.models.conftest import CLOSE, SIGNS, features, randomised
from tests.models.conftest import HAND_BERT as SMALL
from tests.models.test_every import CASES

FEATURES = SMALL.features


def build(config: Config = SMALL) -> HandBert:
    return randomised(HandBert(config, SIGNS)).eval()


def test_weights_are_drawn_as_berts_are():
    torch.manual_seed(0)
    net = HandBert(Config(2), 250)
    for layer in net.layers:
        for dense in (layer.attention.query, layer.attention_out, layer.intermediate, layer.out):
            # 65,536 draws or more: their deviation is within one per cent, four standard errors.
            assert dense.weight.std().item() == pytest.approx(0.02, rel=0.012)
            assert (dense.bias == 0).all()
    assert net.embedding.position.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert (net.embedding.cls == 0).all()
    # torch's own: U(-1/sqrt(F), 1/sqrt(F)).
    assert net.embedding.project.weight.abs().max().item() == pytest.approx(972**-0.5, rel=1e-3)


def as_hugging_face(ours: HandBert, config: Config) -> nn.Module:
    """BertModel or DebertaV2Model, which is the document's: embedding, encoder; our weights."""
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
    pairs = []
    if config.family == "bert":
        model = BertModel(BertConfig(**sizes), add_pooling_layer=False)
        types = ours.embedding.token_type.weight[:2]
        model.embeddings.token_type_embeddings.weight.data.copy_(types)
    else:
        table = dict.fromkeys(("position_buckets", "max_relative_positions"), config.max_len + 1)
        more = DISENTANGLED | table if config.disentangled else {}
        model = DebertaV2Model(DebertaV2Config(**sizes, type_vocab_size=0, **more))
        if config.disentangled:
            pairs += table_pairs(model.encoder, ours.layers[0].attention)
    pairs.append((model.embeddings.position_embeddings, ours.embedding.position))
    pairs.append((model.embeddings.LayerNorm, ours.embedding.norm))
    for layer, own in zip(model.encoder.layer, ours.layers, strict=True):
        pairs += layer_pairs(layer, own)
    for other, own in pairs:
        other.load_state_dict(own.state_dict())
    return model.eval()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("hand_")])
def test_without_the_convolution_it_is_hugging_faces_model(name, mask):
    """Theirs computes every token in every layer, ours in the last one the class token alone."""
    config = replace(CASES[name].config, positional_conv=False)
    ours, x = build(config), features(FEATURES)
    projected = x @ ours.embedding.project.weight.T
    tokens = torch.cat([ours.embedding.cls.expand(5, 1, -1), projected], 1)
    seen = F.pad(mask, (1, 0), value=True).long()
    with torch.no_grad():
        hidden = as_hugging_face(ours, config)(inputs_embeds=tokens, attention_mask=seen)
        cls = hidden.last_hidden_state[:, 0]
        out = ours(x, mask)
    torch.testing.assert_close(out["pooled"], cls, **CLOSE)
    expected = cls @ ours.classifier.weight.T + ours.classifier.bias
    torch.testing.assert_close(out["logits"], expected, **CLOSE)


def test_it_adds_a_depthwise_convolution_of_the_tokens():
    torch.manual_seed(0)
    module = PositionalConv(4)
    x = torch.randn(1, 5, 4)
    padded = F.pad(x, (0, 0, 1, 1))
    weight, bias = module.conv.weight[:, 0], module.conv.bias  # (D, 3)
    for t in range(5):
        expected = x[0, t] + bias + (padded[0, t : t + 3].T * weight).sum(1)
        torch.testing.assert_close(module(x, None)[0, t], expected)


def frames_kept(n: int, max_len: int) -> list[int]:
    """recognition.md 1.3: floor(i n / max_len) of a longer clip, in whole numbers."""
    return [i * n // max_len for i in range(max_len)] if n > max_len else list(range(n))


@pytest.mark.parametrize("max_len", [5, 96])
def test_long_clips_are_subsampled_by_their_own_length_as_the_document_says(max_len):
    lengths = (1, 4, 5, 6, 11, 95, 96, 97, 200, 537)
    numbers = torch.arange(537.0).expand(len(lengths), -1)[..., None]
    kept, mask = subsampled(numbers, torch.arange(537) < torch.tensor(lengths)[:, None], max_len)
    for k, n in enumerate(lengths):
        alone, no_mask = subsampled(numbers[:1, :n], None, max_len)
        assert no_mask is None
        assert alone.flatten().tolist() == kept[k, mask[k], 0].tolist() == frames_kept(n, max_len)


def test_a_long_clip_is_its_subsample():
    """And the position of a frame is its place among those that are kept."""
    net = build()
    x = torch.randn(1, 40, FEATURES, generator=torch.Generator().manual_seed(2))
    kept = x[:, frames_kept(40, 12)]
    assert torch.equal(net(x)["logits"], net(kept)["logits"])
    assert not torch.allclose(net(x)["logits"], net(kept.flip(1))["logits"])
