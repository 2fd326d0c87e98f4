"""Augmentations of pace: which of its frames a clip shows, and when.

Every frame shown is one of the clip's own, the nearest in time; nothing is interpolated, so no
point appears that was not detected. Letters: **B** batch, **T** frames, **L** points.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from src.clips import Clips
from src.landmarks import Layout
from src.transforms.augment.sometimes import ByChance, where_chosen
from src.transforms.augment.time import take_frames
from src.transforms.pipeline import Draw


def nearest_frames(clips: Clips, instant: Float[Tensor, "B T"]) -> Float[Tensor, "B T L 3"]:
    """The clips at fractional instants (in frames), each shown by the nearest real frame."""
    last = (clips.length - 1)[:, None]
    return take_frames(clips.xyz, torch.minimum(instant.round().long().clamp(min=0), last))


def _frames(clips: Clips) -> Float[Tensor, " T"]:
    return torch.arange(clips.mask.shape[1], device=clips.xyz.device, dtype=torch.float32)


@dataclass(frozen=True)
class TimeWarp:
    """Show a clip faster or slower, by a factor from U(low, high).

    A clip is always shown from its first frame to its last. A faster clip keeps at least
    max(`keep`, 1) frames. A slower clip stays as it is, because no clip may get longer: in the
    document all clips have the full length already. Clips of fewer than `min_frames` frames are
    left alone; each other clip is chosen with probability `p`. Source: Slovo, recognition.md 4.4.
    """

    p: float
    low: float
    high: float
    min_frames: int
    keep: int

    def __call__(self, clips: Clips, layout: Layout, draw: Draw) -> Clips:
        n = len(clips.label)
        chosen = draw.chance(self.p, n) & (clips.length >= self.min_frames)
        speed = draw.uniform(n, low=self.low, high=self.high)
        least = max(self.keep, 1)
        warped = torch.minimum((clips.length / speed).round().clamp(min=least), clips.length)
        length = torch.where(chosen, warped, clips.length)
        t = _frames(clips)
        pace = (clips.length - 1) / (length - 1).clamp(min=1)  # frames of the clip per frame shown
        xyz = where_chosen(chosen, nearest_frames(clips, t * pace[:, None]), clips.xyz)
        return clips.with_(xyz=xyz, mask=t < length[:, None])


@dataclass(frozen=True)
class UnevenSpeed(ByChance):
    """Show a clip at a pace that rises and falls, still from its first frame to its last.

    At share u of the clip, the frame at share u + a / (2 pi) sin(2 pi u) is shown, with a from
    U(-amount, amount): the pace is 1 + a at both ends and 1 - a in the middle. An `amount` of 1 or
    more would let time run backwards.
    """

    amount: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        change = draw.uniform(len(clips.label), low=-self.amount, high=self.amount)
        change = change[:, None] / (2 * math.pi)
        last = (clips.length - 1).clamp(min=1)[:, None]
        share = _frames(clips) / last
        shown = share + change * (2 * math.pi * share).sin()
        return nearest_frames(clips, shown * last)


@dataclass(frozen=True)
class Piece(ByChance):
    """Show a random piece, at least `share` of the clip, slowed down to the clip's length."""

    share: float

    def changed(self, clips: Clips, layout: Layout, draw: Draw) -> Float[Tensor, "B T L 3"]:
        n = len(clips.label)
        pace = draw.uniform(n, low=self.share, high=1.0)
        start = draw.uniform(n) * (1 - pace) * (clips.length - 1)
        return nearest_frames(clips, start[:, None] + pace[:, None] * _frames(clips))


@dataclass(frozen=True)
class KeepFrames:
    """In clips chosen with `p`, keep each frame with probability `keep` and mask the others.

    At least the share `least` of a clip's frames is kept. The mask then has gaps, so unlike the
    augmentations this comes after mixing. Source: Slovo, recognition.md 4.2.
    """

    p: float
    keep: float
    least: float

    def __call__(self, mask: Bool[Tensor, "B T"], draw: Draw) -> Bool[Tensor, "B T"]:
        """Leave frames out of the mask."""
        n, n_frames = mask.shape
        chosen = draw.chance(self.p, n)[:, None]
        luck = torch.where(mask, draw.uniform(n, n_frames), torch.inf)
        rank = luck.argsort(1).argsort(1)  # the lowest ranks are the `least` frames to keep
        least = (self.least * mask.sum(1)).ceil().clamp(min=1)[:, None]
        return mask & ((luck < self.keep) | (rank < least) | ~chosen)
