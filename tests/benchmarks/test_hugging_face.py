"""What the training step is timed against computes the same as ours."""

from __future__ import annotations

import pytest
import torch

from src.models import frame_deberta as ours
from src.recipes.frame_deberta import LAYOUT, B
from tests.benchmarks import hugging_face as theirs

CONFIG = ours.Config(
    20, dim=16, widths=(32, 48, 32), dropouts=(0.0, 0.0), heads=4, mlp_dropout=0.0,
    fusion_dropout=0.0,
)  # fmt: skip


@pytest.mark.parametrize(("config", "size"), [(B.model, 13_688_418), (B.distilled, 6_943_394)])
def test_sizes_are_the_published_ones(config, size):
    with torch.device("meta"):
        net = theirs.FrameDeberta(config, LAYOUT, classes=250)
    assert sum(p.numel() for p in net.parameters()) == size


def test_answers_are_ours():
    torch.manual_seed(0)
    own, other = ours.FrameDeberta(CONFIG, LAYOUT, 5), theirs.FrameDeberta(CONFIG, LAYOUT, 5)
    own.load_state_dict(_in_our_names(other))
    xyz = torch.randn(4, CONFIG.max_len, len(LAYOUT), 3)
    xyz[:, :4] = xyz[:, -4:] = 0.0  # theirs forgets, at both ends, what the first convolution saw
    mask = torch.ones(xyz.shape[:2], dtype=torch.bool)  # theirs normalises over padded frames too
    expected = other.train()(xyz, mask)["logits"]
    # Two float32 evaluations in another order, through seven batch norms.
    torch.testing.assert_close(own.train()(xyz, mask)["logits"], expected, rtol=1e-3, atol=1e-4)


def _in_our_names(net: theirs.FrameDeberta) -> dict[str, torch.Tensor]:
    names = {
        "layer.0.attention.self.query_proj": "attention.query",
        "layer.0.attention.self.key_proj": "attention.key",
        "layer.0.attention.self.value_proj": "attention.value",
        "layer.0.attention.output.dense": "attention_out",
        "layer.0.attention.output.LayerNorm": "attention_norm",
        "layer.0.intermediate.dense": "intermediate",
        "layer.0.output.dense": "out",
        "layer.0.output.norm": "out_norm",
        "rel_embeddings": "attention.positions.table",
    }
    state = {}
    for name, value in net.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        layer, _, rest = name.rpartition(".LayerNorm.")
        name = f"{layer}.attention.positions.norm.{rest}" if layer else name
        first, _, rest = name.partition(".")
        if first == "encoder" and rest.split(".")[0] not in ("full", "parts", "fusion"):
            name = f"encoder.embedding.{rest}"
        if not name.endswith(("embedding.types", "embedding.points")):
            state[name] = value
    return state
