"""Augmentations of pace: which of its frames a clip shows, and when.

Frames are taken as they are, the nearest one; nothing is interpolated, so no point appears that was
not detected. Letters: **B** batch, **T** frames, **L** points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.space import where_chosen
from src.transforms.augment.time import take_frames
from src.transforms.pipeline import Draw


def nearest_frames(
    clips: Clips, instant: Float[Tensor, "B T"], chosen: Bool[Tensor, " B"]
) -> Float[Tensor, "B T L 3"]:
    """The chosen clips at fractional instants (frames), each the nearest real frame."""
    last = (clips.length - 1)[:, None]
    frame = torch.minimum(instant.round().long().clamp(min=0), last)
    return where_chosen(chosen, take_frames(clips.xyz, frame), clips.xyz)


def _frames(clips: Clips) -> Float[Tensor, " T"]:
    return torch.arange(clips.mask.shape[1], device=clips.xyz.device, dtype=torch.float32)


@dataclass(frozen=True)
class TimeWarp:
    """Show a clip faster or slower, by one factor.

    A faster one ends sooner; of a slower one the end is lost, because no clip gets longer than it
    is. Source: Slovo, recognition.md 4.4.

    Args:
        p: probability per clip.
        low: slowest, of its own speed.
        high: fastest.
        min_frames: clips of fewer are left alone.
        keep: the frames that are left at least.
    """

    p: float
    low: float
    high: float
    min_frames: int
    keep: int

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n) & (clips.length >= self.min_frames)
        speed = draw.uniform(n, low=self.low, high=self.high)
        length = torch.where(chosen, (clips.length / speed).round(), clips.length)
        length = torch.minimum(length.clamp(min=self.keep), clips.length)
        t = _frames(clips)
        xyz = nearest_frames(clips, t * speed[:, None], chosen)
        return clips.with_(xyz=xyz, mask=t < length[:, None])


@dataclass(frozen=True)
class UnevenSpeed:
    """Show a clip at a pace that rises and falls, from its first frame to its last as before.

    At share u of the clip, share u + a / (2 pi) sin(2 pi u) is shown, where a is from
    U(-amount, amount): the pace is 1 + a at both ends and 1 - a in the middle.

    Args:
        p: probability per clip.
        amount: the largest change of pace, below 1 so that time never runs backwards.
    """

    p: float
    amount: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        change = draw.uniform(n, low=-self.amount, high=self.amount)[:, None] / (2 * math.pi)
        last = (clips.length - 1).clamp(min=1)[:, None]
        share = _frames(clips) / last
        shown = share + change * (2 * math.pi * share).sin()
        return clips.with_(xyz=nearest_frames(clips, shown * last, chosen))


@dataclass(frozen=True)
class Piece:
    """Show a random piece of the clip, at a pace that makes it as long as the whole.

    Args:
        p: probability per clip.
        share: the shortest piece, as a share of the clip's frames.
    """

    p: float
    share: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n = len(clips.label)
        chosen = draw.chance(self.p, n)
        pace = draw.uniform(n, low=self.share, high=1.0)
        start = draw.uniform(n) * (1 - pace) * (clips.length - 1)
        instant = start[:, None] + pace[:, None] * _frames(clips)
        return clips.with_(xyz=nearest_frames(clips, instant, chosen))


@dataclass(frozen=True)
class KeepFrames:
    """Hide frames from the model, each with the same probability; the others stay in their places.

    The mask gets gaps, so this is the last of a pipeline. Source: Slovo, recognition.md 4.2.

    Args:
        p: probability per clip.
        keep: probability of keeping a frame.
        least: the share of a clip's frames that is kept in any case.
    """

    p: float
    keep: float
    least: float

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        """Apply the augmentation."""
        n, n_frames = clips.mask.shape
        chosen = draw.chance(self.p, n)[:, None]
        luck = torch.where(clips.mask, draw.uniform(n, n_frames), torch.inf)
        rank = luck.argsort(1).argsort(1)  # 0 = kept before all others
        least = (self.least * clips.length).ceil().clamp(min=1)[:, None]
        kept = (luck < self.keep) | (rank < least) | ~chosen
        return clips.with_(mask=clips.mask & kept)
