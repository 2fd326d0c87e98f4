"""Augmentations that imitate a detector's errors: noise, shifts, lost parts, mixed-up hands.

Every clip gets its own random values; NaN stays NaN. Letters: **B** batch, **T** frames,
**L** points, **P** parts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw, index


@dataclass(frozen=True)
class Jitter(ByChance):
    """Add noise from N(0, sigma) to every coordinate, in the coordinates' units.

    Source: Slovo, recognition.md 4.4.
    """

    sigma: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        return clips.xyz + self.sigma * draw.normal(*clips.xyz.shape)


@dataclass(frozen=True)
class ShiftPoints(ByChance):
    """Move each point by a vector from N(0, deviation), which is the same in all frames."""

    deviation: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        return clips.xyz + self.deviation * draw.normal(len(clips.label), 1, len(layout), 3)


@dataclass(frozen=True)
class ShiftGroups(ByChance):
    """Move each group of points by a random vector, which is the same in all frames.

    Args:
        deviation: standard deviation of each coordinate of a vector, in the landmarks' units.
        groups: landmarks that move together; a landmark in no group stays.
    """

    deviation: float
    groups: tuple[tuple[int, ...], ...]

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        shift = self.deviation * draw.normal(len(clips.label), len(self.groups), 1, 1, 3)
        new = clips.xyz.clone()
        for number, group in enumerate(self.groups):
            rows = index(tuple(layout.row(landmark) for landmark in group), new.device)
            new[:, :, rows] += shift[:, number]
        return new


@dataclass(frozen=True)
class Bend(ByChance):
    """Local distortion: pull one point, and the points around it follow, the nearer the more.

    The pull is from N(0, pull) along x and y, the same in all frames. A point at distance r from
    the pulled one moves exp(-r^2 / (2 reach^2)) as far, in the image plane. Frames without the
    pulled point stay as they are. `pull` and `reach` are in the coordinates' units.
    """

    pull: float
    reach: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n, device = len(clips.label), clips.xyz.device
        point = draw.integers(torch.full((n,), len(layout), device=device))
        pulled = clips.xyz[torch.arange(n, device=device), :, point][:, :, None]  # (B, T, 1, 3)
        distance2 = (clips.xyz - pulled)[..., :2].square().sum(-1, keepdim=True)
        weight = (-distance2 / (2 * self.reach**2)).exp()
        pull = torch.cat([self.pull * draw.normal(n, 2), torch.zeros(n, 1, device=device)], -1)
        moved = clips.xyz + weight * pull[:, None, None]
        return torch.where(pulled.isnan(), clips.xyz, moved)


@dataclass(frozen=True)
class DetectorErrors(ByChance):
    """A detector's errors: parts jump, parts are lost for some frames, hands change places.

    Args:
        jump: deviation of a part's shift, drawn in every frame, in the coordinates' units.
        lose: probability per frame and part that the part is lost from that frame on.
        lost_frames: for how many frames a part is lost.
        swap: probability per frame that the two hands change places.
    """

    jump: float
    lose: float
    lost_frames: int
    swap: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        (n, n_frames), device = clips.mask.shape, clips.xyz.device
        parts = tuple(k for k, points in enumerate(layout.parts.values()) for _ in points)
        part, n_parts = index(parts, device), len(layout.parts)

        # First swap the hands, in whole frames.
        swapped = draw.chance(self.swap, n, n_frames)[..., None, None]
        left, right = (index(layout.rows(hand), device) for hand in ("left_hand", "right_hand"))
        new = clips.xyz.clone()
        new[:, :, left] = torch.where(swapped, clips.xyz[:, :, right], clips.xyz[:, :, left])
        new[:, :, right] = torch.where(swapped, clips.xyz[:, :, left], clips.xyz[:, :, right])

        # Then move every part, and hide it where it is lost.
        shift = self.jump * draw.normal(n, n_frames, n_parts, 3)
        new = new + shift[:, :, part]
        lost = _lasting(draw.chance(self.lose, n, n_frames, n_parts), self.lost_frames)
        return torch.where(lost[:, :, part, None], torch.nan, new)


def _lasting(begins: Bool[Tensor, "B T P"], frames: int) -> Bool[Tensor, "B T P"]:
    """True in each frame where something begins and in the next `frames` - 1."""
    begun = begins.to(torch.int32).cumsum(1)
    ended = F.pad(begun, (0, 0, frames, 0))[:, : begun.shape[1]]
    return begun > ended
