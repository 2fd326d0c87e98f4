"""A forecaster at a lower frame rate, used like one at the clips' rate.

It sees every k-th frame, up to the last one given, and predicts every k-th frame. Between predicted
frames channels are interpolated linearly. The document speaks of 10 frames a second, which is k = 6
at 60 Hz.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.models.forecaster import Forecaster, Frames


def whole(model: Forecaster) -> Forecaster:
    """The network itself, whether it is thinned or not."""
    return model.inner if isinstance(model, Thinned) else model


class Thinned(Forecaster):
    """`inner` on every k-th frame; the inner window and step are counted in those frames."""

    def __init__(self, inner: Forecaster, every: int):
        super().__init__(inner.window * every, inner.step * every)
        self.inner, self.every = inner, every

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """Teach the inner forecaster on the frames that are kept."""
        return self.inner.teach(self._kept(frames), self._kept(truth), progress)

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        """Predicted frames, with interpolated frames before each of them."""
        ends = torch.cat([window[:, -1:], self.inner.next_frames(self._kept(window))], 1)
        shares = torch.arange(1, self.every + 1, device=ends.device, dtype=ends.dtype) / self.every
        between = torch.lerp(ends[:, :-1, None], ends[:, 1:, None], shares[:, None, None])
        return between.flatten(1, 2)

    def _kept(self, frames: Frames) -> Float[Tensor, "B _ J M"]:
        return frames[:, (frames.shape[1] - 1) % self.every :: self.every]
