"""1st place: causal depthwise convolutions and a few transformer blocks over the frames.

Unusual here:
- The convolutions look back in time only, so the padding behind a clip cannot reach its frames. The
  channel gates, the attentions and the final mean use the real frames alone.
- Batch norm takes the place of a transformer's layer norm. Its statistics are those of the real
  frames, so results do not depend on the amount of padding.
- Attention scores are scaled by D^-0.5, where D is the width of the block, not of a head.
- The published network ends in a dense layer, the mean over frames and another dense layer, without
  an activation between them. A dense layer and a mean can be swapped, so here the mean comes first,
  at 1 / T of the cost.
- The dropout of 0.8 before the last dense layer begins only after 5 % of the training.

Letters: **B** batch, **T** frames, **F** features of a frame, **D** width, **K** signs.
Source: anchors.md, hoyso48's solution (MIT); ECA: Wang et al., arXiv 1910.03151.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import Layout
from src.models import Mask
from src.models.blocks import (
    LateDropout,
    LayerMix,
    MaskedBatchNorm,
    by_head,
    drop_path,
    heads_joined,
    key_mask,
    masked_mean,
)

PER_POINT = 6  # features of a point: x and y, and two motions of each
GATE_KERNEL = 5  # channels that the gate of a channel is computed from


@dataclass(frozen=True)
class Config:
    """Sizes of one network."""

    dim: int = 192  # D
    groups: int = 2  # each is `convs` convolution blocks, then a transformer block
    convs: int = 3
    kernel: int = 17  # frames that a convolution reads; the current one is the last
    heads: int = 4  # heads of a transformer block
    expand: int = 2  # width inside a block, and before the last dense layer, as a multiple of D
    drop: float = 0.2  # probability of dropping a residual branch for a clip, an attention weight
    late_drop: float = 0.8  # dropout before the last dense layer
    late_from: float = 15 / 300  # share of the training after which `late_drop` begins

    def build(self, layout: Layout, classes: int) -> ConvTransformer:
        return ConvTransformer(self, layout, classes)


def batch_norm(width: int) -> MaskedBatchNorm:
    """Batch norm with the published constants; Keras' momentum is 1 minus torch's."""
    return MaskedBatchNorm(width, eps=1e-3, momentum=1 - 0.95)


class CausalConv(nn.Conv1d):
    """Convolve each channel by itself over N frames: the current one and the N - 1 before it.

    out[t] = sum over n of weight[n] x[t - N + 1 + n], where x is 0 before the first frame.
    """

    def __init__(self, width: int, kernel: int):
        super().__init__(width, width, kernel, groups=width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        channels_first = F.pad(x, (0, 0, self.kernel_size[0] - 1, 0)).transpose(1, 2)  # (B, D, T)
        if torch.compiler.is_exporting():  # the exporter knows this as a TFLite operation
            return F.conv1d(channels_first, self.weight, groups=self.groups).transpose(1, 2)
        # For conv2d this is an image of height 1 with channels last. The clip lies in memory in
        # this order, so a CPU convolves it without a copy.
        image = channels_first[:, :, None]  # (B, D, 1, T)
        out = F.conv2d(image, self.weight[:, :, None], groups=self.groups)
        return out[:, :, 0].transpose(1, 2)  # (B, T, D)


class ChannelGate(nn.Module):
    """ECA: a factor per channel of a clip, from the means over time of the channels around it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, GATE_KERNEL, padding=GATE_KERNEL // 2, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        mean = masked_mean(x, mask)[:, None]  # (B, 1, D): the convolution runs over channels
        return x * self.conv(mean).sigmoid()


class ConvBlock(nn.Module):
    """x + drop path(project(gate(norm(conv(swish(expand(x)))))))."""

    def __init__(self, config: Config):
        super().__init__()
        inner = config.expand * config.dim
        self.expand = nn.Linear(config.dim, inner)
        self.conv = CausalConv(inner, config.kernel)
        self.norm = batch_norm(inner)
        self.gate = ChannelGate()
        self.project = nn.Linear(inner, config.dim)
        self.drop = config.drop

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        y = self.norm(self.conv(F.silu(self.expand(x))), mask)
        y = self.project(self.gate(y, mask))
        return x + drop_path(y, self.drop, self.training)


class Attention(nn.Module):
    """Multi-head attention over the frames; no frame attends to a padded one."""

    def __init__(self, config: Config):
        super().__init__()
        self.heads, self.dropout = config.heads, config.drop
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.project = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        q, k, v = by_head(self.qkv(x), self.heads).chunk(3, dim=-1)  # (B, H, T, d) each
        dropout, scale = self.dropout if self.training else 0.0, x.shape[-1] ** -0.5
        # Not by `attend`: this is so small a part of a step that another kernel gains nothing.
        out = F.scaled_dot_product_attention(q, k, v, key_mask(mask), dropout, scale=scale)
        return self.project(heads_joined(out))


class TransformerBlock(nn.Module):
    """x + drop path(attention(norm(x))), then x + drop path(dense(swish(dense(norm(x)))))."""

    def __init__(self, config: Config):
        super().__init__()
        inner = config.expand * config.dim
        self.attention_norm = batch_norm(config.dim)
        self.attention = Attention(config)
        self.dense_norm = batch_norm(config.dim)
        self.expand = nn.Linear(config.dim, inner, bias=False)
        self.project = nn.Linear(inner, config.dim, bias=False)
        self.drop = config.drop

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        y = self.attention(self.attention_norm(x, mask), mask)
        x = x + drop_path(y, self.drop, self.training)
        y = self.project(F.silu(self.expand(self.dense_norm(x, mask))))
        return x + drop_path(y, self.drop, self.training)


class ConvTransformer(nn.Module):
    """The whole network: stem, groups of blocks, mean over frames, two dense layers."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        dim = config.dim
        self.stem = nn.Linear(PER_POINT * len(layout), dim, bias=False)
        self.stem_norm = batch_norm(dim)
        group = (*[ConvBlock] * config.convs, TransformerBlock)
        self.layers = nn.ModuleList(block(config) for block in group * config.groups)
        self.classifier = nn.Sequential(
            nn.Linear(dim, config.expand * dim),
            LateDropout(config.late_drop, config.late_from),
            nn.Linear(config.expand * dim, classes),
        )
        self._init_weights()

    def forward(
        self, features: Float[Tensor, "B T F"], mask: Mask = None, mix: LayerMix | None = None
    ) -> dict[str, Tensor]:
        """Classify clips, see `src.models`; pooled is the mean over the real frames."""
        if mask is not None:
            features = torch.where(mask[..., None], features, 0.0)
        x = self.stem_norm(self.stem(features), mask)  # (B, T, D)
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)
            x = layer(x, mask)
        pooled = masked_mean(x, mask)  # (B, D)
        return {"logits": self.classifier(pooled), "pooled": pooled}

    def _init_weights(self) -> None:
        """Draw every kernel as Keras does, from Glorot's uniform distribution, and set biases to 0.

        torch's own limit for the depthwise kernels is eight times as large. The batch norm behind
        them removes the scale, but the same steps turn larger kernels more slowly: with SGD, like
        a rate 64 times smaller.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
