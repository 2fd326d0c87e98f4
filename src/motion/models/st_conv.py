"""Study 14: whole poses as tokens, attention over time and over features, convolutions.

The document gives: input (T, 135); queries, keys and values "by transposing the embedded
matrices", one set per head; 32 temporal and 8 spatial heads; before the feed-forward five
convolutions in series along the features, kernel 1 x 5, valid, dilation 2, all their outputs
concatenated to its input; about 30 % more parameters than the base. Readings:

- Temporal heads project the embedded matrix E (T, D), spatial heads its transpose (D, T). Every
  head has maps of full width; one output map joins the heads.
- The feed-forward is 512 wide, which gives 23,811,767 parameters, 30.4 % more than the base has.
- A spatial head sees the whole window, so nothing is causal. The model is therefore taught on the
  frames after the window only, not on frames that it has seen.
- Convolutions are linear, as TensorFlow's are by default. Behind a ReLU their single channel would
  often be dead from the start.

Letters: **B** windows, **T** frames, **D** width, **C** = J M channels of a pose.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.motion.models.forecaster import Forecaster, Frames
from src.motion.models.per_joint import linear
from src.motion.models.positions import sinusoids


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the defaults are the study's."""

    width: int = 128  # D
    feed_forward: int = 512  # hidden channels
    time_heads: int = 32  # of the attention over frames
    feature_heads: int = 8  # of the attention over features
    layers: int = 8  # of attention, convolutions and feed-forward
    window: int = 120  # T; the spatial maps are T by T, so every window has this length
    convolutions: int = 5  # in series
    kernel: int = 5  # features that a convolution spans
    dilation: int = 2  # features between its taps
    dropout: float = 0.1  # after the embedding, both attentions and the feed-forward
    frames_per_step: int = 1  # frames predicted at once
    start_still: bool = False  # start with an output map of zeros: zero velocity (ours)

    @property
    def conv_widths(self) -> list[int]:
        """Features left after each convolution: 120, 112, 104, 96, 88."""
        loss = self.dilation * (self.kernel - 1)
        return [self.width - loss * n for n in range(1, self.convolutions + 1)]


class StConv(Forecaster):
    """The network for J joints of M channels."""

    def __init__(self, config: Config, joints: int, channels: int):
        super().__init__(config.window, config.frames_per_step)
        pose = joints * channels
        self.embedding = linear(pose, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.output = linear(config.width, config.frames_per_step * pose)
        if config.start_still:
            nn.init.zeros_(self.output.weight)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("pattern", sinusoids(config.window, config.width), persistent=False)

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        h = self.dropout(self.embedding(window.flatten(2)) + self.pattern)
        for layer in self.layers:
            h = layer(h)
        out = self.output(h[:, -1]).unflatten(-1, (self.step, *window.shape[2:]))
        return window[:, -1:] + out


class FullHeads(nn.Module):
    """Attention between rows, each head with maps of full width."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = linear(width, 3 * heads * width)
        self.output = linear(heads * width, width)

    def forward(self, x: Float[Tensor, "B R W"], causal: bool) -> Float[Tensor, "B R W"]:
        """Every row attends to all rows, or, if `causal`, to the rows up to itself."""
        q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.output(out.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Both attentions in parallel, then the chain of convolutions, then the feed-forward."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.time = FullHeads(width, config.time_heads)
        self.features = FullHeads(config.window, config.feature_heads)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(1, 1, config.kernel, dilation=config.dilation)
            for _ in range(config.convolutions)
        )
        self.expand = linear(width + sum(config.conv_widths), config.feed_forward)
        self.contract = linear(config.feed_forward, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        by_feature = self.features(x.mT, causal=False).mT
        out = self.norms[0](x + self.dropout(self.time(x, causal=True)))
        out = out + self.norms[1](x + self.dropout(by_feature))
        row, parts = out.flatten(0, 1)[:, None], [out]
        for convolution in self.convolutions:
            row = convolution(row)
            parts.append(row.view(*out.shape[:2], -1))
        hidden = self.contract(self.expand(torch.cat(parts, -1)).relu())
        return self.norms[2](out + self.dropout(hidden))
