"""What the training step is timed against computes the same as ours."""

from dataclasses import replace

import torch

from src.models import frame_deberta as ours
from src.recipes.frame_deberta import LAYOUT
from tests.benchmarks import hugging_face as theirs
from tests.models.conftest import FRAME_DEBERTA

CONFIG = replace(FRAME_DEBERTA, max_len=20)


def test_answers_are_ours():
    torch.manual_seed(0)
    own, other = ours.FrameDeberta(CONFIG, LAYOUT, 5), theirs.FrameDeberta(CONFIG, LAYOUT, 5)
    pairs = [(other.classifier, own.classifier)]
    parts = {name: getattr(own.encoder, name) for name in ("full", "parts", "fusion")}
    parts |= dict(own.encoder.embedding.named_children())
    pairs += [(getattr(other.encoder, name), part) for name, part in parts.items()]
    for their_layer, layer in zip(other.layers, own.layers, strict=True):
        pairs += theirs.layer_pairs(their_layer.layer[0], layer)
        pairs += theirs.table_pairs(their_layer, layer.attention)
    for their_part, part in pairs:
        part.load_state_dict(their_part.state_dict())

    xyz = torch.randn(4, CONFIG.max_len, len(LAYOUT), 3)
    xyz[:, :4] = xyz[:, -4:] = 0.0  # theirs forgets, at both ends, what the first convolution saw
    mask = torch.ones(xyz.shape[:2], dtype=torch.bool)  # theirs normalises over padded frames too
    expected = other.train()(xyz, mask)["logits"]
    # Two float32 evaluations in another order, through seven batch norms.
    torch.testing.assert_close(own.train()(xyz, mask)["logits"], expected, rtol=1e-3, atol=1e-4)
