"""Nearest neighbour, against all distances and by what must and must not change its answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from src.evaluation.baselines import FRAMES, hand_vector, nearest_neighbour
from src.landmarks import HANDS, LEFT_HAND, LEFT_SHOULDER, N_LANDMARKS, RIGHT_SHOULDER


def clip(frames: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0.5, 0.2, (frames, N_LANDMARKS, 3)).astype(np.float32)
    xyz[np.ix_(rng.random(frames) < 0.4, LEFT_HAND)] = np.nan
    return xyz


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [clip(1 + seed % 40, seed) for seed in range(40)]


@pytest.mark.parametrize("normalised", [False, True])
def test_the_nearest_by_all_distances_written_out(clips, normalised):
    train, test = clips[:20], clips[20:40]
    label = np.arange(20) % 7
    vectors = [[hand_vector(c, normalised) for c in part] for part in (train, test)]
    expected = label[cdist(vectors[1], vectors[0]).argmin(1)]
    np.testing.assert_array_equal(nearest_neighbour(train, label, test, normalised), expected)


def test_the_nearest_frame_is_taken():
    xyz = clip(FRAMES, 0)
    # Instants of 32 frames, 31/15 apart: the k-th is nearest to frame 2k or 2k + 1.
    np.testing.assert_array_equal(hand_vector(xyz.repeat(2, axis=0)), hand_vector(xyz))
    xyz = clip(2, 0)
    found = hand_vector(xyz).reshape(FRAMES, -1)
    first, second = (np.nan_to_num(frame[list(HANDS)]).ravel() for frame in xyz)
    np.testing.assert_array_equal(found, np.stack([first] * 8 + [second] * 8))


def test_raw_coordinates_are_raw_and_normalised_ones_are_not():
    xyz = clip(20, 0)
    moved = xyz * 1.5 + np.float32([0.3, -0.2, 0.0])
    assert np.abs(hand_vector(moved) - hand_vector(xyz)).max() > 0.1
    # float32 coordinates divided by a shoulder width of some tenths
    np.testing.assert_allclose(hand_vector(moved, True), hand_vector(xyz, True), atol=1e-4)


def test_shoulders_are_centre_and_measure():
    xyz = np.zeros((1, N_LANDMARKS, 3), np.float32)
    xyz[0, LEFT_SHOULDER, :2], xyz[0, RIGHT_SHOULDER, :2] = (0.75, 0.6), (0.25, 0.6)
    xyz[0, HANDS] = (0.75, 0.1, -0.25)  # half a width aside, a whole one up
    found = hand_vector(xyz, shoulder_normalised=True).reshape(FRAMES, len(HANDS), 3)
    # float32 cannot hold 0.6 and 0.1
    np.testing.assert_allclose(found, np.broadcast_to([0.5, -1, -0.5], found.shape), atol=1e-6)


def test_frames_without_shoulders_or_with_both_in_one_place_count_as_nothing():
    xyz = clip(FRAMES, 1)
    xyz[3, LEFT_SHOULDER] = np.nan
    xyz[5, LEFT_SHOULDER] = xyz[5, RIGHT_SHOULDER]
    found = hand_vector(xyz, shoulder_normalised=True).reshape(FRAMES, -1)
    assert (found[[3, 5]] == 0).all()
    assert (found[[2, 4, 6]] != 0).any(axis=1).all()


def test_only_hands_count(clips):
    """Everything else may be missing, unless the shoulders are the measure."""
    for full in clips[:5]:
        bare = full.copy()
        bare[:, np.setdiff1d(np.arange(N_LANDMARKS), HANDS)] = np.nan
        np.testing.assert_array_equal(hand_vector(bare), hand_vector(full))
