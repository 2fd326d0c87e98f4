"""Windows of 120 + 24 frames, cut as in the two published code bases.

- fairmotion: in every split a window of 180 frames starts every 120; its first 144 are used.
- motion-transformer: for validation the centre window of each file of at least 180 frames; for
  test the same windows as fairmotion.

A clip here is any array whose first axis is time. Letters: **B** windows, **T** frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SEED = 120  # frames given: 2 s
TARGET = 24  # frames forecast: 400 ms
LENGTH = SEED + TARGET
SPAN = 180  # frames of fairmotion's windows, of which it uses the first 144
STRIDE = 120  # frames between the starts of fairmotion's windows


def sliding(
    clips: Sequence[Tensor], stride: int = STRIDE, span: int = SPAN, length: int = LENGTH
) -> Tensor:
    """Every window of every clip, in order: (B, length, ...).

    Args:
        clips: each (T, ...), all of one trailing shape; clips shorter than `span` give no window.
        stride: frames between the starts of windows.
        span: frames that a clip must still have where a window starts.
        length: frames of each window that are returned, at most `span`.
    """
    windows = [
        clip[start : start + length]
        for clip in clips
        for start in range(0, len(clip) - span + 1, stride)
    ]
    return torch.stack(windows) if windows else clips[0].new_zeros(0, length, *clips[0].shape[1:])


def centre(clips: Sequence[Tensor]) -> Tensor:
    """One window from the middle of each clip of at least 180 frames: (B, 144, ...)."""
    long_enough = (clip for clip in clips if len(clip) >= SPAN)
    return torch.stack([clip[(len(clip) - LENGTH) // 2 :][:LENGTH] for clip in long_enough])
