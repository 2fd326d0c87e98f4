"""Drawn signers are told apart, and differ only in what they should."""

import itertools

import numpy as np
import pytest

from src.video import drawn
from src.video.drawn import BACKGROUND, SIGNERS, SIGNS, Signer


def test_a_left_handed_signer_is_the_mirror_image_of_a_right_handed_one():
    right, left = (
        drawn.picture((120, 180), signer=Signer("x", left_handed=k)) for k in (False, True)
    )
    difference = np.abs(left.astype(int) - right[:, ::-1])
    # A resampled line may be one pixel off; a hand on the wrong side would be thousands.
    assert (difference.max(-1) > 40).mean() < 0.02
    assert (np.abs(left.astype(int) - right).max(-1) > 40).mean() > 0.05


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_begins_and_ends_at_rest_and_goes_its_own_way(sign):
    for t in (0.0, 1.0):
        assert drawn.wrist(sign, t) == drawn.REST
    way = np.array([drawn.wrist(sign, t) for t in np.linspace(0, 1, 50)])
    for other in set(SIGNS) - {sign}:
        others = np.array([drawn.wrist(other, t) for t in np.linspace(0, 1, 50)])
        assert np.abs(way - others).max() > 25 or (sign in drawn.BOTH_HANDS) != (
            other in drawn.BOTH_HANDS
        )


def test_takes_and_signers_differ_and_one_take_is_always_the_same():
    takes = [drawn.clip("stop", signer, take) for signer in SIGNERS[:2] for take in (0, 1)]
    for a, b in itertools.combinations(takes, 2):
        assert len(a) != len(b) or not np.array_equal(a, b)
    np.testing.assert_array_equal(drawn.clip("stop", SIGNERS[0], 1), takes[1])


def test_nobody_leaves_the_picture():
    """The upper corners stay empty: no hand or head is cut off."""
    empty = np.array([int(BACKGROUND[k : k + 2], 16) for k in (1, 3, 5)])
    for signer, sign in itertools.product(SIGNERS, SIGNS):
        border = drawn.clip(sign, signer)[:, :3]
        assert np.abs(border.astype(int) - empty).max() < 8, (signer.name, sign)
