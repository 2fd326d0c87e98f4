"""Augmentations that exchange parts of the body: a missing hand, another signer's face.

Letters: **B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.clips import Clips
from src.common.errors import InputError
from src.landmarks import NOSE_MEAN, Layout, Point
from src.transforms.augment.space import mirrored, where_chosen
from src.transforms.augment.time import between_frames
from src.transforms.pipeline import Draw, NeedsDonor, index


@dataclass(frozen=True)
class FillMissingHand:
    """Where one hand was not detected in a frame, put the other one's mirror image.

    It stays missing where the nose was not detected.

    Args:
        p: probability per clip.
        until: share of the training after which it stops.
        overwrite_left: what the authors' code does by a slip: the left hand becomes the mirrored
            right one in every frame, even where the right one is missing.
        nose: the point whose x is the mirror.
    """

    p: float
    until: float = 1.0
    overwrite_left: bool = False
    nose: Point = NOSE_MEAN

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        if draw.progress >= self.until:
            return clips
        chosen = draw.chance(self.p, len(clips.label))
        left = index(layout.rows("left_hand"), clips.xyz.device)
        right = index(layout.rows("right_hand"), clips.xyz.device)
        left_hand, right_hand = clips.xyz[:, :, left], clips.xyz[:, :, right]
        nose_x = clips.xyz[:, :, layout.row(self.nose), None, :1]  # (B, T, 1, 1)
        new = clips.xyz.clone()
        if self.overwrite_left:
            new[:, :, left] = _image(right_hand, nose_x)
        else:
            new[:, :, left] = _where_seen(left_hand, _image(right_hand, nose_x))
            new[:, :, right] = _where_seen(right_hand, _image(left_hand, nose_x))
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


def _image(hand: Tensor, mirror_x: Tensor) -> Tensor:
    x, yz = hand.split([1, 2], dim=-1)
    return torch.where(mirror_x.isnan(), torch.nan, torch.cat([2 * mirror_x - x, yz], -1))


def _where_seen(hand: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(hand.isnan(), otherwise, hand)


def right_handed(clips: Clips, layout: Layout) -> Bool[Tensor, " B"]:
    """True where the right hand is seen in more frames than the left."""
    device = clips.xyz.device
    left = clips.seen[..., index(layout.rows("left_hand"), device)].any(-1).sum(1)
    right = clips.seen[..., index(layout.rows("right_hand"), device)].any(-1).sum(1)
    return right > left


def extent(
    xyz: Float[Tensor, "B T L 3"], seen: Bool[Tensor, "B T L"]
) -> tuple[Float[Tensor, "B 1 1 3"], Float[Tensor, "B 1 1 3"]]:
    """Lowest and highest value of each axis over what was seen; infinite where nothing was."""
    hidden = ~seen[..., None]
    low = torch.where(hidden, torch.inf, xyz).amin((1, 2), keepdim=True)
    high = torch.where(hidden, -torch.inf, xyz).amax((1, 2), keepdim=True)
    return low, high


@dataclass(frozen=True)
class FaceCutMix(NeedsDonor):
    """Replace the face by that of another clip of the same sign.

    The donor is flipped when its dominant hand is the other one, stretched in time to the
    receiver's length, and its face moved and scaled, per axis, into the receiver's face's box. A
    clip is left alone where either face was never seen.

    Args:
        p: probability per clip.
        parts: what counts as the face.
        until: share of the training after which it stops.
    """

    p: float
    parts: tuple[str, ...]
    until: float = 1.0

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation.

        Raises:
            InputError: the step came without donors.
        """
        if draw.progress >= self.until:
            return clips
        if draw.donor is None:
            raise InputError("FaceCutMix: expected a donor batch in this step, got none")
        donor = draw.donor
        other_hand = right_handed(donor, layout) != right_handed(clips, layout)
        flipped = mirrored(donor.xyz, layout, centre=0.0)
        donor = donor.with_(xyz=where_chosen(other_hand, flipped, donor.xyz))

        face = index(layout.rows(*self.parts), clips.xyz.device)
        low, high = extent(clips.xyz[:, :, face], clips.seen[..., face])
        donor_low, donor_high = extent(donor.xyz[:, :, face], donor.seen[..., face])
        stretch = (high - low) / (donor_high - donor_low)
        usable = (stretch.isfinite() & (stretch > 0)).all(-1).flatten()  # (B,)

        t = torch.arange(clips.mask.shape[1], device=clips.xyz.device)
        # Multiplied first, so that the last frame is exactly the donor's last, not one after it.
        instant = t * (donor.length - 1)[:, None] / (clips.length - 1).clamp(min=1)[:, None]
        donated = between_frames(donor.xyz[:, :, face], instant)
        new = clips.xyz.clone()
        new[:, :, face] = (donated - donor_low) * stretch + low
        chosen = draw.chance(self.p, len(clips.label)) & usable
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))
