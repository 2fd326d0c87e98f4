"""The 6th place's networks on Hugging Face's DeBERTa encoder, padded to the longest clip.

What the authors' code does, layer for layer: two convolutions and two dense layers on every point,
five MLPs with batch norm over all frames, padded ones too, and one `DebertaV2Encoder` per
transformer layer, whose output layer changes the width. Numerically it is src.models.frame_deberta
but for the batch norms' statistics; ours is timed against it, and tests/models compare with it.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DebertaV2Config
from transformers.models.deberta_v2 import modeling_deberta_v2 as hf

from src.landmarks import Layout
from src.models.frame_deberta import FACE, KERNEL, N_TYPES, TYPES, Config

# The options of DeBERTa-v2's attention as recognition.md 3.4 has it.
DISENTANGLED = {
    "relative_attention": True,
    "pos_att_type": ["c2p", "p2c"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


class Mlp(nn.Module):
    """Dense, batch norm over all frames, dropout, Mish."""

    def __init__(self, width_in: int, width_out: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width_in, width_out)
        self.norm = nn.BatchNorm1d(width_out)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D2)."""
        y = self.norm(self.dense(x).flatten(0, 1)).view(*x.shape[:2], -1)
        return F.mish(self.dropout(y))


class FrameEncoder(nn.Module):
    """One vector per frame."""

    def __init__(self, config: Config, layout: Layout, width: int):
        super().__init__()
        types = [TYPES[part] for part, points in layout.parts.items() for _ in points]
        self.register_buffer("types", torch.tensor(types))
        self.register_buffer("points", 1 + torch.arange(len(types)))
        e, dim, dropout = config.features, config.dim, config.mlp_dropout
        self.type_embedding = nn.Embedding(N_TYPES, e)
        self.type_norm = nn.LayerNorm(e)
        self.point_embedding = nn.Embedding(len(layout) + 1, e)
        self.point_norm = nn.LayerNorm(e)
        self.conv1 = nn.Conv1d(3, e // 2, KERNEL, padding=KERNEL // 2, bias=False)
        self.conv2 = nn.Conv1d(e // 2, e, KERNEL, padding=KERNEL // 2, bias=False)
        self.position = nn.Linear(3 + e, e)
        self.dense = nn.Linear(3 * e, e)
        parts = {name: (name,) for name in ("left_hand", "right_hand", "lips")} | {"face": FACE}
        self.rows = {name: torch.tensor(layout.rows(*names)) for name, names in parts.items()}
        self.full = Mlp(e * len(layout), dim, dropout)
        self.parts = nn.ModuleDict(
            {name: Mlp(e * len(rows), dim, dropout) for name, rows in self.rows.items()}
        )
        self.fusion = Mlp(4 * dim, width, config.fusion_dropout)

    def embed(self, xyz: Tensor, mask: Tensor) -> Tensor:
        """(B, T, L, 3) -> (B, T, L, E); a padded frame's points are of type and landmark 0."""
        n, t, points, _ = xyz.shape
        by_point = xyz.permute(0, 2, 3, 1).flatten(0, 1)  # (B L, 3, T)
        smooth = self.conv2(self.conv1(by_point)).view(n, points, -1, t).permute(0, 3, 1, 2)
        position = self.position(torch.cat([xyz.to(smooth.dtype), smooth], -1))
        real = mask[..., None].long()
        kinds = self.type_norm(self.type_embedding(self.types * real))
        which = self.point_norm(self.point_embedding(self.points * real))
        return self.dense(torch.cat([kinds, which, position], -1))

    def forward(self, xyz: Tensor, mask: Tensor) -> Tensor:
        """(B, T, L, 3) -> (B, T, D)."""
        x = self.embed(xyz, mask)
        left, right, lips, face = (self._part(x, mask, name) for name in self.rows)
        hands = torch.maximum(left, right)
        joined = torch.cat([self.full(x.flatten(-2)), hands, lips, face], -1)
        return self.fusion(joined) * mask[..., None]

    def _part(self, x: Tensor, mask: Tensor, name: str) -> Tensor:
        part, weight = x[:, :, self.rows[name].to(x.device)], mask[..., None, None]
        count = weight.sum((1, 2), keepdim=True) * part.shape[2]
        part = (part - (part * weight).sum((1, 2), keepdim=True) / count) * weight
        return self.parts[name](part.flatten(-2))


class NarrowOutput(nn.Module):
    """The output layer that changes the width: the residual comes before it."""

    def __init__(self, width_in: int, width_out: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(width_in, width_out)
        self.LayerNorm = nn.LayerNorm(width_out, eps=1e-7)
        self.dropout = nn.Dropout(dropout)

    def forward(self, intermediate: Tensor, attended: Tensor) -> Tensor:
        """(B, T, D) twice -> (B, T, D2)."""
        return self.LayerNorm(self.dropout(self.dense(intermediate + attended)))


def encoder(
    width_in: int, width_out: int, heads: int, max_len: int, dropout: float
) -> hf.DebertaV2Encoder:
    """One transformer layer."""
    made = hf.DebertaV2Encoder(
        DebertaV2Config(
            hidden_size=width_in,
            num_hidden_layers=1,
            num_attention_heads=heads,
            intermediate_size=width_in,
            hidden_act="mish",
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            position_buckets=max_len,
            max_relative_positions=max_len,
            layer_norm_eps=1e-7,
            **DISENTANGLED,
        )
    )
    made.layer[0].output = NarrowOutput(width_in, width_out, dropout)
    return made


class FrameDeberta(nn.Module):
    """The whole network."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.encoder = FrameEncoder(config, layout, config.widths[0])
        sizes = zip(pairwise(config.widths), config.dropouts, strict=True)
        self.layers = nn.ModuleList(
            encoder(*widths, config.heads, config.max_len, dropout) for widths, dropout in sizes
        )
        self.classifier = nn.Linear(config.widths[-1], classes)

    def forward(self, xyz: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """(B, T, L, 3) with 0 = missing, (B, T) -> logits (B, K)."""
        weight = mask.float()
        x = self.encoder(xyz, weight)
        for layer in self.layers:
            x = layer(x, weight)[0]
        pooled = (x * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        return {"logits": self.classifier(pooled), "pooled": pooled}


def layer_pairs(theirs: nn.Module, ours: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """What one of their transformer layers, BERT's or DeBERTa's, is made of, each beside ours."""
    attention = theirs.attention
    suffix = "" if hasattr(attention.self, "query") else "_proj"
    return [
        *(
            (getattr(attention.self, f"{name}{suffix}"), getattr(ours.attention, name))
            for name in ("query", "key", "value")
        ),
        (attention.output.dense, ours.attention_out),
        (attention.output.LayerNorm, ours.attention_norm),
        (theirs.intermediate.dense, ours.intermediate),
        (theirs.output.dense, ours.out),
        (theirs.output.LayerNorm, ours.out_norm),
    ]


def table_pairs(theirs: nn.Module, ours: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """The table of relative positions of an encoder of theirs, and of an attention of ours."""
    return [(theirs.rel_embeddings, ours.positions.table), (theirs.LayerNorm, ours.positions.norm)]
