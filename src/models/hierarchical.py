"""Slovo: an embedding per part, attention between parts, local and global blocks.

Unusual here:
- Points are normalised inside the network, with statistics of the training clips (parts.py):
  `learn_statistics` computes these before training.
- In a local block a frame sees only the frames near it. Every frame sees itself, even a padded one:
  without any key its row of attention weights would be NaN.

Letters: **B** batch, **T** frames, **L** points, **D** width, **H** heads, **K** signs.
Source: recognition.md 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import Layout
from src.models import Mask
from src.models.blocks import (
    LayerMix,
    RmsNorm,
    SwiGlu,
    attend,
    by_head,
    drop_path,
    heads_joined,
    masked_mean,
)
from src.models.hands import HandShapes
from src.models.parts import CrossAttention, PatchEmbedding, PointNorm
from src.models.pooling import MultiScalePooling
from src.models.rotary import Rotary

PARTS = ("lips", "left_hand", "right_hand", "pose")  # other parts of a layout are not read
KERNELS = (3, 5, 7)  # frames that the parallel convolutions span
# True where a frame sees another; None = every frame sees all frames.
AttentionMask = Bool[Tensor, "_ 1 T T"] | None


@dataclass(frozen=True)
class Config:
    """Sizes of one network."""

    max_len: int  # frames of the longest clip
    dim: int = 512  # D
    heads: int = 8  # H
    local_layers: int = 4  # blocks before the convolution
    global_layers: int = 4  # blocks after the convolution
    dropout: float = 0.1  # everywhere
    attention_dropout: float = 0.0  # for the blocks' attention weights; authors' code: 0.1
    patch: int = 4  # points of a patch
    patch_heads: int = 4  # heads of the attention between the patches of a frame
    positions: int = 1000  # rows of the temporal embedding
    scales: tuple[int, ...] = (1, 2, 4, 8)  # see `MultiScalePooling`
    widths: tuple[int, ...] = (256, 128)  # widths of the classifier's layers
    hand_shapes: bool = False  # add `HandShapes` to a frame's vector
    # How many frames to either side a frame sees in a local block; None = it sees all frames, as in
    # the authors' code.
    local_window: int | None = 8
    averaged_bins: bool = False  # the authors' code: True, see `MultiScalePooling`
    random_query: bool = False  # the authors' code: True, see `AttentionPooling`
    # In a global block a frame sees its neighbours up to this distance and the frames at multiples
    # of it (Child et al., arXiv 1904.10509); None = it sees all frames.
    sparse_stride: int | None = None
    # Probability, in the last block, of leaving out a residual branch for a clip; it rises linearly
    # from 0 in the first block (see `drop_path`).
    stochastic_depth: float = 0.0
    layer_drop: float = 0.0  # chance of skipping a block, per batch (Fan et al., arXiv 1909.11556)

    def build(self, layout: Layout, classes: int) -> Hierarchical:
        return Hierarchical(self, layout, classes)


# --- frames of a clip ---------------------------------------------------------------------------


class PartsEncoder(nn.Module):
    """One vector per frame, from an embedding per part and attention between parts."""

    def __init__(self, config: Config, layout: Layout):
        super().__init__()
        dim, heads, dropout = config.dim, config.heads, config.dropout
        self.rows = {part: layout.rows(part) for part in PARTS}
        self.normalise = PointNorm(len(layout))
        self.embeddings = nn.ModuleDict(
            (part, PatchEmbedding(len(rows), dim, config.patch, config.patch_heads, dropout))
            for part, rows in self.rows.items()
        )
        self.hands, self.body = (CrossAttention(dim, heads, dropout) for _ in range(2))
        self.share = nn.Parameter(torch.zeros(len(PARTS)))
        self.join = nn.Linear(len(PARTS) * dim, dim)
        self.positions = nn.Embedding(config.positions, dim)
        self.of_shapes = None
        if config.hand_shapes:
            shapes = HandShapes(layout)
            norm = RmsNorm(shapes.size)
            self.of_shapes = nn.Sequential(shapes, norm, nn.Linear(shapes.size, dim))

    def forward(
        self, xy: Float[Tensor, "B T L 2"], mask: Mask
    ) -> tuple[Float[Tensor, "B T D"], list[Float[Tensor, "B T D"]]]:
        """Return a vector per frame, and the vectors of its parts in the order of `PARTS`."""
        points = self.normalise(xy)
        # A vector per part and frame, (B, T, D) each.
        lips, left, right, pose = (
            self.embeddings[part](points[:, :, rows[0] : rows[-1] + 1])
            for part, rows in self.rows.items()
        )
        # Each hand attends to the other over time, and so do lips and pose.
        left, right = self.hands(left, right, mask), self.hands(right, left, mask)
        lips, pose = self.body(lips, pose, mask), self.body(pose, lips, mask)
        # Joined in two ways: by a dense layer, and by a sum with four learned shares.
        parts = [lips, left, right, pose]
        shares = self.share.softmax(0)
        x = self.join(torch.cat(parts, -1)) + sum(
            share * part for share, part in zip(shares, parts, strict=True)
        )
        if self.of_shapes:
            x = x + self.of_shapes(xy)
        return x + self.positions.weight[: x.shape[1]], parts


def attention_masks(
    config: Config, x: Float[Tensor, "B T D"], mask: Mask
) -> tuple[AttentionMask, AttentionMask]:
    """Which frames a frame sees in local and in global blocks; a frame always sees itself."""
    t = torch.arange(x.shape[1], device=x.device)
    offset = t - t[:, None]
    window, stride = config.local_window, config.sparse_stride
    patterns = (
        None if window is None else offset.abs() <= window,
        None if stride is None else (offset.abs() <= stride) | (offset % stride == 0),
    )
    if mask is None:
        return tuple(None if pattern is None else pattern[None, None] for pattern in patterns)
    keys = mask[:, None, None] | (offset == 0)  # (B, 1, T, T)
    return tuple(keys if pattern is None else keys & pattern for pattern in patterns)


class Block(nn.Module):
    """y = x + a attention(norm(x)), then y + b SwiGLU(norm(y)), with learned weights a and b.

    `branch_drop` is the probability of leaving out a branch for a clip.
    """

    def __init__(self, config: Config, local: bool, branch_drop: float):
        super().__init__()
        self.config, self.local, self.branch_drop = config, local, branch_drop
        dim = config.dim
        self.attention_norm, self.mlp_norm = RmsNorm(dim), RmsNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.rotary = Rotary(dim // config.heads, config.max_len)
        self.mlp = SwiGlu(dim, dim)
        self.attention_weight = nn.Parameter(torch.ones(()))
        self.mlp_weight = nn.Parameter(torch.ones(()))

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Mask, masks: tuple[AttentionMask, AttentionMask]
    ) -> Float[Tensor, "B T D"]:
        """Transform; in training the block may be left out, see `Config.layer_drop`."""
        local, everywhere = masks
        attended = self._attend(self.attention_norm(x), local if self.local else everywhere)
        y = x + self.attention_weight * self._dropped(attended)
        y = y + self.mlp_weight * self._dropped(self.mlp(self.mlp_norm(y)))
        if self.training and self.config.layer_drop:
            dropped = torch.rand((), device=x.device) < self.config.layer_drop
            y = torch.where(dropped, x, y)
        return y

    def _attend(self, x: Tensor, attention_mask: AttentionMask) -> Tensor:
        # (B, H, T, d) each
        q, k, v = (by_head(y, self.config.heads) for y in self.qkv(x).chunk(3, dim=-1))
        dropout = self.config.attention_dropout if self.training else 0.0
        attended = attend(self.rotary(q), self.rotary(k), v, attention_mask, dropout)
        return self.out(heads_joined(attended))

    def _dropped(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.config.dropout, self.training)
        return drop_path(x, self.branch_drop, self.training)


class TemporalConvolution(nn.Module):
    """RMSNorm(x + convolutions over 3, 5 and 7 frames side by side)."""

    def __init__(self, config: Config):
        super().__init__()
        dim, n = config.dim, len(KERNELS)
        channels = [(dim + k) // n for k in range(n)]  # 170, 171, 171 of 512
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, width, kernel, padding=kernel // 2)
            for width, kernel in zip(channels, KERNELS, strict=True)
        )
        self.norm = RmsNorm(dim)

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Mask, masks: tuple[AttentionMask, AttentionMask]
    ) -> Float[Tensor, "B T D"]:
        """Convolve over the frames; padded frames count as 0."""
        real = x if mask is None else x * mask[..., None]
        channels = real.transpose(1, 2)  # (B, D, T)
        convolved = torch.cat([convolve(channels) for convolve in self.convolutions], 1)
        return self.norm(x + convolved.transpose(1, 2))


# --- clips --------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Norm, pooling and ever narrower layers; each output also gets an auxiliary classifier."""

    def __init__(self, config: Config, classes: int):
        super().__init__()
        dim, dropout = config.dim, config.dropout
        options = config.averaged_bins, config.random_query
        self.norm = RmsNorm(dim)
        self.pooling = MultiScalePooling(dim, config.heads, config.scales, dropout, *options)
        widths = (dim, *config.widths)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), RmsNorm(b), nn.GELU(), nn.Dropout(dropout))
            for a, b in pairwise(widths)
        )
        self.logits = nn.Linear(widths[-1], classes)
        self.auxiliary = nn.ModuleList(nn.Linear(width, classes) for width in widths)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> dict[str, Tensor]:
        """Classify clips; see `Hierarchical.forward`."""
        features = [self.pooling(self.norm(x), mask)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        auxiliary = [head(y) for head, y in zip(self.auxiliary, features, strict=True)]
        return {
            "logits": self.logits(features[-1]),
            "auxiliary": torch.stack(auxiliary),
            "pooled": features[0],
        }


class Hierarchical(nn.Module):
    """The whole network; the layout has the parts of `PARTS`."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.config = config
        self.encoder = PartsEncoder(config, layout)
        depth = config.local_layers + config.global_layers
        drops = [config.stochastic_depth * k / max(depth - 1, 1) for k in range(depth)]
        blocks = [Block(config, k < config.local_layers, drop) for k, drop in enumerate(drops)]
        blocks.insert(config.local_layers, TemporalConvolution(config))
        self.layers = nn.ModuleList(blocks)
        self.classifier = Classifier(config, classes)
        self._init_weights()

    def _init_weights(self) -> None:
        """Draw dense layers, tables and learned vectors from N(0, 0.02), and set biases to 0.

        Convolutions keep torch's initialisation; norms and weights of branches start at 1, and the
        shares of the parts start equal.
        """
        for module in self.modules():
            match module:
                case nn.Linear() | nn.Embedding():
                    nn.init.normal_(module.weight, std=0.02)
                    if isinstance(module, nn.Linear) and module.bias is not None:
                        nn.init.zeros_(module.bias)
                case PatchEmbedding():
                    nn.init.normal_(module.position, std=0.02)
                    nn.init.normal_(module.missing, std=0.02)
        if (query := self.classifier.pooling.attention.query) is not None:
            nn.init.normal_(query, std=0.02)

    def learn_statistics(self, frames: Iterable[Float[Tensor, "_ L 3"]]) -> None:
        """Compute each point's mean and deviation over the training clips, see `PointNorm`."""
        self.encoder.normalise.learn(frames)

    def forward(
        self, xy: Float[Tensor, "B T L 2"], mask: Mask = None, mix: LayerMix | None = None
    ) -> dict[str, Tensor]:
        """Classify clips, see `src.models`; xy is in the units of the training clips.

        It also returns auxiliary (3, B, K), the logits of the auxiliary classifiers, shallowest
        first, and parts (B, 4, D), the mean over the real frames of each part.
        """
        if mask is not None:
            xy = torch.where(mask[..., None, None], xy, 0.0)
        x, parts = self.encoder(xy, mask)  # (B, T, D), and one per part
        means = torch.stack([masked_mean(part, mask) for part in parts], 1)  # (B, 4, D)
        masks = attention_masks(self.config, x, mask)
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)  # a mixed clip may have more real frames
                masks = attention_masks(self.config, x, mask)
            x = layer(x, mask, masks)
        return self.classifier(x, mask) | {"parts": means}
