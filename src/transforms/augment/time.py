"""Augmentations along time: fill gaps, crop.

Letters: **B** batch, **T** frames, **L** points.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance
from src.transforms.pipeline import Draw


def take_frames(
    xyz: Float[Tensor, "B T L 3"], frame: Int[Tensor, "B T2"]
) -> Float[Tensor, "B T2 L 3"]:
    """Take the named frames of each clip, in the order of `frame`."""
    clip = torch.arange(len(xyz), device=xyz.device)[:, None]
    return xyz[clip, frame]


def between_frames(
    xyz: Float[Tensor, "B T L 3"], instant: Float[Tensor, "B T2"]
) -> Float[Tensor, "B T2 L 3"]:
    """Each clip at fractional instants (in frames), linear between the two frames around each.

    The result is NaN where one of the two frames is. Beyond an end, the end frame is repeated.
    """
    instant = instant.clamp(0, xyz.shape[1] - 1)
    before = instant.floor()
    weight = (instant - before)[..., None, None]
    earlier = take_frames(xyz, before.long())
    later = take_frames(xyz, instant.ceil().long())
    return earlier + weight * (later - earlier)


@dataclass(frozen=True)
class FillMissing(ByChance):
    """Fill missing points linearly in time, and with the nearest known value at the ends.

    A point that is known in fewer than two frames stays as it is.
    """

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        known = clips.seen  # (B, T, L)
        n_frames = known.shape[1]
        # For each frame, the last known frame up to it and the first known frame from it on; at a
        # clip's ends only one of the two exists, and it stands for both.
        t = torch.arange(n_frames, device=known.device)[:, None]
        before = torch.where(known, t, -1).cummax(1).values  # -1 = none
        after = torch.where(known, t, n_frames).flip(1).cummin(1).values.flip(1)
        first = torch.where(before < 0, after, before).clamp(max=n_frames - 1)
        last = torch.where(after >= n_frames, before, after).clamp(min=0)
        # Linear between the two.
        weight = ((t - first).clamp(min=0) / (last - first).clamp(min=1))[..., None]
        earlier, later = (
            clips.xyz.gather(1, frame[..., None].expand(clips.xyz.shape)) for frame in (first, last)
        )
        fillable = (known.sum(1, keepdim=True) > 1) & ~known
        return torch.where(fillable[..., None], earlier + weight * (later - earlier), clips.xyz)


@dataclass(frozen=True)
class Crop:
    """Cut one frame or more, up to a share of the clip, off the start or the end with equal chance.

    Args:
        p: probability per clip.
        share: the most that is cut, as a share of the clip's frames; one frame always stays.
        min_frames: shorter clips are left alone, and so are those whose share is below one frame.
        late_p: probability in the second half of the training, halved in the authors' code; None =
            `p` throughout.
    """

    p: float
    share: float
    min_frames: int
    late_p: float | None = None

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        late = self.late_p is not None and draw.progress >= 0.5
        n, n_frames = clips.mask.shape
        length = clips.length
        chosen = draw.chance(self.late_p if late else self.p, n) & (length >= self.min_frames)
        most = torch.minimum((self.share * length).long(), length - 1)
        cut = torch.where(chosen & (most > 0), 1 + draw.integers(most), 0)
        at_start = draw.chance(0.5, n)
        t = torch.arange(n_frames, device=length.device)
        frame = t + torch.where(at_start, cut, 0)[:, None]
        return clips.with_(
            xyz=take_frames(clips.xyz, frame.clamp(max=n_frames - 1)),
            mask=t < (length - cut)[:, None],
        )


@dataclass(frozen=True)
class Window:
    """Cut the batch to `max_len` frames: keep a random window of each longer clip."""

    max_len: int

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        if clips.mask.shape[1] <= self.max_len:
            return clips
        length = clips.length
        start = draw.integers(length - self.max_len + 1)
        t = torch.arange(self.max_len, device=length.device)
        return clips.with_(xyz=take_frames(clips.xyz, start[:, None] + t), mask=t < length[:, None])
