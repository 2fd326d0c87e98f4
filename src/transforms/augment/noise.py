"""Augmentations that imitate a detector's errors: noise, lost points, bent parts, mixed-up hands.

Each clip draws for itself; NaN stays NaN. Letters: **B** batch, **T** frames, **L** points,
**P** parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import where_chosen
from src.transforms.pipeline import Draw, index


@dataclass(frozen=True)
class Jitter:
    """Add noise from N(0, sigma) to every coordinate, in its units.

    Source: Slovo, recognition.md 4.4.
    """

    p: float
    sigma: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        chosen = draw.chance(self.p, len(clips.label))
        new = clips.xyz + self.sigma * draw.normal(*clips.xyz.shape)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


@dataclass(frozen=True)
class HidePoints:
    """Coordinate dropout: some points are missing in the whole clip.

    Args:
        p: probability per clip.
        share: probability of hiding a point.
    """

    p: float
    share: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        hidden = draw.chance(self.share, n, 1, len(layout), 1) & _by_clip(draw.chance(self.p, n))
        return clips.with_(xyz=torch.where(hidden, torch.nan, clips.xyz))


def _by_clip(chosen: Bool[Tensor, " B"]) -> Bool[Tensor, "B 1 1 1"]:
    return chosen[:, None, None, None]


@dataclass(frozen=True)
class Bend:
    """Local distortion: pull at one point, and what is around it follows, less with the distance.

    A point at distance r of the pulled one moves exp(-r^2 / (2 reach^2)) as far, in the image
    plane, in every frame alike. Frames in which the pulled point was not detected stay.

    Args:
        p: probability per clip.
        pull: deviation of the pull along x and y, in the coordinates' units.
        reach: in the coordinates' units.
    """

    p: float
    pull: float
    reach: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        device = clips.xyz.device
        point = draw.integers(torch.full((n,), len(layout), device=device))
        pulled = clips.xyz[torch.arange(n, device=device), :, point][:, :, None]  # (B, T, 1, 3)
        distance2 = (clips.xyz - pulled)[..., :2].square().sum(-1, keepdim=True)
        weight = (-distance2 / (2 * self.reach**2)).exp()
        pull = torch.cat([self.pull * draw.normal(n, 2), torch.zeros(n, 1, device=device)], -1)
        moved = clips.xyz + weight * pull[:, None, None]
        new = torch.where(pulled.isnan(), clips.xyz, moved)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


@dataclass(frozen=True)
class DetectorErrors:
    """What a detector does wrong: parts jump, are lost for some frames, hands change places.

    Args:
        p: probability per clip.
        jump: deviation of a part's shift, a new one in every frame, in the coordinates' units.
        lose: probability, per frame and part, that the part is lost from there on.
        lost_frames: for how long.
        swap: probability, per frame, that left and right hand are taken for each other.
    """

    p: float
    jump: float
    lose: float
    lost_frames: int
    swap: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        (n, n_frames), device = clips.mask.shape, clips.xyz.device
        chosen = draw.chance(self.p, n)
        parts = tuple(k for k, points in enumerate(layout.parts.values()) for _ in points)
        part, n_parts = index(parts, device), len(layout.parts)

        swapped = draw.chance(self.swap, n, n_frames)[..., None, None]
        left, right = (index(layout.rows(hand), device) for hand in ("left_hand", "right_hand"))
        new = clips.xyz.clone()
        new[:, :, left] = torch.where(swapped, clips.xyz[:, :, right], clips.xyz[:, :, left])
        new[:, :, right] = torch.where(swapped, clips.xyz[:, :, left], clips.xyz[:, :, right])

        shift = self.jump * draw.normal(n, n_frames, n_parts, 3)
        new = new + shift[:, :, part]
        lost = _lasting(draw.chance(self.lose, n, n_frames, n_parts), self.lost_frames)
        new = torch.where(lost[:, :, part, None], torch.nan, new)
        return clips.with_(xyz=where_chosen(chosen, new, clips.xyz))


def _lasting(begins: Bool[Tensor, "B T P"], frames: int) -> Bool[Tensor, "B T P"]:
    """True in the frame where something begins and in the next ones, `frames` in all."""
    begun = begins.to(torch.int32).cumsum(1)
    ended = torch.zeros_like(begun)
    ended[:, frames:] = begun[:, :-frames]
    return begun > ended
