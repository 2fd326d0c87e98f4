"""What every model that forecasts motion is: it learns from windows and continues them.

- `teach` gives predictions and truths to compare, whatever a model is taught on (every next frame,
  the target only, ...), so that one training loop serves all.
- `next_frames` continues a window once; `forecast` repeats it, feeding its own frames back.

Frames are in the network's space, normalised. Letters: **B** windows, **T** frames, **J** joints,
**M** channels per joint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Feedback = Callable[[Tensor], Tensor]


class Forecaster(nn.Module, ABC):
    """A model that continues motion.

    Args:
        window: frames it looks back.
        step: frames it adds at a time.
    """

    def __init__(self, window: int, step: int):
        super().__init__()
        self.window, self.step = window, step

    @property
    def span(self) -> int:
        """Frames of a training window."""
        return self.window + self.step

    @abstractmethod
    def teach(
        self, frames: Float[Tensor, "B T J M"], truth: Float[Tensor, "B T J M"], progress: float
    ) -> tuple[Tensor, Tensor]:
        """Predict what a window teaches.

        Args:
            frames: (B, span, J, M), no NaN.
            truth: the same frames, NaN where nothing was observed: not counted.
            progress: share of the training that is done, 0 to 1, for teacher-forcing schedules.

        Returns:
            Predictions and truths of one shape, (B, ..., J, M).
        """

    @abstractmethod
    def next_frames(self, window: Float[Tensor, "B T J M"]) -> Float[Tensor, "B N J M"]:
        """The `step` frames after a window of at most `window` frames."""

    def forecast(
        self, seed: Float[Tensor, "B T J M"], n: int, feedback: Feedback | None = None
    ) -> Float[Tensor, "B N J M"]:
        """Continue a seed by n frames.

        Args:
            seed: at least one frame; the last `window` are used.
            n: frames to add.
            feedback: applied to frames before they are fed back, such as a projection to
                rotations; the frames returned are as they were predicted.
        """
        window, made = seed[:, -self.window :], []
        while sum(frames.shape[1] for frames in made) < n:
            frames = self.next_frames(window)
            made.append(frames)
            fed = frames if feedback is None else feedback(frames)
            window = torch.cat([window, fed], 1)[:, -self.window :]
        return torch.cat(made, 1)[:, :n]


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers of a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
