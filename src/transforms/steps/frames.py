"""Clip steps that choose points and frames: select, drop, stride, subsample.

Functions of one clip (T, L, 3) without a Python branch on a length or a value, so that torch.export
can follow them at any T. Letters: **T** frames, **L** points, **N** rows of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from src.landmarks import Layout


def select(rows: Float[Tensor, "T N 3"], points: Sequence[Sequence[int]]) -> Float[Tensor, "T L 3"]:
    """Pick a layout's points out of frame rows; a point of several rows is their mean.

    Args:
        rows: (T, N, 3), NaN = not detected.
        points: the rows behind each point, in layout order.

    Returns:
        (T, L, 3); a mean is NaN where one of its rows is.
    """
    pieces, i = [], 0
    while i < len(points):  # a run of points of one row each is a single gather
        j = i
        while j < len(points) and len(points[j]) == 1:
            j += 1
        if j > i:
            pieces.append(rows[:, torch.tensor([k for (k,) in points[i:j]])])
        if j < len(points):
            pieces.append(rows[:, torch.tensor(points[j])].mean(1, keepdim=True))
        i = j + 1
    return torch.cat(pieces, 1)


@dataclass(frozen=True)
class Hide:
    """Treat all points of the named parts as not detected.

    If only some sources of clips have a part, its presence tells the source, and a model learns
    which signs a source has instead of the signs.
    """

    parts: tuple[str, ...]

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T L 3"]:
        hidden = layout.rows(*self.parts)
        rows = [float("nan") if row in hidden else 0.0 for row in range(len(layout))]
        return xyz + torch.tensor(rows)[:, None]


@dataclass(frozen=True)
class KeepFramesWith:
    """Drop the frames in which no point of the named parts was detected.

    A clip in which they were never detected is kept whole, because a model needs a frame.
    """

    parts: tuple[str, ...]

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        seen = ~xyz[:, torch.tensor(layout.rows(*self.parts)), 0].isnan().all(1)  # (T,)
        keep = seen | ~seen.any()
        return xyz[keep.nonzero().squeeze(1)]


@dataclass(frozen=True)
class Stride:
    """Keep every n-th frame of a clip longer than `max_len`, so that at most `max_len` are left.

    n = floor(T / max_len) + 1, and the frames kept are n, 2n, 3n, ..., counted from 1.
    Source: 6th place, recognition.md 3.2.
    """

    max_len: int

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        n_frames = xyz.shape[0]
        # (T - 1) // max_len is 0 for up to max_len frames; T // max_len is 1 at max_len already.
        longer = torch.sym_min((n_frames - 1) // self.max_len, 1)
        step = 1 + longer * (n_frames // self.max_len)
        counter = torch.arange(1, n_frames + 1)
        return xyz[(counter % step == 0).nonzero().squeeze(1)]


@dataclass(frozen=True)
class Truncate:
    """Keep the first `max_len` frames."""

    max_len: int

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        return xyz[: self.max_len]


@dataclass(frozen=True)
class Subsample:
    """Keep `max_len` evenly spaced frames of a longer clip: floor(i T / max_len).

    The same as a nearest-neighbour resize, and as numpy's linspace without its end point.
    """

    max_len: int

    def __call__(self, xyz: Float[Tensor, "T L 3"], layout: Layout) -> Float[Tensor, "T2 L 3"]:
        n_frames = xyz.shape[0]
        n_kept = torch.sym_min(n_frames, self.max_len)
        return xyz[torch.arange(n_kept) * n_frames // n_kept]
