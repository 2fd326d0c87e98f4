"""From a vector per frame to one per clip: means of pieces of the clip, and a learned query.

Letters: **B** batch, **T** frames, **S** pieces of a clip, **D** width, **H** heads.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from src.models.blocks import RmsNorm, attend, masked_mean
from src.models.parts import EPS, by_head


def piece_means(
    x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None, pieces: int
) -> Float[Tensor, "B S D"]:
    """Cut every clip into `pieces` equal pieces and take the mean of each.

    Piece s of a clip of n frames is the frames from floor(s n / S) to ceil((s + 1) n / S), the last
    one not included, so neighbours share a frame where S does not divide n, and a clip of fewer
    frames than pieces repeats them: torch's adaptive average pooling, of each clip's own length.

    Args:
        x: a vector per frame.
        mask: real frames; None = all. A clip's length is up to its last real frame; a piece
            without any real frame is 0.
        pieces: S.
    """
    n_frames = x.shape[1]
    t = torch.arange(n_frames, device=x.device)
    piece = torch.arange(pieces, device=x.device)
    length = n_frames if mask is None else ((t + 1) * mask).amax(1)[:, None]  # (B, 1)
    start = (piece * length) // pieces  # (S,) or (B, S)
    end = ((piece + 1) * length + pieces - 1) // pieces
    inside = (t >= start[..., None]) & (t < end[..., None])  # (S, T) or (B, S, T)
    if mask is not None:
        inside = inside & mask[:, None]
    weight = inside.to(x.dtype)
    return (weight @ x) / weight.sum(-1, keepdim=True).clamp(min=1)


class AttentionPooling(nn.Module):
    """One query attends to all frames: which moments matter is learned.

    Args:
        dim: D.
        heads: H.
        random_query: the authors' code draws a new query at every call, also in evaluation.
    """

    def __init__(self, dim: int, heads: int, random_query: bool = False):
        super().__init__()
        self.heads = heads
        self.query = None if random_query else nn.Parameter(torch.empty(dim))
        self.to_query = nn.Linear(dim, dim)
        self.to_key = nn.Linear(dim, dim)
        self.to_value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B D"]:
        """Attend; frames outside the mask are not looked at."""
        if self.query is None:
            query = torch.randn(len(x), x.shape[-1], device=x.device)
        else:
            query = self.query.expand(len(x), -1)
        projected = (self.to_query(query)[:, None], self.to_key(x), self.to_value(x))
        q, k, v = (by_head(y, self.heads) for y in projected)  # (B, H, 1 or T, d)
        seen = None if mask is None else mask[:, None, None]
        return self.out(attend(q, k, v, seen).flatten(1))


class MultiScalePooling(nn.Module):
    """Mean, maximum, means of 1, 2, 4 and 8 pieces, and attention, joined by an MLP.

    Args:
        dim: D.
        heads: of the attention.
        scales: numbers of pieces.
        dropout: in the MLP.
        averaged_bins: the authors' code averages the pieces of a scale, so that every scale is
            nearly the mean of the clip; the document keeps a vector per piece.
        random_query: see `AttentionPooling`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        scales: tuple[int, ...],
        dropout: float,
        averaged_bins: bool = False,
        random_query: bool = False,
    ):
        super().__init__()
        self.scales = scales
        self.pieces = None
        if not averaged_bins:
            self.pieces = nn.ModuleList(nn.Linear(scale * dim, dim) for scale in scales)
        self.attention = AttentionPooling(dim, heads, random_query)
        self.join = nn.Sequential(
            nn.Linear((3 + len(scales)) * dim, 2 * dim),
            RmsNorm(2 * dim, eps=EPS),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * dim, dim),
        )

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B D"]:
        """Pool over the real frames."""
        seen = x if mask is None else x.masked_fill(~mask[..., None], -torch.inf)
        vectors = [masked_mean(x, mask), seen.amax(1)]
        for number, scale in enumerate(self.scales):
            means = piece_means(x, mask, scale)
            by_scale = (
                means.mean(1) if self.pieces is None else self.pieces[number](means.flatten(1))
            )
            vectors.append(by_scale)
        vectors.append(self.attention(x, mask))
        return self.join(torch.cat(vectors, -1))
