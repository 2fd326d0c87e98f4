"""fairmotion's recurrent baselines: an LSTM reads the seed, an LSTM continues it.

Three kinds: "separate" encoder and decoder (seq2seq), "tied" (one LSTM for both), "single" (rnn:
one LSTM that is taught on every next frame, seed and target).

- The decoder's first input is the last seed frame, in training and in use; fairmotion feeds it
  target frame 0 in training.
- Teacher forcing is drawn per step, with probability max(0, 1 - 2 progress).
- `residual` adds the decoder's input to its output (velocity form) and begins with an output map
  of zeros, that is, as zero velocity; fairmotion does neither.

Letters: **B** windows, **T** frames, **C** = J M channels of a pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.motion.models.forecaster import Forecaster

State = tuple[Tensor, Tensor]
INIT = 0.08  # weights begin uniform within +-INIT


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the defaults are fairmotion's.

    Args:
        kind: see the module.
        hidden: units of an LSTM.
        layers: of an LSTM.
        dropout: on what the "single" LSTM reads.
        residual: predict the change instead of the pose.
        window: frames read.
        target: frames continued.
    """

    kind: Literal["separate", "tied", "single"] = "separate"
    hidden: int = 1024
    layers: int = 1
    dropout: float = 0.1
    residual: bool = False
    window: int = 120
    target: int = 24


def forcing(progress: float) -> float:
    """Probability of feeding the true frame: from 1 to 0 over the first half of the training."""
    return max(0.0, 1 - 2 * progress)


class Decoder(nn.Module):
    """An LSTM that continues a sequence frame by frame.

    Args:
        lstm: may be shared with an encoder.
        pose: C.
        residual: add the input to the output.
    """

    def __init__(self, lstm: nn.LSTM, pose: int, residual: bool):
        super().__init__()
        self.lstm, self.residual = lstm, residual
        self.project = nn.Linear(lstm.hidden_size, pose)

    def start_still(self) -> None:
        """Begin as zero velocity, if changes are what it predicts."""
        if self.residual:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def read(self, x: Float[Tensor, "B T C"], state: State | None) -> tuple[Tensor, State]:
        """The next frame after each of x, and the state."""
        out, state = self.lstm(x, state)
        out = self.project(out)
        return (x + out if self.residual else out), state

    def unroll(
        self,
        first: Float[Tensor, "B 1 C"],
        state: State | None,
        n: int,
        truth: Float[Tensor, "B N C"] | None = None,
        forced: float = 0.0,
    ) -> Float[Tensor, "B N C"]:
        """n frames; each step is fed the true frame before it with probability `forced`."""
        frame, made = first, []
        for step in range(n):
            frame, state = self.read(frame, state)
            made.append(frame)
            if truth is not None and torch.rand(()) < forced:
                frame = truth[:, step : step + 1]
        return torch.cat(made, 1)


class Seq2seq(Forecaster):
    """The network.

    Args:
        config: kind and sizes.
        joints: J.
        channels: M.
    """

    def __init__(self, config: Config, joints: int, channels: int):
        super().__init__(config.window, config.target)
        self.config = config
        pose = joints * channels
        lstm = nn.LSTM(pose, config.hidden, config.layers, batch_first=True)
        self.encoder = None
        if config.kind == "separate":
            self.encoder = nn.LSTM(pose, config.hidden, config.layers, batch_first=True)
        self.decoder = Decoder(lstm, pose, config.residual)
        self.dropout = nn.Dropout(config.dropout if config.kind == "single" else 0.0)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT, INIT)
        self.decoder.start_still()

    def teach(
        self, frames: Float[Tensor, "B T J M"], truth: Float[Tensor, "B T J M"], progress: float
    ) -> tuple[Tensor, Tensor]:
        """Continue the seed, partly fed with the truth; "single" also predicts the seed."""
        poses = frames.flatten(2)
        seed, target = poses[:, : self.window], poses[:, self.window :]
        within, state = self._read(seed)
        made = self.decoder.unroll(
            self.dropout(seed[:, -1:]), state, target.shape[1], target, forcing(progress)
        )
        if self.config.kind == "single":
            made, truth = torch.cat([within, made], 1), truth[:, 1:]
        else:
            truth = truth[:, self.window :]
        return made.unflatten(-1, frames.shape[2:]), truth

    def next_frames(self, window: Float[Tensor, "B T J M"]) -> Float[Tensor, "B N J M"]:
        """`target` frames, each fed to the next step."""
        poses = window.flatten(2)
        _, state = self._read(poses)
        made = self.decoder.unroll(poses[:, -1:], state, self.step)
        return made.unflatten(-1, window.shape[2:])

    def _read(self, seed: Float[Tensor, "B T C"]) -> tuple[Tensor, State]:
        """Predictions within the seed and the state; the last frame is left for the decoder.

        fairmotion's encoder reads the last frame too, so that it is read twice: kept for the two
        kinds that have an encoder.
        """
        if self.config.kind == "single":
            return self.decoder.read(self.dropout(seed[:, :-1]), None)
        encoder = self.decoder.lstm if self.encoder is None else self.encoder
        return encoder(seed)
