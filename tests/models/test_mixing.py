"""Mixing before a layer, against a loop written by hand."""

from __future__ import annotations

import pytest
import torch

from src.models.mixing import LayerMix

PARTNER = torch.tensor([3, 0, 2, 4, 1])  # the third is its own partner
SHARE = torch.tensor([0.9, 0.3, 0.5, 1.0, 0.0])


@pytest.fixture
def x(mask) -> torch.Tensor:
    return torch.randn(*mask.shape, 4, generator=torch.Generator().manual_seed(0))


def test_the_chosen_layer_mixes_clips_and_joins_masks(x, mask):
    mixed, joined = LayerMix(PARTNER, SHARE, torch.tensor(2))(x, mask, 2)
    for k, (partner, share) in enumerate(zip(PARTNER.tolist(), SHARE.tolist(), strict=True)):
        torch.testing.assert_close(mixed[k], share * x[k] + (1 - share) * x[partner])
        assert torch.equal(joined[k], mask[k] | mask[partner])


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_other_layers_pass_everything_through_to_the_bit(x, mask, layer):
    passed, same = LayerMix(PARTNER, SHARE, torch.tensor(2))(x, mask, layer)
    assert torch.equal(passed, x) and torch.equal(same, mask)


def test_a_whole_share_keeps_the_clip_to_the_bit(x):
    mixed, mask = LayerMix(PARTNER, torch.ones(5), torch.tensor(0))(x, None, 0)
    assert torch.equal(mixed, x) and mask is None


def test_both_clips_get_their_share_of_the_gradient(x):
    leaf = x.clone().requires_grad_()
    mixed, _ = LayerMix(PARTNER, SHARE, torch.tensor(0))(leaf, None, 0)
    mixed[1].sum().backward()  # 0.3 of clip 1, 0.7 of clip 0
    by_clip = leaf.grad.mean((1, 2))
    torch.testing.assert_close(by_clip, torch.tensor([0.7, 0.3, 0, 0, 0]))
