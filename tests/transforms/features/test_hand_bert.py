"""972 features against numbers made one by one, as recognition.md 1.2 to 1.3 says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.recipes.hand_bert import LAYOUT
from src.transforms.features.hand_bert import (
    FINGER_ANGLES,
    LIP_ANGLES,
    HandBertFeatures,
    one_hand,
)

LIPS, HAND = 40, 21
LEFT, RIGHT = list(LAYOUT.rows("left_hand")), list(LAYOUT.rows("right_hand"))
# In this order and of these sizes: recognition.md 1.3.
SIZES = {
    "position": 183,
    "history": 183,
    "future": 183,
    "lip distances": 190,
    "hand distances": 210,
    "lip angles": 8,
    "hand angles": 15,
}
FEATURES = HandBertFeatures()


def blocks(features: torch.Tensor) -> dict[str, np.ndarray]:
    return dict(zip(SIZES, (x.numpy() for x in features.split([*SIZES.values()], -1)), strict=True))


def clip(n_frames: int, seed: int = 0) -> np.ndarray:
    """(T, 82, 3) image units; the left hand is seen more often, the lips not in every frame."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(0.1, 0.9, (n_frames, len(LAYOUT), 3)).astype(np.float32)
    for part, share in (("left_hand", 0.2), ("right_hand", 0.6), ("lips", 0.2)):
        xyz[np.ix_(rng.random(n_frames) < share, LAYOUT.rows(part))] = np.nan
    return xyz


def made(xyz: np.ndarray, features: HandBertFeatures = FEATURES) -> dict[str, np.ndarray]:
    return blocks(features(torch.from_numpy(xyz)[None], None, LAYOUT)[0])


def or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


# --- every block --------------------------------------------------------------------------------


def test_positions_and_motions_are_of_one_mean_and_deviation():
    xyz = clip(12)
    chosen = xyz[:, [*range(LIPS), *LEFT]].astype(np.float64)
    known = chosen[~np.isnan(chosen)]
    position = ((chosen - known.mean()) / known.std(ddof=1)).reshape(12, -1)
    zero = np.zeros((1, 183))
    history = np.concatenate([zero, position[1:] - position[:-1]])
    future = np.concatenate([position[1:] - position[:-1], zero])
    out = made(xyz)
    # Float32 sums of some 2,000 numbers, against float64.
    for name, expected in (("position", position), ("history", history), ("future", future)):
        np.testing.assert_allclose(out[name], np.nan_to_num(expected), atol=2e-5, err_msg=name)
    assert (out["history"][1:] != 0).any() and np.isnan(chosen).any()


def test_distances_are_of_pairs_of_raw_points_in_the_image_plane():
    xyz = clip(6)
    out = made(xyz)
    pairs = [(i, j) for i in range(HAND) for j in range(i + 1, HAND)]
    lip_pairs = [(i, j) for i, j in pairs if j < 20]  # of the first twenty points
    for t in range(6):
        hand = [or_zero(math.dist(*(xyz[t, LEFT[k], :2] for k in pair))) for pair in pairs]
        lips = [or_zero(math.dist(*(xyz[t, k, :2] for k in pair))) for pair in lip_pairs]
        np.testing.assert_allclose(out["hand distances"][t], hand, rtol=1e-5)
        np.testing.assert_allclose(out["lip distances"][t], lips, rtol=1e-5)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return or_zero(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def test_finger_angles_are_of_two_bones_in_space():
    """thumb = 0-1-2-3-4: cos_sim(0-1, 1-2), cos_sim(1-2, 2-3), cos_sim(2-3, 3-4)."""
    xyz = clip(6)
    out = made(xyz)["hand angles"]
    for t in range(6):
        hand = xyz[t, LEFT].astype(np.float64)
        fingers = [[0, *range(k, k + 4)] for k in (1, 5, 9, 13, 17)]
        expected = [
            cosine(hand[b] - hand[a], hand[c] - hand[b])
            for f in fingers
            for a, b, c in zip(f, f[1:], f[2:], strict=False)
        ]
        np.testing.assert_allclose(out[t], expected, atol=1e-5)
    assert len(FINGER_ANGLES) == 15


@pytest.mark.parametrize("name", LIP_ANGLES)
def test_lip_angles_are_of_the_tables_triples(name):
    xyz = clip(6)
    out = made(xyz, HandBertFeatures(lip_angles=name))["lip angles"]
    for t in range(6):
        lips = xyz[t, :LIPS].astype(np.float64)
        expected = [cosine(lips[a] - lips[b], lips[c] - lips[b]) for a, b, c in LIP_ANGLES[name]]
        np.testing.assert_allclose(out[t], expected, atol=1e-5)


def test_the_authors_variants_differ_in_sign_and_order_alone():
    document, code = (
        made(clip(9), f) for f in (FEATURES, HandBertFeatures(0.5, "published", True))
    )
    np.testing.assert_array_equal(code["hand angles"], -document["hand angles"])
    document, code = (made(clip(9), f) for f in (FEATURES, replace(FEATURES, future_first=True)))
    np.testing.assert_array_equal(code["history"], -document["future"])
    np.testing.assert_array_equal(code["future"], document["history"])


# --- the hand -----------------------------------------------------------------------------------


def hand_of(xyz: np.ndarray, mirror_x: float | None = 0.5) -> np.ndarray:
    return one_hand(torch.from_numpy(xyz)[None], LAYOUT, mirror_x)[0].numpy()


def test_the_hand_that_misses_fewer_numbers_is_read():
    xyz = np.random.default_rng(0).uniform(size=(5, len(LAYOUT), 3)).astype(np.float32)
    xyz[:2, RIGHT] = np.nan
    xyz[0, LEFT] = np.nan
    np.testing.assert_array_equal(hand_of(xyz), xyz[:, LEFT])
    assert np.isnan(hand_of(xyz)[0]).all()  # in every frame it is the same hand


@pytest.mark.parametrize("lost", [(), (3,)])
def test_a_right_hand_is_mirrored_about_the_upper_lip_of_its_frame(lost):
    """Also where both are seen equally often: left only with strictly fewer."""
    xyz = np.random.default_rng(0).uniform(size=(5, len(LAYOUT), 3)).astype(np.float32)
    xyz[list(lost), LEFT[0]] = np.nan
    expected = xyz[:, RIGHT].copy()
    expected[..., 0] = 2 * xyz[:, :1, 0] - expected[..., 0]  # point 0 is landmark 0
    np.testing.assert_array_equal(hand_of(xyz), expected)
    assert LAYOUT.points[0] == (0,)


def test_without_lips_it_is_mirrored_about_the_middle_of_the_image():
    xyz = np.random.default_rng(0).uniform(size=(4, len(LAYOUT), 3)).astype(np.float32)
    xyz[2:, :LIPS] = np.nan
    ours, published = hand_of(xyz), hand_of(xyz, mirror_x=None)
    np.testing.assert_array_equal(ours[:2], published[:2])
    np.testing.assert_array_equal(ours[2:, :, 0], 1 - xyz[2:, RIGHT, 0])
    assert np.isnan(published[2:, :, 0]).all()
    np.testing.assert_array_equal(published[..., 1:], xyz[:, RIGHT, 1:])


# --- what is missing, what is padded ------------------------------------------------------------


@pytest.mark.parametrize(
    "xyz",
    [
        np.full((4, len(LAYOUT), 3), np.nan, np.float32),
        np.full((4, len(LAYOUT), 3), 0.25, np.float32),
        np.full((1, len(LAYOUT), 3), 0.25, np.float32),
        clip(1, seed=3),
    ],
    ids=["nothing", "one point", "one point, one frame", "one frame"],
)
def test_features_are_finite(xyz):
    assert all(np.isfinite(block).all() for block in made(xyz).values())


@pytest.mark.parametrize("fill", [0.0, torch.nan, 1e6])
def test_padding_changes_nothing_and_comes_out_as_zero(fill):
    lengths = (5, 1, 9)
    xyz = torch.full((3, 9, len(LAYOUT), 3), fill)
    for k, n in enumerate(lengths):
        xyz[k, :n] = torch.from_numpy(clip(n, seed=k + 3))
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    out = FEATURES(xyz, mask, LAYOUT)
    for k, n in enumerate(lengths):
        alone = FEATURES(xyz[k : k + 1, :n], None, LAYOUT)[0]
        # Sums over other numbers of terms, the additional ones 0.
        torch.testing.assert_close(out[k, :n], alone, atol=1e-5, rtol=1e-5)
    assert (out[~mask] == 0).all()
