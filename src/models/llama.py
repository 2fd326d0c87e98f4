"""26th place: LLaMA's transformer over the frames of a clip, classified by a class token.

Unusual here:
- A frame is one token: a linear map of its coordinates, batch norm, a learned position. There are
  rotary positions as well; the class token is at position 0, frame t at t + 1. The batch norm
  counts real frames alone, because in a batch of mixed lengths most frames are padding.
- Only the class token is classified, so it is the only query of the last layer, with all tokens as
  keys.
- If a clip is longer than `max_len`, only its first `max_len` frames are read: in training, in
  evaluation and in the exported graph.
- `next_frame_share` turns on a task that the authors tried and dropped: some clips are also read
  with causal attention, without the class token, to predict the landmarks of a later frame.

Letters: **B** batch, **T** frames, **N** tokens (T + 1), **M** queries, **L** points,
**C** coordinates of a point, **D** width, **H** heads, **d** features of a head, **K** signs.
Source: recognition.md 2.4; Touvron et al., LLaMA, arXiv 2302.13971.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import Layout
from src.models import Mask
from src.models.blocks import LayerMix, MaskedBatchNorm, SwiGlu, heads_joined, key_mask
from src.models.hands import HandShapes
from src.models.rotary import Rotary

EPS = 1e-5  # eps of RMSNorm
AttentionMask = Bool[Tensor, "B 1 _ N"] | None  # True where a query sees a key; None = everywhere


@dataclass(frozen=True)
class Config:
    """Sizes of one network."""

    heads: int  # H
    depth: int  # layers
    # Width inside the feed-forward part. LLaMA's rule is 4 D times 2 / 3, rounded up to a multiple
    # of 8; the published size of the ensemble's members needs 4 D.
    hidden: int
    max_len: int = 512  # the most frames that are read of a clip
    head_dim: int = 64  # d
    axes: int = 2  # C, coordinates of a point
    dropout: float = 0.1  # dropout in the layers
    classifier_dropout: float = 0.5  # dropout before the classifier
    # Positions and class token start from N(0, `init_std`), the rest as in torch.
    init_std: float = 1.0
    hand_shapes: bool = False  # read `HandShapes` beside the coordinates
    next_frame_share: float = 0.0  # share of a batch's clips that predict frames, too
    next_frame_ahead: int = 1  # how many frames later the predicted frame is

    @property
    def width(self) -> int:
        """How many numbers a token has: D."""
        return self.heads * self.head_dim

    def build(self, layout: Layout, classes: int) -> Llama:
        return Llama(self, layout, classes)


class Attention(nn.Module):
    """Multi-head attention with rotary positions; only the output has a bias."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.rotary = Rotary(config.head_dim, config.max_len + 1, interleaved=True)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "B N D"], attention_mask: AttentionMask, first: int | None
    ) -> Float[Tensor, "B M D"]:
        """Attend; only the `first` tokens are queries, None = all tokens (M = N)."""
        # (B, N, 3 D) -> (3, B, H, N, d)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = q[:, :, :first]
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            self.rotary(q), self.rotary(k), v, attention_mask, dropout
        )
        return self.out(heads_joined(attended))


class Layer(nn.Module):
    """h = x + attention(RMSNorm(x));  out = h + SwiGLU(RMSNorm(h))."""

    def __init__(self, config: Config):
        super().__init__()
        width = config.width
        self.attention_norm = nn.RMSNorm(width, eps=EPS)
        self.attention = Attention(config)
        self.mlp_norm = nn.RMSNorm(width, eps=EPS)
        self.mlp = SwiGlu(width, config.hidden)
        self.dropout = config.dropout

    def forward(
        self, x: Float[Tensor, "B N D"], attention_mask: AttentionMask, first: int | None = None
    ) -> Float[Tensor, "B M D"]:
        """Transform the tokens, or only the `first` ones, which still attend to all tokens."""
        attended = self.attention(self.attention_norm(x), attention_mask, first)
        h = x[:, :first] + F.dropout(attended, self.dropout, self.training)
        return h + F.dropout(self.mlp(self.mlp_norm(h)), self.dropout, self.training)


class Llama(nn.Module):
    """The whole network: embedding of frames, transformer, classifier of the class token."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.config, width = config, config.width
        inputs = config.axes * len(layout)
        self.shapes = HandShapes(layout) if config.hand_shapes else None
        self.frames = nn.Linear(inputs + (self.shapes.size if self.shapes else 0), width)
        self.frame_norm = MaskedBatchNorm(width)
        self.positions = nn.Parameter(torch.empty(config.max_len, width))
        self.token = nn.Parameter(torch.empty(width))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=EPS)
        self.token_norm = MaskedBatchNorm(width)
        self.classifier = nn.Linear(width, classes)
        if config.next_frame_share:
            self.next_frame = nn.Sequential(
                nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, inputs)
            )
        for parameter in (self.positions, self.token):
            nn.init.normal_(parameter, std=config.init_std)

    def forward(
        self, features: Float[Tensor, "B T L C"], mask: Mask = None, mix: LayerMix | None = None
    ) -> dict[str, Tensor]:
        """Classify clips, see `src.models`; pooled is the class token.

        In training with `next_frame_share` it adds the outputs of `_next_frames`.
        """
        if mask is not None:
            features = torch.where(mask[..., None, None], features, 0.0)
        read = features.flatten(-2)
        if self.shapes:
            read = torch.cat([read, self.shapes(features)], -1)
        embedded = self.frame_norm(self.frames(read), mask)  # (B, T, D)
        n_frames = torch.sym_min(features.shape[1], self.config.max_len)
        embedded = embedded[:, :n_frames] + self.positions[:n_frames]
        mask = None if mask is None else mask[:, :n_frames]
        pooled = self._read(embedded, mask, mix)
        normed = self.token_norm(pooled)
        dropped = F.dropout(normed, self.config.classifier_dropout, self.training)
        out = {"logits": self.classifier(dropped), "pooled": pooled}
        if self.training and self.config.next_frame_share:
            out |= self._next_frames(embedded, features[:, :n_frames], mask)
        return out

    def _read(
        self, x: Float[Tensor, "B T D"], mask: Tensor | None, mix: LayerMix | None
    ) -> Float[Tensor, "B D"]:
        """Run all layers and return the class token."""
        x = torch.cat([self.token.to(x.dtype).expand(len(x), 1, -1), x], 1)  # (B, N, D)
        mask = None if mask is None else F.pad(mask, (1, 0), value=True)
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)
            last = number == len(self.layers) - 1
            x = layer(x, key_mask(mask), first=1 if last else None)
        return self.norm(x[:, 0])

    def _next_frames(
        self, embedded: Tensor, features: Tensor, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """Predict later frames of S clips, each from frames at least `next_frame_ahead` earlier.

        A batch may be sorted by length, so the S clips are spread evenly over it.

        Returns:
            next_frame (S, T', L, C), the predicted coordinates; next_frame_true, the true ones;
            next_frame_mask (S, T', L), True where both frames are real and the point is known.
        """
        config, n_frames = self.config, embedded.shape[1]
        if mask is None:
            mask = torch.ones_like(embedded[..., 0], dtype=torch.bool)
        some = max(1, round(config.next_frame_share * len(embedded)))
        clip = torch.arange(some, device=embedded.device) * len(embedded) // some
        x, features, mask = (each[clip] for each in (embedded, features, mask))
        t = torch.arange(n_frames, device=embedded.device)
        # Causal. Even a padded frame sees itself: without any key its weights would be NaN.
        attention_mask = (t <= t[:, None]) & (mask[:, None, None] | (t == t[:, None]))
        for layer in self.layers:
            x = layer(x, attention_mask)
        now, later = slice(0, -config.next_frame_ahead), slice(config.next_frame_ahead, None)
        true, real = features[:, later], mask[:, now] & mask[:, later]
        predicted = self.next_frame(self.norm(x[:, now])).view_as(true)
        known = real[..., None] & (true != 0).any(-1)
        return {"next_frame": predicted, "next_frame_true": true, "next_frame_mask": known}
