"""2nd place's features: one hand and the lips, their motion, distances and angles.

- Only the hand with fewer missing numbers is read, always as a left hand: a right hand is mirrored
  about the middle of the upper lip. The hand is chosen here, after the augmentations, because one
  of them swaps the hands.
- Positions and motions are normalised with one mean and one deviation per clip, over x, y and z
  together; distances and angles are computed from the coordinates before that.
- Lip distances are taken between the first twenty points only. The authors call this a mistake that
  gave good results.

Letters: **B** batch, **T** frames, **F** features, **L** points, **P** pairs or triples of points,
**M** points that are read, 61. Source: second-place-transformers.txt 1.2; recognition.md 1.3.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from src.landmarks import (
    FINGERS,
    LEFT_HAND,
    LIP_ANGLES_MEANT,
    LIP_ANGLES_PUBLISHED,
    LIPS_40_BY_SIDE,
    LIPS_MIDLINE,
    WRIST,
    Layout,
)
from src.transforms.pipeline import index

LIPS_IN_DISTANCES = 20  # how many of the forty lip points

_Triples = tuple[tuple[int, int, int], ...]  # (a, vertex, c), positions within a part
_LIP_ANGLES = {"published": LIP_ANGLES_PUBLISHED, "meant": LIP_ANGLES_MEANT}
LIP_ANGLES = {
    name: tuple(tuple(LIPS_40_BY_SIDE.index(k) for k in triple) for triple in triples)
    for name, triples in _LIP_ANGLES.items()
}
FINGER_ANGLES: _Triples = tuple(finger[i : i + 3] for finger in FINGERS for i in range(3))
HAND_PAIRS = tuple(combinations(range(len(LEFT_HAND)), 2))
LIP_PAIRS = tuple(combinations(range(LIPS_IN_DISTANCES), 2))


@dataclass(frozen=True)
class HandBertFeatures:
    """972 numbers per frame (984 with wrists), from the parts lips, left_hand and right_hand.

    In this order: positions, motion since the frame before, motion until the frame after (183
    each: x, y, z of 40 lip points, then of 21 hand points), 190 lip distances, 210 hand distances,
    8 lip angles, 15 finger angles; with `wrists`, x and y of the read hand's wrist and of the other
    wrist, and both motions of the two. A number that needs a missing point, or a frame before the
    first or after the last, is 0.

    Args:
        mirror_x: the x about which a right hand is mirrored in clips that never show the lips; 0.5
            is the middle of the image. A flipped clip, where x is negative, uses -`mirror_x`. In
            other clips, frames without lips use the lips' mean x. None = x is missing in frames
            without lips, as in the authors' code.
        lip_angles: "published" = the authors' eight corners; "meant" = the corners that they
            intended before they mixed up two orders of points.
        interior_angles: take the angle inside a finger's joint, as the authors' code does, not that
            between its two bones, as the document does; the cosines differ in sign.
        future_first: order the two motions as the authors' code does: first the future one, with
            the opposite sign.
        wrists: add where the wrists are, in the clip's units. Without lips the published positions
            do not show it: they are centred on the hand then. Source: ours.
    """

    mirror_x: float | None = 0.5
    lip_angles: Literal["published", "meant"] = "published"
    interior_angles: bool = False
    future_first: bool = False
    wrists: bool = False

    @property
    def size(self) -> int:
        """How many numbers a frame has: F."""
        return 972 + (12 if self.wrists else 0)

    def __call__(
        self, xyz: Float[Tensor, "B T L 3"], mask: Bool[Tensor, "B T"] | None, layout: Layout
    ) -> Float[Tensor, "B T F"]:
        """Make the features; padded frames come out as 0."""
        if mask is not None:  # padded frames count as missing
            xyz = torch.where(mask[..., None, None], xyz, torch.nan)
        lips = xyz[:, :, index(layout.rows("lips"), xyz.device)]
        hand, other = both_hands(xyz, layout, self.mirror_x)
        position = standardised(torch.cat([lips, hand], 2)).flatten(2)
        finger_angles = cosines(hand, FINGER_ANGLES)
        blocks = [
            position,
            *self._motions(position),
            distances(lips, LIP_PAIRS),
            distances(hand, HAND_PAIRS),
            cosines(lips, LIP_ANGLES[self.lip_angles]),
            finger_angles if self.interior_angles else -finger_angles,
        ]
        if self.wrists:
            place = torch.cat([hand[:, :, WRIST, :2], other[:, :, WRIST, :2]], -1)
            blocks += [place, *self._motions(place)]
        features = torch.cat(blocks, -1)
        return torch.where(features.isnan(), 0.0, features)

    def _motions(self, position: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor]:
        """Motion since the frame before and until the frame after; 0 or NaN at the clip's ends."""
        n_frames = position.shape[1]
        t = torch.arange(n_frames, device=position.device)
        history = position - position[:, (t - 1).clamp(min=0)]
        future = position[:, (t + 1).clamp(max=n_frames - 1)] - position
        return (-future, history) if self.future_first else (history, future)


def both_hands(
    xyz: Float[Tensor, "B T L 3"], layout: Layout, mirror_x: float | None
) -> tuple[Float[Tensor, "B T 21 3"], Float[Tensor, "B T 21 3"]]:
    """The hand with fewer missing numbers (right if equal) as a left hand, and the other hand.

    Both hands are mirrored, or neither is. `mirror_x` is as in `HandBertFeatures`.
    """
    hands = (layout.rows("left_hand"), layout.rows("right_hand"))
    left, right = (xyz[:, :, index(rows, xyz.device)] for rows in hands)
    missing_left, missing_right = (h.isnan().sum((1, 2, 3), keepdim=True) for h in (left, right))
    left_signs = missing_left < missing_right
    middle = _mirror(xyz[:, :, layout.row(LIPS_MIDLINE[0]), None, :1], right, mirror_x)
    left_image, right_image = (
        torch.cat([2 * middle - hand[..., :1], hand[..., 1:]], -1) for hand in (left, right)
    )
    return (
        torch.where(left_signs, left, right_image),
        torch.where(left_signs, right, left_image),
    )


def _mirror(
    lip_x: Float[Tensor, "B T 1 1"], right: Float[Tensor, "B T 21 3"], mirror_x: float | None
) -> Float[Tensor, "B T 1 1"]:
    """The x about which the right hand is mirrored, frame by frame."""
    if mirror_x is None:
        return lip_x
    seen = ~lip_x.isnan()
    mean = torch.where(seen, lip_x, 0.0).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    x = right[..., :1]
    flipped = torch.where(x.isnan(), 0.0, x).sum((1, 2), keepdim=True) < 0
    never = torch.where(flipped, -mirror_x, mirror_x)
    usual = torch.where(seen.any(1, keepdim=True), mean, never)
    return torch.where(seen, lip_x, usual)


def standardised(xyz: Float[Tensor, "B T M 3"]) -> Float[Tensor, "B T M 3"]:
    """Subtract the mean of a clip's detected coordinates and divide by their unbiased deviation.

    The result is NaN if these coordinates are all equal.
    """
    known = ~xyz.isnan()
    count = known.sum((1, 2, 3), keepdim=True)
    mean = torch.where(known, xyz, 0.0).sum((1, 2, 3), keepdim=True) / count.clamp(min=1)
    centred = xyz - mean
    squares = torch.where(known, centred * centred, 0.0).sum((1, 2, 3), keepdim=True)
    deviation = (squares / (count - 1).clamp(min=1)).sqrt()
    return centred / deviation


def distances(
    xyz: Float[Tensor, "B T M 3"], pairs: tuple[tuple[int, int], ...]
) -> Float[Tensor, "B T P"]:
    """Distance of each pair of points in the image plane."""
    a, b = (index(column, xyz.device) for column in zip(*pairs, strict=True))
    xy = xyz[..., :2]
    return torch.linalg.vector_norm(xy[:, :, a] - xy[:, :, b], dim=-1)


def cosines(xyz: Float[Tensor, "B T M 3"], triples: _Triples) -> Float[Tensor, "B T P"]:
    """Cosine of the angle at the vertex of each (a, vertex, c), in space; 0 if a or c is on it."""
    a, vertex, c = (xyz[:, :, index(column, xyz.device)] for column in zip(*triples, strict=True))
    return F.cosine_similarity(a - vertex, c - vertex, dim=-1)
