"""2nd place: BERT or DeBERTa-v2 over hand-made features of frames, with positions by convolution.

Unusual here:
- A clip longer than the table of positions is subsampled after its features are made, so motions
  are still measured between neighbouring frames.
- Every layer but the first begins with a depthwise convolution over the tokens (CPE). There padded
  tokens count as 0; in the authors' code they keep the output of the layers before.
- The classifier reads the class token alone, so after its attention the last layer computes that
  token only.
- The authors' DeBERTa has disentangled attention switched off by its configuration's defaults. Here
  it is on; `disentangled=False` gives the authors' form.

Letters: **B** batch, **T** frames, **F** features, **N** tokens (T + 1), **D** width, **H** heads,
**d** = D / H, **K** signs. Source: recognition.md 1.4; Chu et al., CPVT, arXiv 2102.10882.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import Layout
from src.models import Mask
from src.models.attention import DisentangledAttention, RelativePositions
from src.models.blocks import LayerMix, by_head, heads_joined, key_mask

KERNEL = 3  # tokens that the positional convolution spans
INIT_STD = 0.02  # standard deviation of BERT's initial weights
TokenMask = Bool[Tensor, "B N"] | None  # True = the class token or a real frame; None = all
EPS = {"bert": 1e-12, "deberta": 1e-7}  # eps of the layer norms


@dataclass(frozen=True)
class Config:
    """Sizes of one network."""

    layers: int  # transformer layers
    # "deberta" has disentangled attention, no token type, and its own layer-norm eps.
    family: Literal["bert", "deberta"] = "bert"
    disentangled: bool = True  # False = DeBERTa without relative positions, as in the authors' code
    positional_conv: bool = True  # the CPE
    features: int = 972  # F, features of a frame
    max_len: int = 96  # frames of the longest clip that is not subsampled
    width: int = 256  # D
    inner: int = 512  # width inside the feed-forward part
    heads: int = 4  # H
    dropout: float = 0.1  # everywhere

    def build(self, layout: Layout, classes: int) -> HandBert:
        return HandBert(self, classes)  # no size depends on the layout


def subsampled(
    x: Float[Tensor, "B T F"], mask: Mask, max_len: int
) -> tuple[Float[Tensor, "B T2 F"], Bool[Tensor, "B T2"] | None]:
    """Keep the frames floor(i n / max_len), i = 0, 1, ..., of each clip of n > `max_len` frames."""
    n_frames = x.shape[1]
    # With sym_min and sym_max instead of branches, torch.export can follow this at any length.
    i = torch.arange(torch.sym_min(n_frames, max_len), device=x.device)
    if mask is None:
        return x[:, i * torch.sym_max(n_frames, max_len) // max_len], None
    length = mask.sum(1)[:, None]
    frame = i * length.clamp(min=max_len) // max_len
    clip = torch.arange(len(x), device=x.device)[:, None]
    return x[clip, frame], i < length


class Embedding(nn.Module):
    """Turn the features of frames into tokens: a class token in front, positions added."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.project = nn.Linear(config.features, width, bias=False)
        self.cls = nn.Parameter(torch.zeros(width))
        self.position = nn.Embedding(config.max_len + 1, width)
        # Every token's type is row 0. The published network also has a second type and a one-word
        # vocabulary but uses neither; two spare rows keep the number of parameters equal.
        self.token_type = nn.Embedding(3, width) if config.family == "bert" else None
        self.norm = nn.LayerNorm(width, eps=EPS[config.family])
        self.max_len, self.dropout = config.max_len, config.dropout

    def forward(self, x: Float[Tensor, "B T F"]) -> Float[Tensor, "B N D"]:
        """Embed the frames; the class token comes first."""
        tokens = self.project(F.pad(x, (0, 0, 1, 0)))  # (B, T + 1, D); the class token's are 0
        added = self.position.weight + F.pad(self.cls[None], (0, 0, 0, self.max_len))
        if self.token_type is not None:
            added = added + self.token_type.weight[0]
        tokens = self.norm(tokens + added[: tokens.shape[1]])
        return F.dropout(tokens, self.dropout, self.training)


class SelfAttention(nn.Module):
    """BERT's multi-head attention over the real tokens, without its output layer."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads, self.dropout = config.heads, config.dropout

    def forward(self, x: Float[Tensor, "B N D"], mask: TokenMask) -> Float[Tensor, "B N D"]:
        projections = (self.query, self.key, self.value)
        q, k, v = (by_head(project(x), self.heads) for project in projections)  # (B, H, N, d)
        dropout = self.dropout if self.training else 0.0
        return heads_joined(F.scaled_dot_product_attention(q, k, v, key_mask(mask), dropout))


class PositionalConv(nn.Module):
    """Conditional position encoding: add a convolution over its neighbours to every token."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)

    def forward(self, x: Float[Tensor, "B N D"], mask: TokenMask) -> Float[Tensor, "B N D"]:
        """Add the convolution over the tokens; padded tokens count as 0."""
        if mask is not None:
            x = x * mask[..., None]
        return x + self.conv(x.transpose(1, 2)).transpose(1, 2)


class Layer(nn.Module):
    """One transformer layer; each norm follows its residual sum.

    In DeBERTa all layers share one table of relative `positions`.
    """

    def __init__(self, config: Config, positions: RelativePositions | None, convolves: bool):
        super().__init__()
        width, eps = config.width, EPS[config.family]
        if positions is None:
            attention = SelfAttention(config)
        else:
            attention = DisentangledAttention(
                width, config.heads, positions.max_len, config.dropout, positions
            )
        self.positional_conv = PositionalConv(width) if convolves else None
        self.attention = attention
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.intermediate = nn.Linear(width, config.inner)
        self.out = nn.Linear(config.inner, width)
        self.out_norm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B N D"], mask: TokenMask, first: int | None = None
    ) -> Float[Tensor, "B N2 D"]:
        """Transform the tokens, or only the `first` ones, which still attend to all tokens."""
        if self.positional_conv is not None:
            x = self.positional_conv(x, mask)
        attended = self.attention(x, mask)
        if first is not None:
            x, attended = x[:, :first], attended[:, :first]
        x = self.attention_norm(x + self.dropout(self.attention_out(attended)))
        y = self.out(F.silu(self.intermediate(x)))
        return self.out_norm(x + self.dropout(y))


class HandBert(nn.Module):
    """The whole network: embedding, transformer, classifier of the class token."""

    def __init__(self, config: Config, classes: int):
        super().__init__()
        self.max_len, self.dropout = config.max_len, config.dropout
        self.embedding = Embedding(config)
        positions = None
        if config.family == "deberta" and config.disentangled:
            positions = RelativePositions(config.width, config.max_len + 1, config.dropout)
        self.layers = nn.ModuleList(
            Layer(config, positions, convolves=config.positional_conv and number > 0)
            for number in range(config.layers)
        )
        self.classifier = nn.Linear(config.width, classes)
        self._init_weights()

    def forward(
        self, features: Float[Tensor, "B T F"], mask: Mask = None, mix: LayerMix | None = None
    ) -> dict[str, Tensor]:
        """Classify clips, see `src.models`; pooled is the class token."""
        features, mask = subsampled(features, mask, self.max_len)
        x = self.embedding(features)  # (B, N, D)
        if mask is not None:
            mask = F.pad(mask, (1, 0), value=True)  # (B, N): the class token is real
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)
            x = layer(x, mask, first=1 if number == len(self.layers) - 1 else None)
        pooled = x[:, 0]  # (B, D)
        logits = self.classifier(F.dropout(pooled, self.dropout, self.training))
        return {"logits": logits, "pooled": pooled}

    def _init_weights(self) -> None:
        """Draw weights as BERT does: N(0, 0.02) for dense layers and tables, 0 for biases.

        As in the published network, the projection of the features, the classifier and the
        convolutions keep torch's own initialisation, and the class token starts at 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)
