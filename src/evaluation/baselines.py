"""Nearest neighbour on hand coordinates: what any trained model has to beat.

- Both hands, every clip resampled to 16 frames, NaN as 0, Euclidean distance, the label of the
  nearest clip: nothing is learnt, so its accuracy tells how alike the signers are.
- With `shoulder_normalised` the hands are first centred between the shoulders of their frame and
  divided by the shoulders' distance; z is only divided, because a hand's z is counted from its own
  wrist. Nothing is mirrored.

Letters: **T** frames of a clip, **M** clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from src.clips import RawClip
from src.landmarks import HANDS, LEFT_SHOULDER, RIGHT_SHOULDER

FRAMES = 16


def nearest_neighbour(
    train_xyz: Sequence[RawClip],
    train_labels: Int[np.ndarray, "M"],
    test_xyz: Sequence[RawClip],
    shoulder_normalised: bool = False,
) -> Int[np.ndarray, "_"]:
    """Label every test clip like the training clip whose hands are nearest."""
    train, test = (
        np.stack([hand_vector(clip, shoulder_normalised) for clip in clips])
        for clips in (train_xyz, test_xyz)
    )
    known = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(train)
    return train_labels[known.kneighbors(test, return_distance=False)[:, 0]]


def hand_vector(clip: RawClip, shoulder_normalised: bool = False) -> Float[np.ndarray, "_"]:
    """One clip as a vector of FRAMES x 42 x 3 numbers, float64.

    The nearest frames are taken, not averages of two: a hand that is seen in one of two frames has
    no average.
    """
    frames = np.rint(np.linspace(0, len(clip) - 1, FRAMES)).astype(int)
    clip = clip[frames].astype(np.float64)
    hands = clip[:, HANDS]
    if shoulder_normalised:
        left, right = clip[:, LEFT_SHOULDER, :2], clip[:, RIGHT_SHOULDER, :2]
        width = np.linalg.norm(left - right, axis=1)
        # A frame without shoulders, or with both in one place, has no unit of length.
        width[width == 0] = np.nan
        hands[..., :2] -= ((left + right) / 2)[:, None]
        hands /= width[:, None, None]
    return np.nan_to_num(hands).ravel()
