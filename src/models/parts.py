"""From the points of a frame to a vector per part, and what parts say to each other.

- A point is normalised with the mean and deviation that it has in the training clips. They are
  buffers, so every checkpoint carries them.
- The patch embedding is multiplied out: nothing in it is as wide as D but its result.

Letters: **B** batch, **T** frames, **N** = B T, **L** points, **P** patches of a part,
**n** numbers of a patch, **D** width, **H** heads, **d** = D / H.
Source: Slovo, recognition.md 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.models.blocks import RmsNorm
from src.models.rotary import Rotary

EPS = 1e-12  # under the root of RMSNorm; the document has x / (rms + 1e-6)
LIMIT = 5.0  # deviations that a normalised coordinate is clamped to


def by_head(x: Float[Tensor, "*batch T D"], heads: int) -> Float[Tensor, "*batch H T d"]:
    """Split the width into heads."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


class PointNorm(nn.Module):
    """(x, y) of every point in deviations from its mean over the training clips.

    Missing points, which come in as 0, are 0.

    Args:
        n_points: L.
    """

    def __init__(self, n_points: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_points, 2))
        self.register_buffer("std", torch.ones(n_points, 2))

    def learn(self, frames: Iterable[Float[Tensor, "_ L 3"]]) -> None:
        """Take the statistics of all frames, NaN = not detected; a point never seen stays as is."""
        count = torch.zeros_like(self.mean, dtype=torch.float64)
        total, square = torch.zeros_like(count), torch.zeros_like(count)
        for piece in frames:
            xy = piece[..., :2].to(self.mean.device, torch.float64)
            count += (~xy.isnan()).sum(0)
            total += xy.nansum(0)
            square += xy.square().nansum(0)
        mean = total / count.clamp(min=1)
        variance = (square / count.clamp(min=1) - mean.square()).clamp(min=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(count > 0, variance.sqrt(), 1.0))

    def forward(self, xy: Float[Tensor, "B T L 2"]) -> Float[Tensor, "B T L 2"]:
        """Normalise."""
        seen = (xy != 0).any(-1, keepdim=True)
        normalised = ((xy - self.mean) / (self.std + 1e-8)).clamp(-LIMIT, LIMIT)
        return torch.where(seen, normalised, 0.0)


class PatchEmbedding(nn.Module):
    """One vector per frame of one part: its points in patches, which attend to each other.

    A patch is few numbers, and up to the softmax all that happens to them is linear, but for the
    norm's division. So everything is written in these numbers and never as vectors of D: with p the
    patch and a 1 behind it, embed(patch) + position = E p, and

    - the norm divides by r = |E p| / sqrt(D), and r^2 = p' (E' E / D) p;
    - the score of patches i and j is p_i' F_ij p_j / (r_i r_j), with `Maps.scores` F_ij;
    - the frame's vector, the mean over the patches that ask, is the sum over those that answer of
      V_j p_j / r_j times the mean weight of j, with `Maps.values` V_j.

    Args:
        n_points: of the part.
        dim: D.
        patch: points of a patch; the last patch is filled up with zeros.
        heads: H.
        dropout: on the attention weights.
    """

    def __init__(self, n_points: int, dim: int, patch: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.n_patches = -(-n_points // patch)
        self.padding = 2 * (self.n_patches * patch - n_points)  # numbers, x and y
        self.embed = nn.Linear(2 * patch, dim)
        self.position = nn.Parameter(torch.empty(self.n_patches, dim))
        self.norm = RmsNorm(dim, eps=EPS)
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        self.rotary = Rotary(dim // heads, self.n_patches)
        self.missing = nn.Parameter(torch.empty(dim))

    def forward(self, xy: Float[Tensor, "B T points 2"]) -> Float[Tensor, "B T D"]:
        """Embed; a frame without any point of the part becomes the learned `missing` vector."""
        with torch.autocast(xy.device.type, enabled=False):  # sums of a few products, not worth it
            patches = F.pad(xy.flatten(-2), (0, self.padding)).flatten(0, 1)
            patches = patches.unflatten(-1, (self.n_patches, -1))
            embedded = self._attended(F.pad(patches, (0, 1), value=1.0)).unflatten(0, xy.shape[:2])
            seen = (xy != 0).flatten(-2).any(-1, keepdim=True)  # (B, T, 1)
            return torch.where(seen, embedded, self.missing)

    def _attended(self, p: Float[Tensor, "N P n"]) -> Float[Tensor, "N D"]:
        maps = self._maps()
        asking = p.transpose(0, 1)  # (P, N, n)
        square = ((asking @ maps.square) * asking).sum(-1, keepdim=True)
        inverse = torch.rsqrt(square.clamp(min=0) + EPS)  # (P, N, 1)
        # Every head sees the same patches: H P in a row, so that no tensor has more than 4 axes.
        answering = p.repeat(1, self.heads, 1)  # (N, H P, n)
        inverse_of_answering = inverse.squeeze(-1).T.repeat(1, self.heads)  # (N, H P)

        halves = (asking @ maps.scores).unflatten(-1, (-1, p.shape[-1]))  # (P, N, H P, n)
        scores = (halves * answering).sum(-1) * inverse * inverse_of_answering
        weights = scores.unflatten(-1, (self.heads, -1)).softmax(-1)  # (P, N, H, P)
        weights = F.dropout(weights, self.dropout, self.training).mean(0).flatten(1)
        return ((weights * inverse_of_answering)[..., None] * answering).flatten(1) @ maps.values

    def _maps(self) -> Maps:
        constant = self.embed.bias + self.position  # (P, D)
        weight = self.embed.weight.T.expand(self.n_patches, -1, -1)
        embed = torch.cat([weight, constant[:, None]], 1)  # (P, n, D)
        normed = (embed * self.norm.weight).transpose(0, 1)  # (n, P, D)
        q, k, v = (
            by_head(linear(normed), self.heads) for linear in (self.query, self.key, self.value)
        )  # (n, H, P, d)
        scores = torch.einsum("ahid,bhjd->iahjb", self.rotary(q), self.rotary(k))
        out = self.out.weight.unflatten(1, (self.heads, -1))  # (D, H, d)
        return Maps(
            square=embed @ embed.transpose(1, 2) / embed.shape[-1],
            scores=scores.flatten(2) * q.shape[-1] ** -0.5,
            values=torch.einsum("bhjd,ohd->hjbo", v, out).flatten(0, 2),
        )


@dataclass(frozen=True)
class Maps:
    """What the weights of a patch embedding amount to, for patches of n numbers.

    Args:
        square: the mean square of an embedded patch, a quadratic form for each patch.
        scores: from the patch that asks to one half of the score with each patch, in each head.
        values: from weighted patches to the frame's vector.
    """

    square: Float[Tensor, "P n n"]
    scores: Float[Tensor, "P n HPn"]
    values: Float[Tensor, "HPn D"]


class CrossAttention(nn.Module):
    """One part, enhanced by what it finds in another: RMSNorm(x + attention(x, other)).

    Args:
        dim: D.
        heads: H.
        dropout: on the attention weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        self.norm = RmsNorm(dim, eps=EPS)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        other: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "B T"] | None,
    ) -> Float[Tensor, "B T D"]:
        """Attend over the frames of the other part."""
        projected = (self.query(x), self.key(other), self.value(other))
        q, k, v = (by_head(y, self.heads) for y in projected)
        seen = None if mask is None else mask[:, None, None]
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, seen, dropout)
        return self.norm(x + self.out(attended.transpose(1, 2).flatten(-2)))
