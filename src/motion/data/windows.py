"""Windows of 120 + 24 frames, cut the ways the two code bases cut them.

- fairmotion: every split alike, windows of 180 frames every 120, of which the first 144 are used.
- motion-transformer: training takes one random window of 144 per file and epoch; validation the
  centre window of each file of at least 180 frames; test as fairmotion.
- `sliding` with `span` = 144 and stride 60 gives the test windows of the shipped corpus.

A clip here is any array whose first axis is time. Letters: **B** windows, **T** frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SEED = 120  # frames given: 2 s
TARGET = 24  # frames forecast: 400 ms
LENGTH = SEED + TARGET
SPAN = 180  # frames that fairmotion's window holds, though it uses only the first 144
STRIDE = 120


def sliding(
    clips: Sequence[Tensor], stride: int = STRIDE, span: int = SPAN, length: int = LENGTH
) -> Tensor:
    """Every window of every clip, in order: (B, length, ...).

    Args:
        clips: each (T, ...), the same trailing shape; shorter ones than `span` give no window.
        stride: frames between the starts of windows.
        span: frames a window must find; the first `length` of them are returned.
        length: frames returned.
    """
    starts = [(clip, start) for clip in clips for start in range(0, len(clip) - span + 1, stride)]
    return _stack(clips, [clip[start : start + length] for clip, start in starts], length)


def centre(clips: Sequence[Tensor], span: int = SPAN, length: int = LENGTH) -> Tensor:
    """One window from the middle of each clip of at least `span` frames: (B, length, ...)."""
    kept = [clip for clip in clips if len(clip) >= span]
    starts = [(len(clip) - length) // 2 for clip in kept]
    windows = [clip[s : s + length] for clip, s in zip(kept, starts, strict=True)]
    return _stack(clips, windows, length)


def one_per_clip(
    clips: Sequence[Tensor], generator: torch.Generator, length: int = LENGTH
) -> Tensor:
    """One random window from each clip of at least `length` frames: an epoch of training."""
    kept = [clip for clip in clips if len(clip) >= length]
    starts = [int(torch.randint(len(clip) - length + 1, (), generator=generator)) for clip in kept]
    windows = [clip[s : s + length] for clip, s in zip(kept, starts, strict=True)]
    return _stack(clips, windows, length)


def _stack(clips: Sequence[Tensor], windows: list[Tensor], length: int) -> Tensor:
    if windows:
        return torch.stack(windows)
    return clips[0].new_zeros(0, length, *clips[0].shape[1:])
