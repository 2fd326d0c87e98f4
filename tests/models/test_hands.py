"""Shapes of hands: distances by numpy, what must not change them, and what must."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from src.models.hands import HandShapes
from tests.models.conftest import LAYOUT, features
from tests.models.test_every import CASES

LEFT, RIGHT = (list(LAYOUT.rows(f"{side}_hand")) for side in ("left", "right"))
SHAPES = HandShapes(LAYOUT)


def clip(seed: int = 0) -> Tensor:
    """(2, T, L, 3); the first clip has the right hand in three frames of six, the second never."""
    xyz = torch.randn(2, 6, len(LAYOUT), 3, generator=torch.Generator().manual_seed(seed))
    xyz[0, 3:, RIGHT], xyz[1, :, RIGHT] = 0, 0
    return xyz


def test_they_are_numpys_distances_in_the_picture_of_the_left_hand_that_is_seen_more():
    xyz = clip()
    xyz[0, 1, LEFT[2]] = 0  # one missing point takes its four pairs along
    measured = SHAPES(xyz).numpy()
    for b, t in np.ndindex(2, 6):
        hands = [xyz[b, t, hand].numpy() for hand in (LEFT, RIGHT)]
        pairs = [pair for hand in hands for pair in combinations(hand, 2)]
        expected = [np.hypot(*(p - q)[:2]) if p.any() and q.any() else 0.0 for p, q in pairs]
        np.testing.assert_allclose(measured[b, t], expected, rtol=1e-5, atol=1e-6)


def test_whichever_hand_signs_comes_first():
    xyz, exchanged = clip(), clip()
    exchanged[:, :, LEFT + RIGHT] = xyz[:, :, RIGHT + LEFT]
    torch.testing.assert_close(SHAPES(exchanged), SHAPES(xyz), rtol=0, atol=0)


def test_a_hand_may_be_mirrored_turned_and_held_elsewhere():
    xyz = clip()
    angle = torch.tensor(0.7)
    turn = torch.tensor([[-angle.cos(), angle.sin()], [angle.sin(), angle.cos()]])  # and mirror
    moved = xyz.clone()
    moved[..., :2] = torch.where((xyz != 0).any(-1, keepdim=True), xyz[..., :2] @ turn + 2, 0.0)
    torch.testing.assert_close(SHAPES(moved), SHAPES(xyz), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(SHAPES(2 * xyz), SHAPES(xyz))


@pytest.mark.parametrize("name", ["hierarchical", "llama"])
def test_a_network_reads_them_where_it_is_asked_to(name):
    without, case = CASES[name].network(), CASES[f"{name}, hand shapes"]
    assert not any(isinstance(module, HandShapes) for module in without.modules())
    net, x = case.network(), features(*case.shape)
    (shapes,) = (module for module in net.modules() if isinstance(module, HandShapes))
    answered = net(x)["logits"]
    shapes.register_forward_hook(lambda module, inputs, out: out.flip(-1))
    assert (net(x)["logits"] - answered).abs().max() > 0.01
