from itertools import pairwise

import numpy as np

from src.motion.body import skeleton as s


def test_fifteen_of_twenty_four_joints_are_predicted():
    left_out = {"pelvis"} | {f"{side}_{p}" for side in ("left", "right")
                             for p in ("ankle", "foot", "wrist", "hand")}  # fmt: skip
    assert set(s.JOINTS) - set(s.PREDICTED_NAMES) == left_out


def test_every_joint_hangs_on_an_earlier_one_of_its_own_side():
    for joint, parent in enumerate(s.PARENTS[1:], 1):
        assert 0 <= parent < joint
        sides = {n.split("_")[0] for n in (s.JOINTS[joint], s.JOINTS[parent])}
        assert not {"left", "right"} <= sides


def test_mirror_partners_swap_sides_and_nothing_else():
    for joint, partner in enumerate(s.MIRROR):
        assert s.MIRROR[partner] == joint
        assert len({s.JOINTS[j].replace("left", "right") for j in (joint, partner)}) == 1
    # SMPL's mean body is nearly symmetric: mirrored offsets agree to 3 % of a thigh.
    reflected = s.OFFSETS[list(s.MIRROR)] * [-1, 1, 1]
    assert np.abs(reflected - s.OFFSETS).max() < 0.06


def test_adjacency_is_what_the_bones_say():
    """By hand from motion.md 3: chains of kept joints, and the three that hang on the pelvis."""
    chains = [
        ("left_hip", "left_knee"), ("right_hip", "right_knee"),
        ("spine1", "spine2", "spine3", "neck", "head"),
        ("spine3", "left_collar", "left_shoulder", "left_elbow"),
        ("spine3", "right_collar", "right_shoulder", "right_elbow"),
        ("left_hip", "spine1", "right_hip", "left_hip"),
    ]  # fmt: skip
    expected = np.eye(15)
    for chain in chains:
        for a, b in pairwise(chain):
            i, j = s.PREDICTED_NAMES.index(a), s.PREDICTED_NAMES.index(b)
            expected[i, j] = expected[j, i] = 1
    assert np.array_equal(s.ADJACENCY, expected)


def test_panels_of_figure_5_share_out_the_joints_in_the_same_order():
    assert sorted((*s.LEFT, *s.RIGHT, *s.CENTRE)) == list(range(15))
    swapped = [s.PREDICTED_NAMES[k].replace("left", "right") for k in s.LEFT]
    assert swapped == [s.PREDICTED_NAMES[k] for k in s.RIGHT]
