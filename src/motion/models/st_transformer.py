"""The spatio-temporal transformer: joints attend over time and to one another, in parallel.

- Every joint has its own weights; keys and values of the spatial attention are shared by all.
- At every position of the window, prediction = last frame seen + output (velocity form).
- `norm="token"` normalises each token by itself. The original's "sample" (the default of
  TensorFlow's contrib) takes moments over all frames and joints of a sample, so later frames change
  earlier outputs.
- With `frames_per_step` > 1 each position predicts several frames at once, as offsets from the last
  frame seen, so errors are not fed back within a step (the document's models predict one frame).

Source: Aksan et al., arXiv 2004.08692; studies: motion-prediction.txt, appendix.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.motion.body.skeleton import ADJACENCY
from src.motion.models.attention import SpaceAttention, TimeAttention
from src.motion.models.forecaster import Forecaster, Frames
from src.motion.models.per_joint import PerJointLinear
from src.motion.models.positions import sinusoids

Block = Literal["joint time", "pose time", "shared space", "own space"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and choices; the defaults are the published model."""

    width: int = 128  # D
    feed_forward: int = 256  # hidden channels per joint
    heads: int = 8  # H, of every attention
    layers: int = 8  # pairs of attention blocks
    window: int = 120  # frames it looks back

    # The two attentions of a layer, in parallel. "joint time": over time, per joint (equation 5).
    # "pose time": over time, one map for the whole pose (study 08; Reading: scores are sums over
    # joints, scaled by sqrt(J D / H), values are per joint). "shared space": over joints, one key
    # and one value map for all (equation 3). "own space": over joints, a key and a value map per
    # joint (equation 4).
    blocks: tuple[Block, Block] = ("joint time", "shared space")
    norm: Literal["token", "sample"] = "token"  # over which the moments are taken, see the module
    positions: bool = True  # add sinusoids over time

    # Add the joints' adjacency to the embedding. "fixed": its rows, zero-padded to D (Reading of
    # study 03). "learned": its rows through a learned J -> D map (Reading of study 04).
    joint_relation: Literal["none", "fixed", "learned"] = "none"

    # Standard deviation of noise on the embedding's input in training; the frame to which the
    # output is added gets none (Reading). The unit is the representation's, because the document
    # argues with matrix entries within +-1 (Reading).
    noise: float = 0.0
    dropout: float = 0.1  # after the embedding, both attentions and the feed-forward
    frames_per_step: int = 1  # frames predicted from each position
    start_still: bool = False  # start with an output map of zeros: zero velocity (ours)


class StTransformer(Forecaster):
    """The network; its input was divided by `scale`, which also brings noise to the same unit."""

    def __init__(self, config: Config, scale: Float[Tensor, "J M"]):
        super().__init__(config.window, config.frames_per_step)
        joints, channels = scale.shape
        self.config = config
        self.embedding = PerJointLinear(joints, channels, config.width)
        self.layers = nn.ModuleList(Layer(config, joints) for _ in range(config.layers))
        self.output = PerJointLinear(joints, config.width, config.frames_per_step * channels)
        if config.start_still:
            nn.init.zeros_(self.output.weight)
        self.dropout = nn.Dropout(config.dropout)
        if config.joint_relation == "learned":
            self.relation = nn.Linear(joints, config.width, bias=False)
        if config.joint_relation != "none":
            assert config.width >= joints, "each joint's row of the adjacency is padded to D"
            self.register_buffer("adjacency", torch.from_numpy(ADJACENCY), persistent=False)
        self.register_buffer("noise", config.noise / scale, persistent=False)
        self.register_buffer("pattern", sinusoids(config.window, config.width), persistent=False)

    def forward(self, x: Float[Tensor, "B T J M"]) -> Float[Tensor, "B T N J M"]:
        """The N frames after every frame, predicted from the frames up to it."""
        batch, frames, joints, channels = x.shape
        h = self._embed(x)
        for layer in self.layers:
            h = layer(h)
        out = self.output(h.flatten(1, 2)).view(joints, batch, frames, self.step, channels)
        return x[:, :, None] + out.permute(1, 2, 3, 0, 4)

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """Let every position of the window predict the frames after it."""
        predicted = self(frames[:, : -self.step])
        # (B, T, J, M, N) -> (B, T, N, J, M)
        following = truth[:, 1:].unfold(1, self.step, 1).movedim(-1, 2)
        return predicted, following

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        """The frames after the last one; positions count from 0 in every window."""
        return self(window)[:, -1]

    def _embed(self, x: Float[Tensor, "B T J M"]) -> Float[Tensor, "J B T D"]:
        batch, frames = x.shape[:2]
        if self.training and self.config.noise:
            x = x + self.noise * torch.randn_like(x)
        flat = x.permute(2, 0, 1, 3).flatten(1, 2)
        h = self.embedding(flat).unflatten(1, (batch, frames))
        if self.config.positions:
            h = h + self.pattern[:frames]
        if self.config.joint_relation == "fixed":
            rows = F.pad(self.adjacency, (0, self.config.width - len(self.adjacency)))
            h = h + rows[:, None, None]
        elif self.config.joint_relation == "learned":
            h = h + self.relation(self.adjacency)[:, None, None]
        return self.dropout(h)


class Layer(nn.Module):
    """Two attentions in parallel, their normalised sums added, then a feed-forward per joint."""

    def __init__(self, config: Config, joints: int):
        super().__init__()
        self.attentions = nn.ModuleList(_attention(kind, config, joints) for kind in config.blocks)
        self.norms = nn.ModuleList(Norm(config.width, config.norm) for _ in config.blocks)
        self.expand = PerJointLinear(joints, config.width, config.feed_forward)
        self.contract = PerJointLinear(joints, config.feed_forward, config.width)
        self.last_norm = Norm(config.width, config.norm)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        first, second = (
            norm(x + self.dropout(attention(x)))
            for attention, norm in zip(self.attentions, self.norms, strict=True)
        )
        out = first + second
        hidden = self.contract(self.expand(out.flatten(1, 2)).relu()).view_as(out)
        return self.last_norm(out + self.dropout(hidden))


def _attention(kind: Block, config: Config, joints: int) -> nn.Module:
    sizes = joints, config.width, config.heads
    if kind in ("joint time", "pose time"):
        return TimeAttention(*sizes, whole_pose=kind == "pose time")
    return SpaceAttention(*sizes, shared=kind == "shared space")


class Norm(nn.LayerNorm):
    """Layer norm with a gain and a bias per channel; moments per token or per sample.

    The epsilon is torch's 1e-5; the original's 1e-12 is lost beside a 1 in float32.
    """

    def __init__(self, width: int, over: Literal["token", "sample"]):
        super().__init__(width)
        self.over = over

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        if self.over == "token":
            return super().forward(x)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias
