"""The interface of every model that forecasts motion.

One training loop serves all models: `teach` returns predictions and the truth to compare them with.
Frames are normalised.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Frames = Float[Tensor, "B T J M"]
Feedback = Callable[[Tensor], Tensor]


class Forecaster(nn.Module, ABC):
    """A model that looks back `window` frames and adds `step` frames at a time."""

    def __init__(self, window: int, step: int):
        super().__init__()
        self.window, self.step = window, step

    @property
    def span(self) -> int:
        """Frames of a training window."""
        return self.window + self.step

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """Predict frames of training windows; in this base class, the `step` frames at their end.

        Args:
            frames: (B, span, J, M), no NaN.
            truth: the same frames with NaN where nothing was observed.
            progress: share of the training that is done, 0 to 1, for teacher forcing.

        Returns:
            Predictions and truths of one shape, (B, ..., J, M).
        """
        return self.next_frames(frames[:, : self.window]), truth[:, self.window :]

    @abstractmethod
    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        """The `step` frames after a window of at most `window` frames."""

    def forecast(
        self, seed: Frames, n: int, feedback: Feedback | None = None
    ) -> Float[Tensor, "B N J M"]:
        """Continue a seed by n frames.

        Args:
            seed: at least one frame; the last `window` are used.
            n: frames to add.
            feedback: applied to frames before they are fed back, such as a projection to rotations;
                the returned frames stay as predicted.
        """
        window, made = seed[:, -self.window :], []
        for _ in range(math.ceil(n / self.step)):
            frames = self.next_frames(window)
            made.append(frames)
            fed = frames if feedback is None else feedback(frames)
            window = torch.cat([window, fed], 1)[:, -self.window :]
        return torch.cat(made, 1)[:, :n]


def parameter_count(model: nn.Module) -> int:
    """The number of a model's trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
