"""A mixer: plain maps over frames and over channels alternate, with whole poses as tokens (ours).

It has no attention and no recurrence. A window always has the same number of frames, so one matrix
per layer says how much each frame takes from every other. The mixer learns better from little data
than the spatio-temporal transformer does (docs/motion.md).

- The input is each frame's difference from the last frame; the last frame itself enters as a pose.
- The output is the difference of each target frame from the last frame seen. Training starts from
  an output of zero, that is, from zero velocity.

Letters: **B** windows, **T** frames seen, **N** frames forecast, **D** width, **C** = J M channels.
Source: Tolstikhin et al., MLP-Mixer, arXiv 2105.01601; Guo et al., siMLPe, arXiv 2207.01567, whose
cosine transform over time is left out because it gained nothing (docs/motion.md).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.motion.models.forecaster import Forecaster, Frames


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 128  # D
    layers: int = 4  # each has a map over frames and a feed-forward of width 2 D
    window: int = 20  # T; the maps over frames are T by T, so every window has this length
    frames_per_step: int = 24  # N


class Mixer(Forecaster):
    """The network for J joints of M channels."""

    def __init__(self, config: Config, joints: int, channels: int):
        super().__init__(config.window, config.frames_per_step)
        pose = joints * channels
        self.embedding = nn.Linear(pose, config.width)
        self.layers = nn.Sequential(*(Layer(config) for _ in range(config.layers)))
        self.frames = nn.Linear(config.window, config.frames_per_step)
        self.output = nn.Linear(config.width, pose)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        poses = window.flatten(2)
        seen = torch.cat([poses[:, :-1] - poses[:, -1:], poses[:, -1:]], 1)
        h = self.layers(self.embedding(seen))
        made = self.output(self.frames(h.mT).mT)
        return window[:, -1:] + made.unflatten(-1, window.shape[2:])


class Layer(nn.Module):
    """A map over frames, then a feed-forward over channels, each added to its input."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.frames = nn.Linear(config.window, config.window)
        self.expand, self.contract = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        x = x + self.frames(self.norms[0](x).mT).mT
        return x + self.contract(F.gelu(self.expand(self.norms[1](x))))
