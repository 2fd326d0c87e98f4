"""fairmotion's recurrent baselines: an LSTM reads the seed, an LSTM continues it.

There are three kinds: "separate" encoder and decoder (seq2seq), "tied" (one LSTM for both), and
"single" (rnn: one LSTM that is taught on every next frame of seed and target).

- The decoder's first input is the last seed frame, in training and in use. fairmotion's is target
  frame 0 in training.
- In each step the true frame is fed with probability max(0, 1 - 2 progress).
- With `residual` the decoder's input is added to its output (velocity form), and the output map
  starts with zeros, that is, from zero velocity. fairmotion does neither.

Letters: **B** windows, **T** frames, **C** = J M channels of a pose.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.motion.models.forecaster import Forecaster, Frames

State = tuple[Tensor, Tensor]
INIT = 0.08  # weights begin uniform within +-INIT


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the defaults are fairmotion's."""

    kind: Literal["separate", "tied", "single"] = "separate"  # see the module
    hidden: int = 1024  # units of an LSTM
    layers: int = 1  # of an LSTM
    dropout: float = 0.1  # on the input of the "single" LSTM
    residual: bool = False  # predict the change instead of the pose
    window: int = 120  # frames read
    target: int = 24  # frames continued


def forcing(progress: float) -> float:
    """Probability of feeding the true frame: from 1 to 0 over the first half of the training."""
    return max(0.0, 1 - 2 * progress)


class Decoder(nn.Module):
    """An LSTM that continues poses of C channels frame by frame; an encoder may share it."""

    def __init__(self, lstm: nn.LSTM, pose: int, residual: bool):
        super().__init__()
        self.lstm, self.residual = lstm, residual
        self.project = nn.Linear(lstm.hidden_size, pose)

    def start_still(self) -> None:
        """If the network predicts changes, make it start from zero velocity."""
        if self.residual:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def read(self, x: Float[Tensor, "B T C"], state: State | None) -> tuple[Tensor, State]:
        """The frame after each frame of x, and the LSTM's state."""
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
        """Continue by n frames; with probability `forced` a step is fed the true frame."""
        frame, made = first, []
        for step in range(n):
            frame, state = self.read(frame, state)
            made.append(frame)
            if truth is not None and torch.rand(()) < forced:
                frame = truth[:, step : step + 1]
        return torch.cat(made, 1)


class Continuing(Forecaster):
    """A model that reads a seed into the state of a decoder's LSTM, which continues the seed."""

    def __init__(self, window: int, target: int, decoder: Decoder):
        super().__init__(window, target)
        self.decoder = decoder

    @abstractmethod
    def read(self, seed: Float[Tensor, "B T C"]) -> State:
        """The LSTM's state after the seed."""

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """Continue the seed; some steps are fed true frames."""
        poses = frames.flatten(2)
        seed, target = poses[:, : self.window], poses[:, self.window :]
        forced = forcing(progress)
        made = self.decoder.unroll(seed[:, -1:], self.read(seed), self.step, target, forced)
        return made.unflatten(-1, frames.shape[2:]), truth[:, self.window :]

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        """Predict `target` frames, each fed to the next step."""
        poses = window.flatten(2)
        made = self.decoder.unroll(poses[:, -1:], self.read(poses), self.step)
        return made.unflatten(-1, window.shape[2:])


class Seq2seq(Continuing):
    """The network for J joints of M channels."""

    def __init__(self, config: Config, joints: int, channels: int):
        pose = joints * channels
        lstm = nn.LSTM(pose, config.hidden, config.layers, batch_first=True)
        super().__init__(config.window, config.target, Decoder(lstm, pose, config.residual))
        self.config = config
        self.encoder = None
        if config.kind == "separate":
            self.encoder = nn.LSTM(pose, config.hidden, config.layers, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INIT, INIT)
        self.decoder.start_still()

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """Continue the seed, some steps fed true frames; "single" also predicts the seed."""
        if self.config.kind != "single":
            return super().teach(frames, truth, progress)
        poses = frames.flatten(2)
        seed, target = poses[:, : self.window], poses[:, self.window :]
        within, state = self.decoder.read(self.dropout(seed[:, :-1]), None)
        made = self.decoder.unroll(
            self.dropout(seed[:, -1:]), state, self.step, target, forcing(progress)
        )
        return torch.cat([within, made], 1).unflatten(-1, frames.shape[2:]), truth[:, 1:]

    def read(self, seed: Float[Tensor, "B T C"]) -> State:
        """The LSTM's state.

        The "single" LSTM leaves the seed's last frame to `unroll`. An encoder reads that frame too,
        so it is read twice, as in fairmotion.
        """
        if self.config.kind == "single":
            return self.decoder.read(seed[:, :-1], None)[1]
        encoder = self.decoder.lstm if self.encoder is None else self.encoder
        return encoder(seed)[1]
