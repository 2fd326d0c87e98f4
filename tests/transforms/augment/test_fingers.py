"""Bending fingers against the document's procedure, tree by tree; draws, and what must not move."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from src.landmarks import FINGERS
from src.transforms.augment.fingers import BendFingers, bent
from tests.transforms.conftest import numbered

HANDS = ("left_hand", "right_hand")


def tree_by_tree(hand: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """second-place-transformers.txt 1.1.2: rotate all children around the root, tree after tree, of
    a hand (T, 21, 3) by (5, 4) radians, of finger f and the tree below its route's element i."""
    hand = hand.astype(np.float64).copy()
    routes = [[0, *range(k, k + 4)] for k in (1, 5, 9, 13, 17)]
    for f, route in enumerate(routes):
        for i in range(4):
            root, children = route[i], route[i + 1 :]
            cos, sin = math.cos(angle[f, i]), math.sin(angle[f, i])
            x, y = (hand[:, children, :2] - hand[:, [root], :2]).transpose(2, 0, 1)
            turned = np.stack([cos * x - sin * y, sin * x + cos * y], -1)
            hand[:, children, :2] = hand[:, [root], :2] + turned
    return hand


def random_hands(n: int, n_frames: int) -> torch.Tensor:
    return torch.rand(n, n_frames, 21, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("limit", [math.radians(4), math.pi])
def test_it_is_one_tree_after_the_other(limit):
    hands = random_hands(3, 5)
    angle = limit * (2 * torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1)) - 1)
    out = bent(hands, angle).numpy()
    for k in range(3):
        expected = tree_by_tree(hands[k].numpy(), angle[k].numpy())
        # Float32, some ten operations on numbers up to 4.
        np.testing.assert_allclose(out[k], expected, atol=3e-6)


def test_only_the_named_hand_moves_in_the_image_plane(clips, layout, draw):
    out = BendFingers(1.0, 1.0, 4.0, hands=("left_hand",))(clips, layout, draw())
    left = torch.zeros(len(layout), dtype=torch.bool)
    left[list(layout.rows("left_hand"))] = True
    same = (out.xyz == clips.xyz) | (out.xyz.isnan() & clips.xyz.isnan())
    assert same[:, :, ~left].all() and same[..., 2].all()
    assert not same[:, :, left].all()


def test_the_two_hands_are_drawn_apart(layout, draw):
    """The same hand on both sides: as many draws, other angles."""
    hands, clips = random_hands(1, 4).expand(50, -1, -1, -1), numbered([4] * 50, 4, len(layout))
    for part in HANDS:
        clips.xyz[:, :, layout.rows(part)] = hands
    out = BendFingers(0.5, 1.0, 4.0)(clips, layout, draw()).xyz
    left, right = (out[:, :, layout.rows(part)] for part in HANDS)
    moved = torch.stack([(hand != hands).flatten(1).any(1) for hand in (left, right)])
    counts = {(a, b) for a, b in moved.T.tolist()}
    assert counts == {(False, False), (False, True), (True, False), (True, True)}
    both = moved.all(0)
    assert (left[both] != right[both]).flatten(1).any(1).all()


def test_angles_and_their_number_are_as_said(layout, draw):
    """Each of the 20 trees with joint_p, by an angle from U(-4, 4) degrees, the same all clip."""
    n, joint_p, degrees = 4000, 0.15, 4.0
    clips, hand = numbered([2] * n, 2, len(layout)), torch.zeros(21, 3)
    for f, finger in enumerate(FINGERS):  # five straight fingers, like rays
        for i, point in enumerate(finger[1:], 1):
            hand[point, :2] = i * torch.tensor([math.cos(f), math.sin(f)])
    clips.xyz[:, :, layout.rows("left_hand")] = hand
    bend = partial(BendFingers, joint_p=joint_p, degrees=degrees, hands=("left_hand",))
    out = bend(1.0)(clips, layout, draw()).xyz[:, :, layout.rows("left_hand"), :2]
    assert torch.equal(out[:, 0], out[:, 1])
    points = out[:, 0, [list(f) for f in FINGERS]]  # (n, 5, 5, 2)
    direction = torch.atan2(*points.diff(dim=2).flip(-1).unbind(-1))
    start = torch.arange(5.0)[:, None].expand(5, 1)
    turn = torch.cat([start.expand(n, 5, 1), direction], 2).diff(dim=2)
    turn = torch.rad2deg((turn + math.pi) % (2 * math.pi) - math.pi)
    turned = turn.abs() > 1e-3  # degrees; of the turned, one in 4,000 is below
    expected = n * 20 * joint_p
    assert abs(turned.sum().item() - expected) < 4 * (expected * (1 - joint_p)) ** 0.5
    pairs = n * 5 * joint_p**2  # of neighbours on a finger, each drawn for itself
    both = (turned[:, :, 1:] & turned[:, :, :-1]).sum((0, 1))
    assert ((both - pairs).abs() < 4 * pairs**0.5).all()
    assert turn.abs().max() < degrees + 1e-3
    assert turn[turned].abs().mean().item() == pytest.approx(degrees / 2, rel=0.03)
