"""Pool the frames' vectors into one per clip: means of pieces, and a learned query.

Letters: **B** batch, **T** frames, **S** pieces of a clip, **D** width, **H** heads.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.models import Mask
from src.models.blocks import RmsNorm, attend, by_head, key_mask, masked_mean


def piece_means(x: Float[Tensor, "B T D"], mask: Mask, pieces: int) -> Float[Tensor, "B S D"]:
    """Cut every clip into `pieces` equal pieces and take the mean of each.

    Piece s of a clip of n frames has the frames from floor(s n / S) up to, not including,
    ceil((s + 1) n / S). So neighbouring pieces share a frame where S does not divide n, and a clip
    with fewer frames than pieces repeats its frames: torch's adaptive average pooling, at each
    clip's length. A clip ends with its last real frame; a piece without any real frame is 0.
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
    """One query attends to all real frames; the query learns which moments matter.

    With `random_query` each call draws a new query, in evaluation too, as in the authors' code.
    """

    def __init__(self, dim: int, heads: int, random_query: bool = False):
        super().__init__()
        self.heads = heads
        self.query = None if random_query else nn.Parameter(torch.empty(dim))
        self.to_query, self.to_key, self.to_value, self.out = (
            nn.Linear(dim, dim) for _ in range(4)
        )

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B D"]:
        if self.query is None:
            query = torch.randn(len(x), x.shape[-1], device=x.device)
        else:
            query = self.query.expand(len(x), -1)
        projected = (self.to_query(query)[:, None], self.to_key(x), self.to_value(x))
        q, k, v = (by_head(y, self.heads) for y in projected)  # (B, H, 1 or T, d)
        return self.out(attend(q, k, v, key_mask(mask)).flatten(1))


class MultiScalePooling(nn.Module):
    """Mean, maximum, means of `scales` pieces, and attention, joined by an MLP.

    Args:
        dim: D.
        heads: heads of the attention pooling.
        scales: how many pieces a clip is cut into, one number per scale.
        dropout: dropout in the MLP.
        averaged_bins: average the pieces of a scale, as the authors' code does, which makes every
            scale nearly the mean of the clip; False keeps a vector per piece, as in the document.
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
            RmsNorm(2 * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * dim, dim),
        )

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B D"]:
        real = x if mask is None else x.masked_fill(~mask[..., None], -torch.inf)
        vectors = [masked_mean(x, mask), real.amax(1)]  # (B, D) each
        for number, scale in enumerate(self.scales):
            means = piece_means(x, mask, scale)  # (B, S, D)
            if self.pieces is None:
                vectors.append(means.mean(1))
            else:
                vectors.append(self.pieces[number](means.flatten(1)))
        vectors.append(self.attention(x, mask))
        return self.join(torch.cat(vectors, -1))
