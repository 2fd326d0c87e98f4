"""Nearest neighbour, against all distances and by what must and must not change its answer."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from src.evaluation.baselines import FRAMES, aligned_hands, nearest_neighbour, raw_hands
from src.landmarks import (
    HANDS,
    LEFT_HAND,
    LEFT_SHOULDER,
    MIRROR,
    N_LANDMARKS,
    RIGHT_HAND,
    RIGHT_SHOULDER,
)


def clip(frames: int, seed: int) -> np.ndarray:
    """Whose right hand is seen in more frames than the left."""
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0.5, 0.2, (frames, N_LANDMARKS, 3)).astype(np.float32)
    xyz[np.ix_(rng.random(frames) < 0.4, LEFT_HAND)] = np.nan
    xyz[0, LEFT_HAND] = np.nan
    return xyz


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [clip(1 + seed % 40, seed) for seed in range(40)]


@pytest.mark.parametrize("vector", [raw_hands, aligned_hands])
def test_the_nearest_by_all_distances_written_out(clips, vector):
    train, test = clips[:20], clips[20:40]
    label = np.arange(20) % 7
    vectors = [[vector(c) for c in part] for part in (train, test)]
    expected = label[cdist(vectors[1], vectors[0]).argmin(1)]
    found = nearest_neighbour(iter(train), label, iter(test), vector)  # one clip at a time will do
    np.testing.assert_array_equal(found, expected)


def test_the_nearest_frame_is_taken():
    xyz = clip(FRAMES, 0)
    # Instants of 32 frames, 31/15 apart: the k-th is nearest to frame 2k or 2k + 1.
    np.testing.assert_array_equal(raw_hands(xyz.repeat(2, axis=0)), raw_hands(xyz))
    xyz = clip(2, 0)
    found = raw_hands(xyz).reshape(FRAMES, -1)
    first, second = (np.nan_to_num(frame[list(HANDS)]).ravel() for frame in xyz)
    np.testing.assert_array_equal(found, np.stack([first] * 8 + [second] * 8))


def test_raw_hands_are_all_that_counts_raw(clips):
    for full in clips[:5]:
        bare = full.copy()
        bare[:, np.setdiff1d(np.arange(N_LANDMARKS), HANDS)] = np.nan
        np.testing.assert_array_equal(raw_hands(bare), raw_hands(full))


def test_size_place_and_side_do_not_matter_once_aligned():
    xyz = clip(20, 0)
    moved = xyz * 1.5 + np.float32([0.3, -0.2, 0.0])
    left_handed = xyz[:, MIRROR] * np.float32([-1, 1, 1]) + np.float32([1, 0, 0])
    for other in (moved, left_handed):
        assert np.abs(raw_hands(other) - raw_hands(xyz)).max() > 0.1
        # float32 coordinates divided by a shoulder width of some tenths
        np.testing.assert_allclose(aligned_hands(other), aligned_hands(xyz), atol=2e-3)


def test_shape_counts_from_the_wrist_and_wrists_from_the_shoulders():
    xyz = np.zeros((1, N_LANDMARKS, 3), np.float32)
    xyz[0, LEFT_SHOULDER, :2], xyz[0, RIGHT_SHOULDER, :2] = (0.75, 0.6), (0.25, 0.6)
    xyz[0, LEFT_HAND] = np.nan
    xyz[0, RIGHT_HAND] = (0.5, 0.1, -0.25)  # a whole width above the middle
    xyz[0, RIGHT_HAND[5], 0] += 0.25  # one knuckle half a width beside the wrist
    found = aligned_hands(xyz).reshape(FRAMES, -1, 2)
    expected = np.zeros((22, 2))
    expected[4] = (2 * 0.5, 0)
    expected[20] = (0, -1.5)  # the signing hand's wrist; the other one was not seen
    # float32 cannot hold 0.6 and 0.1
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-6)


def test_frames_without_hands_are_left_out():
    xyz = clip(FRAMES, 1)
    longer = np.insert(xyz, [0, 7, 7, FRAMES], np.nan, axis=0)
    np.testing.assert_array_equal(aligned_hands(longer), aligned_hands(xyz))
    assert (aligned_hands(np.full_like(xyz, np.nan)) == 0).all()


def test_frames_without_shoulders_or_with_both_in_one_place_count_as_nothing():
    xyz = clip(FRAMES, 1)
    xyz[3, LEFT_SHOULDER] = np.nan
    xyz[5, LEFT_SHOULDER] = xyz[5, RIGHT_SHOULDER]
    found = aligned_hands(xyz).reshape(FRAMES, -1)
    assert (found[[3, 5]] == 0).all()
    assert (found[[2, 4, 6]] != 0).any(axis=1).all()
