"""The spatio-temporal transformer: joints attend over time and to one another, in parallel.

- Every joint has its own weights; keys and values of the spatial attention are shared by all.
- Prediction = last frame seen + output (velocity form), at every position of the window, causally.
- `norm="token"` normalises each token by itself. "sample" is the original's (TensorFlow's contrib
  default: moments over all frames and joints of a sample), where later frames leak into earlier
  outputs through the moments.
- `frames_per_step` > 1 predicts several frames at once from each position, as offsets from the
  last frame seen; the document's models predict one (ours: no error is fed back within a step).
- `velocities` lets the embedding see the change from the frame before, too (ours).

Letters: **B** windows, **T** frames, **J** joints, **M** channels, **D** width, **H** heads.
Inside, the joint axis leads: (J, B, T, D), so that per-joint weights are one batched product.
Source: Aksan et al., arXiv 2004.08692, equations 3 to 5; studies: motion-prediction.txt, appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.common.errors import InputError
from src.motion.body.skeleton import ADJACENCY
from src.motion.models.attention import over_joints, over_time
from src.motion.models.dropout import Dropout
from src.motion.models.forecaster import Forecaster
from src.motion.models.per_joint import PerJointLinear, linear
from src.motion.models.positions import sinusoids

Block = Literal["joint time", "pose time", "shared space", "own space"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes and choices; the defaults are the published model.

    Args:
        width: D.
        feed_forward: hidden channels per joint.
        heads: H, of every attention.
        layers: pairs of attention blocks.
        window: frames it looks back.
        blocks: the two attentions of a layer, in parallel. "joint time": over time, per joint
            (equation 5). "pose time": over time, one map for the whole pose (study 08; Reading:
            scores summed over joints, scaled by sqrt(J D / H), values per joint). "shared space":
            over joints, one key and one value map for all (equation 3). "own space": a key and a
            value map per joint (equation 4).
        norm: what layer norm takes its moments over; see the module.
        positions: add sinusoids over time.
        joint_relation: add the joints' adjacency to the embedding. "fixed": its rows, zero-padded
            to D (Reading of study 03). "learned": its rows through a learned J -> D map (Reading of
            study 04).
        noise: standard deviation of noise on the embedding's input, in training only; the
            velocity path stays clean (Reading).
        noise_unit: "raw": of the representation itself, which the document argues with (matrix
            entries lie within +-1); "normalised": of the network's input, as a literal patch of
            the original would have it.
        dropout: after the embedding, both attentions and the feed-forward.
        frames_per_step: frames predicted from each position.
        velocities: see the module.
        start_still: begin with an output map of zeros, that is, as zero velocity (ours).
    """

    width: int = 128
    feed_forward: int = 256
    heads: int = 8
    layers: int = 8
    window: int = 120
    blocks: tuple[Block, Block] = ("joint time", "shared space")
    norm: Literal["token", "sample"] = "token"
    positions: bool = True
    joint_relation: Literal["none", "fixed", "learned"] = "none"
    noise: float = 0.0
    noise_unit: Literal["raw", "normalised"] = "raw"
    dropout: float = 0.1
    frames_per_step: int = 1
    velocities: bool = False
    start_still: bool = False


class StTransformer(Forecaster):
    """The network.

    Args:
        config: sizes.
        scale: (J, M), what the input was divided by; turns raw noise into the network's unit.
    """

    def __init__(self, config: Config, scale: Float[Tensor, "J M"]):
        super().__init__(config.window, config.frames_per_step)
        joints, channels = scale.shape
        _check(config, joints)
        self.config = config
        inputs = channels * (2 if config.velocities else 1)
        self.embedding = PerJointLinear(joints, inputs, config.width)
        self.layers = nn.ModuleList(Layer(config, joints) for _ in range(config.layers))
        self.output = PerJointLinear(joints, config.width, config.frames_per_step * channels)
        if config.start_still:
            nn.init.zeros_(self.output.weight)
        self.dropout = Dropout(config.dropout)
        self.relation = None
        if config.joint_relation == "learned":
            self.relation = nn.Linear(joints, config.width, bias=False)
        if config.joint_relation != "none":
            self.register_buffer("adjacency", torch.from_numpy(ADJACENCY), persistent=False)
        noise = config.noise / scale if config.noise_unit == "raw" else config.noise
        self.register_buffer("noise", noise * torch.ones_like(scale), persistent=False)
        pattern = sinusoids(config.window, config.width)
        self.register_buffer("pattern", pattern, persistent=False)

    def forward(self, x: Float[Tensor, "B T J M"]) -> Float[Tensor, "B T N J M"]:
        """The frames after every frame, each seeing only the frames up to its own."""
        batch, frames, joints, channels = x.shape
        h = self._embed(x)
        for layer in self.layers:
            h = layer(h)
        out = self.output(h.flatten(1, 2)).view(joints, batch, frames, self.step, channels)
        return x[:, :, None] + out.permute(1, 2, 3, 0, 4)

    def teach(
        self, frames: Float[Tensor, "B T J M"], truth: Float[Tensor, "B T J M"], progress: float
    ) -> tuple[Tensor, Tensor]:
        """Every position predicts the frames after it."""
        predicted = self(frames[:, : -self.step])
        # (B, T, J, M, N) -> (B, T, N, J, M)
        following = truth[:, 1:].unfold(1, self.step, 1).movedim(-1, 2)
        return predicted, following

    def next_frames(self, window: Float[Tensor, "B T J M"]) -> Float[Tensor, "B N J M"]:
        """The frames after the last one; positions count from 0 in every window."""
        return self(window)[:, -1]

    def _embed(self, x: Float[Tensor, "B T J M"]) -> Float[Tensor, "J B T D"]:
        batch, frames = x.shape[:2]
        if self.training and self.config.noise:
            x = x + self.noise * torch.randn_like(x)
        if self.config.velocities:
            x = torch.cat([x, F.pad(x.diff(dim=1), (0, 0, 0, 0, 1, 0))], -1)
        flat = x.permute(2, 0, 1, 3).flatten(1, 2)
        h = self.embedding(flat).unflatten(1, (batch, frames))
        if self.config.positions:
            h = h + self.pattern[:frames]
        if self.config.joint_relation == "fixed":
            rows = F.pad(self.adjacency, (0, self.config.width - len(self.adjacency)))
            h = h + rows[:, None, None]
        elif self.relation is not None:
            h = h + self.relation(self.adjacency)[:, None, None]
        return self.dropout(h)


def _check(config: Config, joints: int) -> None:
    if config.width % config.heads:
        raise InputError(f"width {config.width} must be a multiple of heads {config.heads}")
    if config.joint_relation == "none":
        return
    if joints != len(ADJACENCY):
        raise InputError(
            f"joint_relation={config.joint_relation!r} knows the {len(ADJACENCY)} SMPL joints "
            f"only, the data have {joints}; set it to 'none'"
        )
    if config.width < joints:
        raise InputError(f"joint_relation needs a width of at least {joints}, got {config.width}")


class Layer(nn.Module):
    """Two attentions in parallel, their normalised sums added, then a feed-forward per joint."""

    def __init__(self, config: Config, joints: int):
        super().__init__()
        self.attentions = nn.ModuleList(_attention(kind, config, joints) for kind in config.blocks)
        self.norms = nn.ModuleList(Norm(config.width, config.norm) for _ in config.blocks)
        self.expand = PerJointLinear(joints, config.width, config.feed_forward)
        self.contract = PerJointLinear(joints, config.feed_forward, config.width)
        self.last_norm = Norm(config.width, config.norm)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """One layer."""
        # Under autocast every product would cast its input anew; they all read the same.
        device = x.device.type
        half = torch.is_autocast_enabled(device)
        read = x.to(torch.get_autocast_dtype(device)) if half else x
        first, second = (
            norm(self.dropout.added(x, attention(read)))
            for attention, norm in zip(self.attentions, self.norms, strict=True)
        )
        out = first + second
        hidden = self.expand(out.flatten(1, 2)).relu()
        return self.last_norm(self.dropout.added(out, self.contract(hidden).view_as(out)))


def _attention(kind: Block, config: Config, joints: int) -> nn.Module:
    match kind:
        case "joint time":
            return JointTime(joints, config.width, config.heads)
        case "pose time":
            return PoseTime(joints, config.width, config.heads)
        case "shared space":
            return SharedSpace(joints, config.width, config.heads)
        case "own space":
            return OwnSpace(joints, config.width, config.heads)


class JointTime(nn.Module):
    """Causal attention over time, every joint by itself (equation 5)."""

    def __init__(self, joints: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = PerJointLinear(joints, width, width, fused=3)
        self.output = PerJointLinear(joints, width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """Attend to the same joint in frames up to one's own."""
        joints, batch, frames, _ = x.shape
        qkv = self.query_key_value(x.flatten(1, 2)).view(joints * batch, frames, 3, self.heads, -1)
        out = over_time(qkv).reshape(joints, batch * frames, -1)
        return self.output(out).view_as(x)


class PoseTime(nn.Module):
    """Causal attention over time with one map per head for all joints (study 08)."""

    def __init__(self, joints: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = PerJointLinear(joints, width, width, fused=3)
        self.output = PerJointLinear(joints, width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """Attend to whole poses in frames up to one's own."""
        joints, batch, frames, _ = x.shape
        qkv = self.query_key_value(x.flatten(1, 2))
        qkv = qkv.view(joints, batch, frames, 3, self.heads, -1)
        out = over_time(qkv.permute(1, 2, 3, 4, 0, 5).flatten(-2))  # (B, T, H, J d)
        out = out.unflatten(-1, (joints, -1)).permute(3, 0, 1, 2, 4)  # (J, B, T, H, d)
        return self.output(out.reshape(joints, batch * frames, -1)).view_as(x)


class SharedSpace(nn.Module):
    """Attention over the joints of a frame; keys and values from one map for all (equation 3)."""

    def __init__(self, joints: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = PerJointLinear(joints, width, width)
        self.key, self.value = linear(width, width), linear(width, width)
        self.output = linear(width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """Attend to all joints of the same frame."""
        flat = x.flatten(1, 2)
        out = over_joints(self.query(flat), self.key(flat), self.value(flat), self.heads)
        return self.output(out).view_as(x)


class OwnSpace(nn.Module):
    """Attention over the joints of a frame; keys and values per joint (equation 4)."""

    def __init__(self, joints: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = PerJointLinear(joints, width, width, fused=3)
        self.output = linear(width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """Attend to all joints of the same frame."""
        q, k, v = self.query_key_value(x.flatten(1, 2)).chunk(3, -1)
        return self.output(over_joints(q, k, v, self.heads)).view_as(x)


class Norm(nn.Module):
    """Layer norm with a gain and a bias per channel; moments per token or per sample.

    The original's epsilon, 1e-12, is under float32's reach of 1; 1e-5 is torch's.
    """

    def __init__(self, width: int, over: Literal["token", "sample"]):
        super().__init__()
        self.over = over
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        """Normalise."""
        if self.over == "token":
            return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias
