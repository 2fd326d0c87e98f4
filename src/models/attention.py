"""Disentangled attention (DeBERTa-v2): content and relative position attend to each other.

score(i, j) = [ Q_i . K_j  +  Q_i . Kr[i - j]  +  K_j . Qr[i - j] ] / sqrt(3 d)

- Kr and Qr are the key and query projections of one table of relative positions (share_att_key).
- Only the offsets that occur in a clip of T frames are projected, not the whole table.
- Scores per offset become scores per pair of frames in two ways with the same result: a shifted
  view for training, a gather for export (tests/benchmarks compare their speed).

Letters: **B** batch, **T** frames, **D** width, **H** heads, **d** = D / H.
Source: He et al., DeBERTa, arXiv 2006.03654, equations 2 to 4; as in transformers' DeBERTa-v2.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from src.models import Mask


def log_bucket(offset: Int[Tensor, "..."], max_len: int) -> Int[Tensor, "..."]:
    """Keep offsets of up to max_len / 2 frames and put larger ones on a logarithmic scale."""
    middle = max_len // 2
    distance = offset.abs().clamp(min=1)
    # torch computes both logarithms, so their quotient at the largest offset is exactly 1.
    largest = torch.log(distance.new_full((), max_len - 1) / middle)
    far = (torch.log(distance / middle) / largest * (middle - 1)).ceil() + middle
    return torch.where(distance <= middle, offset, offset.sign() * far.long())


class RelativePositions(nn.Module):
    """A table of relative positions for clips of at most `max_len` frames, layer-normalised.

    `dropout` is drawn once per batch for each row, so offsets with the same row get the same mask.
    """

    def __init__(self, width: int, max_len: int, dropout: float = 0.0):
        super().__init__()
        self.table = nn.Embedding(2 * max_len, width)
        self.norm = nn.LayerNorm(width, eps=1e-7)
        self.max_len, self.dropout = max_len, dropout
        # The rows are stored, not computed in the graph: another runtime may round a logarithm to
        # the other side of a whole number and so choose another row.
        offset = torch.arange(-max_len, max_len + 1)
        rows = (log_bucket(offset, max_len) + max_len).clamp(0, 2 * max_len - 1)
        self.register_buffer("rows", rows, persistent=False)

    def forward(self, n_frames: int | torch.SymInt) -> Float[Tensor, "T2 D"]:
        """Look up the rows of the offsets T, T - 1, ..., -T, in this order (T2 = 2T + 1)."""
        offset = n_frames - torch.arange(2 * n_frames + 1, device=self.rows.device)
        row = self.rows[(offset + self.max_len).clamp(0, 2 * self.max_len)]
        if self.training and self.dropout:
            return F.dropout(self.norm(self.table.weight), self.dropout)[row]
        return self.norm(self.table(row))


def by_offset_shifted(scores: Float[Tensor, "*batch T T2"]) -> Float[Tensor, "*batch T T"]:
    """Turn scores per offset into scores per pair of frames: out[i, j] is row i at offset i - j.

    Column c of a row belongs to offset T - 1 - c, so row i of the result is a view of row i that
    starts at column T - 1 - i.
    """
    n = scores.shape[-2]
    flat = scores.flatten(-2)[..., n - 1 : n - 1 + n * (2 * n - 1)]
    return flat.unflatten(-1, (n, 2 * n - 1))[..., :n]


def by_offset_gathered(scores: Float[Tensor, "*batch T T2"]) -> Float[Tensor, "*batch T T"]:
    """Do the same as `by_offset_shifted`, by a gather."""
    n = scores.shape[-2]
    t = torch.arange(n, device=scores.device)
    column = n - 1 - t[:, None] + t
    return scores.gather(-1, column.expand(*scores.shape[:-1], n))


class DisentangledAttention(nn.Module):
    """Multi-head attention over the real frames, with relative positions in both directions.

    The output of padded frames is 0. Layers may share a table of `positions`; None = the layer
    makes a table for itself, with the `dropout` of the attention weights.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        max_len: int,
        dropout: float,
        positions: RelativePositions | None = None,
    ):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.positions = positions or RelativePositions(width, max_len, dropout)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask = None) -> Float[Tensor, "B T D"]:
        n, n_frames, width = x.shape
        # Heads first, so one product per head covers all clips: (H, B, T, d).
        q, k, v = (self._by_head(project(x)) for project in (self.query, self.key, self.value))
        positions = self.positions(n_frames)  # (2T + 1, D)
        kr, qr = (self._by_head(project(positions)) for project in (self.key, self.query))

        # The three terms, each (H, B, T, T): content to content, content to position, and position
        # to content. The last term is K_j times offset i - j, so rows and columns are swapped: the
        # table is read with ascending offsets, and the result is transposed. In TFLite a gather is
        # faster, and it works at any length.
        exporting = torch.compiler.is_exporting()
        by_offset = by_offset_gathered if exporting else by_offset_shifted
        scores = q @ k.transpose(-1, -2)
        scores = scores + by_offset(self._against(q, kr[:, 1:]))
        scores = scores + by_offset(self._against(k, qr[:, :-1].flip(-2))).transpose(-1, -2)
        scores = scores.float() / math.sqrt(3 * width / self.heads)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        out = weights.to(v.dtype) @ v
        out = out.permute(1, 2, 0, 3).reshape(n, n_frames, width)  # (B, T, D)
        return out if mask is None else out * mask[..., None]

    def _by_head(self, x: Float[Tensor, "*batch T D"]) -> Float[Tensor, "H *batch T d"]:
        return x.unflatten(-1, (self.heads, -1)).movedim(-2, 0)

    @staticmethod
    def _against(
        x: Float[Tensor, "H B T d"], rows: Float[Tensor, "H T2 d"]
    ) -> Float[Tensor, "H B T T2"]:
        """Multiply every frame of every clip with the same rows, in one product per head."""
        return (x.flatten(1, 2) @ rows.transpose(-1, -2)).unflatten(1, x.shape[1:3])
