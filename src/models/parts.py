"""Turn the points of a frame into one vector per part; attention between parts.

- Every point is normalised with its mean and deviation over the training clips. These are buffers,
  so every checkpoint holds them.
- The patch embedding is multiplied out, so only its result has width D.

Letters: **B** batch, **T** frames, **N** = B T, **L** points, **P** patches of a part,
**n** numbers of a patch, **D** width, **H** heads, **d** = D / H.
Source: Slovo, recognition.md 4.3.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.models import Mask
from src.models.blocks import RmsNorm, by_head, heads_joined, key_mask
from src.models.rotary import Rotary

LIMIT = 5.0  # deviations that a normalised coordinate is clamped to


class PointNorm(nn.Module):
    """Normalise (x, y) of each point by its mean and deviation over the training clips.

    A missing point is passed as 0 and stays 0.
    """

    def __init__(self, n_points: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_points, 2))
        self.register_buffer("std", torch.ones(n_points, 2))

    def learn(self, frames: Iterable[Float[Tensor, "_ L 3"]]) -> None:
        """Compute the statistics of all frames; NaN = not detected.

        A point that was never detected gets mean 0 and deviation 1.
        """
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
        """Normalise, and clamp to `LIMIT` deviations."""
        seen = (xy != 0).any(-1, keepdim=True)
        normalised = ((xy - self.mean) / (self.std + 1e-8)).clamp(-LIMIT, LIMIT)
        return torch.where(seen, normalised, 0.0)


class PatchEmbedding(nn.Module):
    """One vector per frame from one part, whose points form patches that attend to each other.

    A patch is a few numbers, and up to the softmax everything is linear in them except the division
    by the norm. So everything is computed from these numbers, without vectors of width D. Let p be
    the numbers of a patch followed by a 1, so embed(patch) + position = E p. Then

    - the norm divides by r = |E p| / sqrt(D), and r^2 = p' (E' E / D) p (`square`);
    - the score of query i and key j is p_i' F_ij p_j / (r_i r_j) (`scores`);
    - the frame's vector, the mean over the queries, is the sum over the keys of V_j p_j / r_j times
      the mean weight of key j (`values`).

    A patch has `patch` points; the last patch is padded with zeros.
    """

    def __init__(self, n_points: int, dim: int, patch: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.n_patches = -(-n_points // patch)
        self.padding = 2 * (self.n_patches * patch - n_points)  # numbers, x and y
        self.embed = nn.Linear(2 * patch, dim)
        self.position = nn.Parameter(torch.empty(self.n_patches, dim))
        self.norm = RmsNorm(dim)
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        self.rotary = Rotary(dim // heads, self.n_patches)
        self.missing = nn.Parameter(torch.empty(dim))

    def forward(self, xy: Float[Tensor, "B T points 2"]) -> Float[Tensor, "B T D"]:
        """Embed the part; a frame in which it is missing becomes the learned `missing` vector."""
        # In full precision: half precision would not speed up sums of so few products.
        with torch.autocast(xy.device.type, enabled=False):
            patches = F.pad(xy.flatten(-2), (0, self.padding)).flatten(0, 1)
            patches = patches.unflatten(-1, (self.n_patches, -1))  # (N, P, n - 1)
            embedded = self._attended(F.pad(patches, (0, 1), value=1.0)).unflatten(0, xy.shape[:2])
            seen = (xy != 0).flatten(-2).any(-1, keepdim=True)  # (B, T, 1)
            return torch.where(seen, embedded, self.missing)

    def _attended(self, p: Float[Tensor, "N P n"]) -> Float[Tensor, "N D"]:
        square_of, scores_of, values_of = self._maps()
        # 1 / r of every patch.
        queries = p.transpose(0, 1)  # (P, N, n)
        square = ((queries @ square_of) * queries).sum(-1, keepdim=True)
        inverse = torch.rsqrt(square.clamp(min=0) + self.norm.eps)  # (P, N, 1)
        # All heads have the same keys: H P in a row, so no tensor has more than 4 axes.
        keys = p.repeat(1, self.heads, 1)  # (N, H P, n)
        inverse_of_keys = inverse.squeeze(-1).T.repeat(1, self.heads)  # (N, H P)

        halves = (queries @ scores_of).unflatten(-1, (-1, p.shape[-1]))  # (P, N, H P, n)
        scores = (halves * keys).sum(-1) * inverse * inverse_of_keys
        weights = scores.unflatten(-1, (self.heads, -1)).softmax(-1)  # (P, N, H, P)
        # Averaging over the queries first is exact, because summing the values is linear.
        weights = F.dropout(weights, self.dropout, self.training).mean(0).flatten(1)  # (N, H P)
        return ((weights * inverse_of_keys)[..., None] * keys).flatten(1) @ values_of

    def _maps(
        self,
    ) -> tuple[Float[Tensor, "P n n"], Float[Tensor, "P n HPn"], Float[Tensor, "HPn D"]]:
        """Multiply the weights out into three maps.

        Returns:
            `square`, a matrix per patch; `scores`, from a query to every key in every head;
            `values`, from weighted keys to the frame's vector.
        """
        constant = self.embed.bias + self.position  # (P, D)
        weight = self.embed.weight.T.expand(self.n_patches, -1, -1)
        embed = torch.cat([weight, constant[:, None]], 1)  # (P, n, D)
        normed = (embed * self.norm.weight).transpose(0, 1)  # (n, P, D)
        q, k, v = (
            by_head(linear(normed), self.heads) for linear in (self.query, self.key, self.value)
        )  # (n, H, P, d)
        scores = torch.einsum("ahid,bhjd->iahjb", self.rotary(q), self.rotary(k))
        out = self.out.weight.unflatten(1, (self.heads, -1))  # (D, H, d)
        square = embed @ embed.transpose(1, 2) / embed.shape[-1]
        values = torch.einsum("bhjd,ohd->hjbo", v, out).flatten(0, 2)
        return square, scores.flatten(2) * q.shape[-1] ** -0.5, values


class CrossAttention(nn.Module):
    """One part attends to the real frames of another: RMSNorm(x + attention(x, other))."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        self.norm = RmsNorm(dim)

    def forward(
        self, x: Float[Tensor, "B T D"], other: Float[Tensor, "B T D"], mask: Mask
    ) -> Float[Tensor, "B T D"]:
        projected = (self.query(x), self.key(other), self.value(other))
        q, k, v = (by_head(y, self.heads) for y in projected)  # (B, H, T, d)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, key_mask(mask), dropout)
        return self.norm(x + self.out(heads_joined(attended)))
