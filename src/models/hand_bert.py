"""2nd place: BERT, or DeBERTa-v2, over hand-made features of frames, with positions by convolution.

Unusual here:
- The features of a clip longer than the table of positions are subsampled, not its frames: motions
  are those of neighbouring frames all the same.
- Every layer but the first begins with a depthwise convolution over the tokens (CPE). It sees
  padding as nothing at all; the authors let it see what their layers made of padding.
- Only the class token is asked for by the classifier, so the last layer computes only that one
  behind its attention.
- The DeBERTa that the authors ran had its disentangled attention switched off by the defaults of
  its configuration; here it is on, and `disentangled=False` is theirs.

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
from src.models.attention import DisentangledAttention, RelativePositions
from src.models.mixing import LayerMix

KERNEL = 3  # tokens, of the positional convolution
INIT_STD = 0.02  # of BERT's weights
EPS = {"bert": 1e-12, "deberta": 1e-7}  # of the layer norms


@dataclass(frozen=True)
class Config:
    """Sizes of one network.

    Args:
        layers: of the transformer.
        family: "deberta" has disentangled attention, no token type, and its own layer-norm eps.
        disentangled: False leaves DeBERTa's relative positions out, as the authors' code did.
        positional_conv: the CPE.
        features: F, of a frame.
        max_len: frames of the longest clip that is not subsampled.
        width: D.
        inner: width inside of the feed-forward part.
        heads: H.
        dropout: everywhere.
    """

    layers: int
    family: Literal["bert", "deberta"] = "bert"
    disentangled: bool = True
    positional_conv: bool = True
    features: int = 972
    max_len: int = 96
    width: int = 256
    inner: int = 512
    heads: int = 4
    dropout: float = 0.1


def subsampled(
    x: Float[Tensor, "B T F"], mask: Bool[Tensor, "B T"] | None, max_len: int
) -> tuple[Float[Tensor, "B T2 F"], Bool[Tensor, "B T2"] | None]:
    """Of each clip longer than `max_len`, the frames floor(i n / max_len); n its real frames."""
    n_frames = x.shape[1]
    i = torch.arange(torch.sym_min(n_frames, max_len), device=x.device)
    if mask is None:
        return x[:, i * torch.sym_max(n_frames, max_len) // max_len], None
    length = mask.sum(1)[:, None]
    frame = i * length.clamp(min=max_len) // max_len
    clip = torch.arange(len(x), device=x.device)[:, None]
    return x[clip, frame], i < length


class Embedding(nn.Module):
    """Features of frames to tokens: projected, a class token in front, positions added."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.project = nn.Linear(config.features, width, bias=False)
        self.cls = nn.Parameter(torch.zeros(width))
        self.position = nn.Embedding(config.max_len + 1, width)
        # Row 0 is every token's type. The others, a second type and a vocabulary of one word, are
        # in the published network and its parameter count, and are not used there either.
        self.token_type = nn.Embedding(3, width) if config.family == "bert" else None
        self.norm = nn.LayerNorm(width, eps=EPS[config.family])
        self.max_len, self.dropout = config.max_len, config.dropout

    def forward(self, x: Float[Tensor, "B T F"]) -> Float[Tensor, "B N D"]:
        """Embed; the class token is the first."""
        tokens = self.project(F.pad(x, (0, 0, 1, 0)))  # the class token has no features
        added = self.position.weight + F.pad(self.cls[None], (0, 0, 0, self.max_len))
        if self.token_type is not None:
            added = added + self.token_type.weight[0]
        tokens = self.norm(tokens + added[: tokens.shape[1]])
        return F.dropout(tokens, self.dropout, self.training)


class SelfAttention(nn.Module):
    """BERT's multi-head attention over tokens, without its output layer."""

    def __init__(self, config: Config):
        super().__init__()
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.heads, self.dropout = config.heads, config.dropout

    def forward(
        self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None
    ) -> Float[Tensor, "B N D"]:
        """Attend; keys outside the mask are never attended to."""
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N, d)
            for project in (self.query, self.key, self.value)
        )
        dropout = self.dropout if self.training else 0.0
        keys = None if mask is None else mask[:, None, None]
        out = F.scaled_dot_product_attention(q, k, v, keys, dropout)
        return out.transpose(1, 2).flatten(2)


class PositionalConv(nn.Module):
    """Conditional position encoding: every token gets to know its neighbours' content."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)

    def forward(
        self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None
    ) -> Float[Tensor, "B N D"]:
        """Add the convolution; tokens outside the mask count as absent."""
        if mask is not None:
            x = x * mask[..., None]
        return x + self.conv(x.transpose(1, 2)).transpose(1, 2)


class Layer(nn.Module):
    """One transformer layer, its norms behind its sums.

    Args:
        config: sizes.
        attention: (x, mask) -> what each token gathered.
        positional_conv: None in the first layer.
    """

    def __init__(
        self, config: Config, attention: nn.Module, positional_conv: PositionalConv | None
    ):
        super().__init__()
        width, eps = config.width, EPS[config.family]
        self.positional_conv, self.attention = positional_conv, attention
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.intermediate = nn.Linear(width, config.inner)
        self.out = nn.Linear(config.inner, width)
        self.out_norm = nn.LayerNorm(width, eps=eps)
        self.dropout = config.dropout

    def forward(
        self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None, asked: int | None = None
    ) -> Float[Tensor, "B N2 D"]:
        """Transform the tokens, or only the first `asked` of them, in the light of all."""
        if self.positional_conv is not None:
            x = self.positional_conv(x, mask)
        attended = self.attention(x, mask)
        if asked is not None:
            x, attended = x[:, :asked], attended[:, :asked]
        x = self.attention_norm(x + self._dropped(self.attention_out(attended)))
        y = self.out(F.silu(self.intermediate(x)))
        return self.out_norm(x + self._dropped(y))

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class HandBert(nn.Module):
    """The whole network: embedding, transformer, classifier of the class token.

    Args:
        config: sizes.
        layout: not needed, the features are made already.
        classes: K.
    """

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.max_len, self.dropout = config.max_len, config.dropout
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(_layers(config))
        self.classifier = nn.Linear(config.width, classes)
        self._initialise()

    def forward(
        self,
        features: Float[Tensor, "B T F"],
        mask: Bool[Tensor, "B T"] | None = None,
        mix: LayerMix | None = None,
    ) -> dict[str, Tensor]:
        """Classify clips.

        Args:
            features: 0 = missing.
            mask: real frames; None = all.
            mix: manifold mixup to apply before one of the layers.

        Returns:
            logits (B, K); pooled (B, D), the class token.
        """
        features, mask = subsampled(features, mask, self.max_len)
        x = self.embedding(features)
        if mask is not None:
            mask = F.pad(mask, (1, 0), value=True)
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)
            x = layer(x, mask, asked=1 if number == len(self.layers) - 1 else None)
        pooled = x[:, 0]
        logits = self.classifier(F.dropout(pooled, self.dropout, self.training))
        return {"logits": logits, "pooled": pooled}

    def _initialise(self) -> None:
        """Draw what BERT draws: N(0, 0.02) for dense layers and tables, 0 for biases.

        The projection of the features, the classifier and the convolutions keep torch's own
        initialisation, as in the published network; the class token begins as 0.
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)


def _layers(config: Config) -> list[Layer]:
    """The transformer's layers; in DeBERTa they share one table of relative positions."""
    n_tokens, shared = config.max_len + 1, None
    if config.family == "deberta" and config.disentangled:
        shared = RelativePositions(config.width, n_tokens)
    layers = []
    for number in range(config.layers):
        if shared is None:
            attention = SelfAttention(config)
        else:
            attention = DisentangledAttention(
                config.width, config.heads, n_tokens, config.dropout, positions=shared
            )
        first = number == 0 or not config.positional_conv
        layers.append(Layer(config, attention, None if first else PositionalConv(config.width)))
    return layers
