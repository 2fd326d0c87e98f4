"""Windows of 120 + 24 frames, cut as in the two published code bases.

- fairmotion: in every split windows of 180 frames every 120, of which the first 144 are used.
- motion-transformer: the centre window of each file of at least 180 frames for validation; as
  fairmotion for test.

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
        clips: each (T, ...), of one trailing shape; those shorter than `span` give no window.
        stride: frames between the starts of windows.
        span: frames that a clip must have from the start of a window on.
        length: frames returned of each window, at most `span`.
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
