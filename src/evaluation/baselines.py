"""Nearest neighbour on hand coordinates: what any trained model has to beat.

Nothing is learnt: a clip gets the label of the training clip that is nearest to it, by Euclidean
distance of their vectors of 16 frames; NaN counts as 0. With `raw_hands` the accuracy shows how
alike the pictures are. `aligned_hands` compares what a signer would name first: which hand signs,
its shape, and where it is on the body.

Letters: **T** frames of a clip, **M** clips.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from src.clips import RawClip
from src.landmarks import HANDS, LEFT_HAND, LEFT_SHOULDER, MIRROR, RIGHT_HAND, RIGHT_SHOULDER

FRAMES = 16
# Factors for a hand's shape and for the wrists' places, which are in shoulder widths.
SHAPE, PLACE = 2.0, 1.5


def nearest_neighbour(
    train: Iterable[RawClip],
    labels: Int[np.ndarray, "M"],
    test: Iterable[RawClip],
    vector: Callable[[RawClip], Float[np.ndarray, "_"]],
) -> Int[np.ndarray, "_"]:
    """Label every test clip like the training clip with the nearest vector.

    Clips are taken one by one, so a generator keeps only one of them in memory.
    """
    known = NearestNeighbors(n_neighbors=1, algorithm="brute")
    known.fit(np.stack([vector(clip) for clip in train]))
    found = known.kneighbors(np.stack([vector(clip) for clip in test]), return_distance=False)
    return labels[found[:, 0]]


def raw_hands(clip: RawClip) -> Float[np.ndarray, "_"]:
    """Both hands as they are: a vector of FRAMES x 42 x 3 numbers, float32."""
    return np.nan_to_num(_frames(clip)[:, HANDS]).astype(np.float32).ravel()


def aligned_hands(clip: RawClip) -> Float[np.ndarray, "_"]:
    """The signing hand's shape, and where both wrists are: FRAMES x 44 numbers, float32.

    Only frames with a hand are used, mirrored if more of them show the left hand than the right.
    Places are (x, y) in shoulder widths of the same frame: the hand's are relative to its wrist,
    the wrists' to the middle between the shoulders.
    """
    left, right = (~np.isnan(clip[:, hand, 0]).all(1) for hand in (LEFT_HAND, RIGHT_HAND))
    if left.sum() > right.sum():
        clip = clip[:, MIRROR] * np.array([-1, 1, 1])
    if (left | right).any():
        clip = clip[left | right]
    xy = _frames(clip)[..., :2]

    # A frame without shoulders, or with both in one place, has no unit of length.
    shoulders = xy[:, LEFT_SHOULDER], xy[:, RIGHT_SHOULDER]
    width = np.linalg.norm(shoulders[0] - shoulders[1], axis=1)[:, None, None]
    width[width == 0] = np.nan
    middle = (shoulders[0] + shoulders[1])[:, None] / 2

    wrists = xy[:, (RIGHT_HAND[0], LEFT_HAND[0])]
    shape = (xy[:, RIGHT_HAND[1:]] - wrists[:, :1]) / width
    place = (wrists - middle) / width
    vector = np.concatenate([SHAPE * shape, PLACE * place], axis=1)
    return np.nan_to_num(vector).astype(np.float32).ravel()


def _frames(clip: RawClip) -> Float[np.ndarray, "FRAMES N 3"]:
    """The clip's frames nearest to FRAMES evenly spaced instants, float64.

    Frames are not averaged: a hand that is seen in only one of two frames has no average.
    """
    return clip[np.rint(np.linspace(0, len(clip) - 1, FRAMES)).astype(int)].astype(np.float64)
