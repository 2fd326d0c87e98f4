"""Augmentations that replace parts of the body: a missing hand, another signer's face.

Letters: **B** batch, **T** frames, **L** points.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.clips import Clips
from src.common.errors import InputError
from src.landmarks import NOSE_MEAN, Layout, Point
from src.transforms.augment.sometimes import where_chosen
from src.transforms.augment.space import mirrored
from src.transforms.augment.time import between_frames
from src.transforms.pipeline import Draw, index


@dataclass(frozen=True)
class FillMissingHand:
    """Fill in a hand that was not detected in a frame: mirror the other hand.

    In frames without a nose the hand stays missing.

    Args:
        p: probability per clip.
        until: share of the training after which nothing is filled any more.
        overwrite_left: replace the left hand by the mirrored right one in every frame, as the
            authors' code does by mistake. That code takes missing points for the origin: without a
            right hand, all points of the left one are at (2 x of the nose, 0, 0).
        nose: the point whose x is the mirror of the hands.
    """

    p: float
    until: float = 1.0
    overwrite_left: bool = False
    nose: Point = NOSE_MEAN

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        if draw.progress >= self.until:
            return clips
        chosen = draw.chance(self.p, len(clips.label))
        hands = layout.rows("left_hand"), layout.rows("right_hand")
        left, right = (index(rows, clips.xyz.device) for rows in hands)
        left_hand, right_hand = clips.xyz[:, :, left], clips.xyz[:, :, right]
        nose_x = clips.xyz[:, :, layout.row(self.nose), None, :1]  # (B, T, 1, 1)
        new = clips.xyz.clone()
        if self.overwrite_left:
            image = _image(right_hand.nan_to_num(0.0), nose_x.nan_to_num(0.0))
            new[:, :, left] = torch.where((image != 0).any(-1, keepdim=True), image, torch.nan)
        else:
            for rows, hand, other in (left, left_hand, right_hand), (right, right_hand, left_hand):
                new[:, :, rows] = torch.where(hand.isnan(), _image(other, nose_x), hand)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


def _image(hand: Tensor, mirror_x: Tensor) -> Tensor:
    x, yz = hand.split([1, 2], dim=-1)
    return torch.where(mirror_x.isnan(), torch.nan, torch.cat([2 * mirror_x - x, yz], -1))


def right_handed(clips: Clips, layout: Layout) -> Bool[Tensor, " B"]:
    """True for clips in which the right hand is seen in more frames than the left."""
    left, right = (
        clips.seen[..., index(layout.rows(hand), clips.xyz.device)].any(-1).sum(1)
        for hand in ("left_hand", "right_hand")
    )
    return right > left


def extent(
    xyz: Float[Tensor, "B T L 3"], seen: Bool[Tensor, "B T L"]
) -> tuple[Float[Tensor, "B 1 1 3"], Float[Tensor, "B 1 1 3"]]:
    """Lowest and highest value of each axis over the points seen; infinite if there are none."""
    hidden = ~seen[..., None]
    low = torch.where(hidden, torch.inf, xyz).amin((1, 2), keepdim=True)
    high = torch.where(hidden, -torch.inf, xyz).amax((1, 2), keepdim=True)
    return low, high


@dataclass(frozen=True)
class FaceCutMix:
    """Replace the face by that of another signer's clip of the same sign, `Draw.donor`.

    The donor is flipped if its dominant hand differs from the clip's, and stretched in time to the
    clip's length; its face is moved and scaled, per axis, into the box of the clip's face. A clip
    is left alone if either face was never seen, or has no extent along an axis.

    Args:
        p: probability per clip.
        parts: what counts as the face.
        until: share of the training after which no face is replaced any more.

    Raises:
        InputError: `draw` has no donor.
    """

    p: float
    parts: tuple[str, ...]
    until: float = 1.0
    needs_donor: ClassVar[bool] = True

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        if draw.progress >= self.until:
            return clips
        if draw.donor is None:
            raise InputError("FaceCutMix: expected a donor batch in this step, found none")
        donor = draw.donor
        other_hand = right_handed(donor, layout) != right_handed(clips, layout)
        flipped = mirrored(donor.xyz, layout, centre=0.0)
        donor = donor.with_(xyz=where_chosen(other_hand, flipped, donor.xyz))

        # The boxes of both faces, and the scale from the donor's to the clip's.
        face = index(layout.rows(*self.parts), clips.xyz.device)
        low, high = extent(clips.xyz[:, :, face], clips.seen[..., face])
        donor_low, donor_high = extent(donor.xyz[:, :, face], donor.seen[..., face])
        stretch = (high - low) / (donor_high - donor_low)
        usable = (stretch.isfinite() & (stretch > 0)).all(-1).flatten()  # (B,)

        # The donor's face at the times of the clip's frames, moved into the box. Multiplying before
        # dividing makes the last instant exactly the donor's last frame, not a later one.
        t = torch.arange(clips.mask.shape[1], device=clips.xyz.device)
        instant = t * (donor.length - 1)[:, None] / (clips.length - 1).clamp(min=1)[:, None]
        donated = between_frames(donor.xyz[:, :, face], instant)
        new = clips.xyz.clone()
        new[:, :, face] = (donated - donor_low) * stretch + low
        chosen = draw.chance(self.p, len(clips.label)) & usable
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))
