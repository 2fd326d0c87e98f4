"""Nearest neighbour on hand coordinates: what any trained model has to beat.

Nothing is learnt: a clip gets the label of the nearest one, by Euclidean distance of the two clips'
vectors of 16 frames, NaN as 0. With `raw_hands` its accuracy tells how alike the pictures are; with
`aligned_hands` it knows what a signer would say at once: which hand signs, its shape, and where it
is on the body.

Letters: **T** frames of a clip, **M** clips.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int
from sklearn.neighbors import NearestNeighbors

from src.clips import RawClip
from src.landmarks import HANDS, LEFT_HAND, LEFT_SHOULDER, MIRROR, RIGHT_HAND, RIGHT_SHOULDER

FRAMES = 16
# How much a hand's shape and the wrists' places count, in shoulder widths.
SHAPE, PLACE = 2.0, 1.5


def nearest_neighbour(
    train: Iterable[RawClip],
    labels: Int[np.ndarray, "M"],
    test: Iterable[RawClip],
    vector: Callable[[RawClip], Float[np.ndarray, "_"]],
) -> Int[np.ndarray, "_"]:
    """Label every test clip like the training clip with the nearest vector.

    Clips are taken one by one, so that a generator keeps one of them in memory.
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

    Of the frames with a hand; mirrored where the left hand is seen in more of them. All in (x, y)
    and shoulder widths of the same frame: the hand from its wrist, the wrists from the middle
    between the shoulders.
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
    """The clip's frames nearest to FRAMES instants, float64.

    Not averages of two: a hand that is seen in one of two frames has no average.
    """
    return clip[np.rint(np.linspace(0, len(clip) - 1, FRAMES)).astype(int)].astype(np.float64)
