"""6th place: an MLP encoder per frame, then a narrow-to-wide DeBERTa over the frames.

Unusual here:
- Two convolutions and two dense layers come before the first activation. Together they are one
  linear map of nine frames, so the four are multiplied out, in training too
  (`LandmarkEmbedding.folded`). A clip's first two frames come out differently in the authors' code:
  there the second convolution sees zeros before the clip, here it sees the first convolution's
  output on the clip's first frames. The last two of `max_len` frames differ in the same way.
- The type and landmark embeddings are the same in every frame, so a batch norm over the real frames
  cancels these embeddings, unless `Config.norm_rows` says otherwise.
- The features of a part are centred per clip before its MLP. Centring commutes with the dense
  layer, so one vector per clip is subtracted after it, and no features are copied.
- The output layer of a transformer layer changes the width; the residual is added before it.
- Manifold mixup is applied before one of the transformer layers, drawn at random.

Letters: **B** batch, **T** frames, **L** points, **E** = 16 features of a point, **D** width,
**K** signs. Source: recognition.md 3.4; SignMLPBert3 of TheoViel/kaggle_islr.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.landmarks import Layout
from src.models import Mask
from src.models.attention import DisentangledAttention
from src.models.blocks import LayerMix, MaskedBatchNorm, masked_mean

# The type of each part's points. Row 0 is for padding; as published, the table has spare rows.
TYPES = {
    "left_hand": 1,
    "right_hand": 2,
    "silhouette": 3,
    "lips": 4,
    "arms": 5,
    "cheeks": 6,
    "means": 6,
}
N_TYPES = 9
FACE = ("silhouette", "cheeks", "means")
KERNEL = 5  # frames that each of the two convolutions spans
GPU_CLIPS = 32  # clips on each of the authors' GPUs; a GPU's batch norms see no others


@dataclass(frozen=True)
class Config:
    """Sizes of one network."""

    max_len: int  # frames of the longest clip
    dim: int  # D of the frame encoder's MLPs
    widths: tuple[int, ...]  # of the transformer's input, then of each layer's output
    dropouts: tuple[float, ...]  # one per transformer layer
    heads: int = 16  # heads of each transformer layer
    features: int = 16  # E, features of a point
    mlp_dropout: float = 0.25  # in the frame encoder's MLPs
    fusion_dropout: float = 0.05  # in the MLP that joins their outputs
    # The frames that the frame encoder's batch norms see in training.
    # - real: the real frames.
    # - padded: as in the authors' code, groups of 32 clips, padded to `max_len` frames of type and
    #   landmark 0. Real and padded frames then differ by the embeddings.
    # - seen: the real frames; a missing landmark has no embedding, which shows that it is missing.
    norm_rows: Literal["real", "padded", "seen"] = "real"

    def build(self, layout: Layout, classes: int) -> FrameDeberta:
        return FrameDeberta(self, layout, classes)


class LandmarkEmbedding(nn.Module):
    """Features of every point: its type, its identity, and its smoothed position."""

    def __init__(self, layout: Layout, features: int):
        super().__init__()
        types = [TYPES[part] for part, points in layout.parts.items() for _ in points]
        self.register_buffer("types", torch.tensor(types), persistent=False)
        self.type_embedding = nn.Embedding(N_TYPES, features)
        self.type_norm = nn.LayerNorm(features)
        self.point_embedding = nn.Embedding(len(layout) + 1, features)  # row 0 is padding
        self.point_norm = nn.LayerNorm(features)
        self.conv1 = nn.Conv1d(3, features // 2, KERNEL, bias=False)
        self.conv2 = nn.Conv1d(features // 2, features, KERNEL, bias=False)
        self.position = nn.Linear(3 + features, features)
        self.dense = nn.Linear(3 * features, features)

    def folded(
        self,
    ) -> tuple[Float[Tensor, "E 3 9"], Float[Tensor, "L E"], Float[Tensor, " E"]]:
        """Multiply all layers out into one linear map per point.

        Returns:
            Weights of (x, y, z) in nine frames; a constant per point, the part of its features that
            does not depend on its coordinates; the constant of all points in padded frames.
        """
        reach = KERNEL - 1  # frames that two convolutions see on either side
        # The second convolution applied to the kernel of the first one.
        smooth = F.conv1d(
            F.pad(self.conv1.weight.transpose(0, 1), (reach, reach)), self.conv2.weight.flip(-1)
        )  # (3, E, 9)
        # The dense layer over (xyz, smoothed xyz); xyz itself is the middle one of the nine frames.
        of_xyz, of_smooth = self.position.weight.split([3, self.position.out_features], dim=1)
        kernel = torch.einsum("eo,cot->ect", of_smooth, smooth)
        kernel = kernel + F.pad(of_xyz[..., None], (reach, reach))
        # The dense layer over (type, point, position); the first two depend on the point alone.
        of_type, of_point, of_position = self.dense.weight.chunk(3, dim=1)
        of_types = self.type_norm(self.type_embedding.weight) @ of_type.T
        of_points = self.point_norm(self.point_embedding.weight) @ of_point.T
        of_all = self.position.bias @ of_position.T + self.dense.bias
        constant = of_types[self.types] + of_points[1:] + of_all
        padding = of_types[0] + of_points[0] + of_all
        return torch.einsum("po,oct->pct", of_position, kernel), constant, padding

    def forward(
        self, xyz: Float[Tensor, "B T L 3"]
    ) -> tuple[Float[Tensor, "B T L E"], Float[Tensor, "L E"], Float[Tensor, " E"]]:
        """Embed every point; frames before the first and after the last count as 0.

        The constants (see `folded`) are returned separately: they are 20 times as large as the part
        that moves, and in bfloat16 the motion would be lost beside them.
        """
        kernel, constant, padding = self.folded()
        reach = KERNEL - 1
        windows = F.pad(xyz, (0, 0, 0, 0, reach, reach)).unfold(1, 2 * reach + 1, 1)
        # windows is (B, T, L, 3, 9)
        return F.linear(windows.flatten(-2), kernel.flatten(1)), constant, padding


class Mlp(nn.Module):
    """Dense, batch norm, dropout, Mish."""

    def __init__(self, width_in: int, width_out: int, dropout: float, padded: bool):
        super().__init__()
        self.dense = nn.Linear(width_in, width_out)
        self.norm = MaskedBatchNorm(width_out)
        self.norm.across_processes = not padded
        self.dropout, self.padded = dropout, padded

    def forward(
        self, x: Float[Tensor, "B T D"], mask: Mask, offset: Tensor | None = None
    ) -> Float[Tensor, "B T D2"]:
        """Transform every frame; `offset` is added before the norm, without rounding it."""
        y = self.dense(x)
        if offset is not None:
            y = y + offset
        y = self._normed(y) if self.padded and self.training else self.norm(y, mask)
        return F.mish(F.dropout(y, self.dropout, self.training))

    def through(self, x: Float[Tensor, "*batch points E"]) -> Float[Tensor, "*batch D2"]:
        """Apply the dense layer to the features of all points, without the bias."""
        return F.linear(x.flatten(-2), self.dense.weight)

    def _normed(self, y: Float[Tensor, "B T D2"]) -> Float[Tensor, "B T D2"]:
        """Batch norm as on GPUs with 32 clips each; only the first GPU's statistics are kept.

        A batch is sorted by length, so its clips are dealt to the GPUs in rotation.
        """
        with torch.autocast(y.device.type, enabled=False):
            norm, gpus = self.norm, -(-len(y) // GPU_CLIPS)
            out = torch.empty_like(y, dtype=torch.float32)
            out[::gpus] = norm(y[::gpus].float())
            for gpu in range(1, gpus):
                part = y[gpu::gpus].float()
                apart = F.batch_norm(
                    part.flatten(0, 1), None, None, norm.weight, norm.bias, True, eps=norm.eps
                )
                out[gpu::gpus] = apart.view_as(part)
            return out


class FrameEncoder(nn.Module):
    """One vector per frame, from five MLPs: all points, each hand, lips, the rest of the face.

    For the MLP of all points, a padded frame's points have type and landmark 0; for the other four
    MLPs they are 0. This matters where `norm_rows` is "padded".
    """

    def __init__(self, config: Config, layout: Layout, width: int):
        super().__init__()
        self.config = config
        self.rows = {name: layout.rows(name) for name in ("left_hand", "right_hand", "lips")}
        self.rows["face"] = layout.rows(*FACE)
        # A buffer, so a step copies nothing to the device.
        self.register_buffer("face", torch.tensor(self.rows["face"]), persistent=False)
        e, dim, dropout = config.features, config.dim, config.mlp_dropout
        padded = config.norm_rows == "padded"
        self.embedding = LandmarkEmbedding(layout, e)
        self.full = Mlp(e * len(layout), dim, dropout, padded)
        self.parts = nn.ModuleDict(
            {name: Mlp(e * len(rows), dim, dropout, padded) for name, rows in self.rows.items()}
        )
        self.fusion = Mlp(4 * dim, width, config.fusion_dropout, padded)

    def forward(self, xyz: Float[Tensor, "B T L 3"], mask: Mask) -> Float[Tensor, "B T D"]:
        """Encode every frame; padded frames come out as 0."""
        n_frames = xyz.shape[1]
        if self.config.norm_rows == "padded" and self.training and mask is not None:
            longer = self.config.max_len - n_frames
            xyz, mask = F.pad(xyz, (0, 0, 0, 0, 0, longer)), F.pad(mask, (0, longer))
        points, constant, padding = self.embedding(xyz)  # (B, T, L, E), (L, E), (E,)
        seen = None
        if self.config.norm_rows == "real":
            # The batch norms cancel the constants, so only their gradient is added: it is zero but
            # for rounding, and every embedding has one.
            points = points + (constant - constant.detach())
        if self.config.norm_rows == "seen":
            seen = (xyz != 0).any(-1)  # (B, T, L)
            points = points * seen[..., None]

        left_hand, right_hand, lips, face = (
            self._part(name, points, constant, seen, mask) for name in self.rows
        )
        hands = torch.maximum(left_hand, right_hand)  # either hand makes one-handed signs
        offset = None
        if self.config.norm_rows != "real":
            offset = self._offset(self.full, constant, seen)
            if mask is not None:
                of_padding = self.full.through(padding.expand_as(constant))
                offset = torch.where(mask[..., None], offset, of_padding)
        full = self.full(points.flatten(-2), mask, offset)
        x = self.fusion(torch.cat([full, hands, lips, face], -1), mask)
        return (x if mask is None else x * mask[..., None])[:, :n_frames]

    def _part(
        self, name: str, points: Tensor, constant: Tensor, seen: Tensor | None, mask: Mask
    ) -> Float[Tensor, "B T D"]:
        """Apply one part's MLP to its points minus their mean over the clip's real frames."""
        rows = self.face if name == "face" else slice(self.rows[name][0], self.rows[name][-1] + 1)
        part, mlp = points[:, :, rows], self.parts[name]
        offset, mean = 0.0, part.mean(2)  # (B, T, E)
        if self.config.norm_rows != "real":
            own, there = constant[rows], None if seen is None else seen[:, :, rows]
            offset = self._offset(mlp, own, there)
            mean = mean + (own.mean(0) if there is None else there.float() @ own / len(own))
        centre = masked_mean(mean, mask)  # (B, E)
        by_feature = mlp.dense.weight.unflatten(1, (-1, centre.shape[-1])).sum(1)
        offset = offset - F.linear(centre, by_feature)[:, None]
        if self.config.norm_rows == "padded" and mask is not None:
            part, offset = part * mask[..., None, None], offset * mask[..., None]
        return mlp(part.flatten(-2), mask, offset)

    @staticmethod
    def _offset(mlp: Mlp, constant: Tensor, seen: Tensor | None) -> Tensor:
        """The dense layer's output for the constants of all points, or of the `seen` ones only.

        It is in float32, because the constants are much larger than the part that moves.
        """
        if seen is None:
            return mlp.through(constant).float()
        by_point = (mlp.dense.weight.unflatten(1, constant.shape) * constant).sum(-1)  # (D, L)
        return F.linear(seen.to(by_point.dtype), by_point).float()


class Layer(nn.Module):
    """A DeBERTa layer whose output may differ in width from its input.

    a = LN(x + dropout(attention));  i = Mish(W a);  out = LN(dropout(W' (i + a)))
    """

    def __init__(self, width_in: int, width_out: int, config: Config, dropout: float):
        super().__init__()
        self.attention = DisentangledAttention(width_in, config.heads, config.max_len, dropout)
        self.attention_out = nn.Linear(width_in, width_in)
        self.attention_norm = nn.LayerNorm(width_in, eps=1e-7)
        self.intermediate = nn.Linear(width_in, width_in)
        self.out = nn.Linear(width_in, width_out)
        self.out_norm = nn.LayerNorm(width_out, eps=1e-7)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D2"]:
        attended = self.attention_out(self.attention(x, mask))
        a = self.attention_norm(x + F.dropout(attended, self.dropout, self.training))
        y = self.out(a + F.mish(self.intermediate(a)))
        return self.out_norm(F.dropout(y, self.dropout, self.training))


class FrameDeberta(nn.Module):
    """The whole network; the layout's parts are those in `TYPES`, with or without arms."""

    def __init__(self, config: Config, layout: Layout, classes: int):
        super().__init__()
        self.encoder = FrameEncoder(config, layout, config.widths[0])
        sizes = zip(pairwise(config.widths), config.dropouts, strict=True)
        self.layers = nn.ModuleList(Layer(*widths, config, dropout) for widths, dropout in sizes)
        self.classifier = nn.Linear(config.widths[-1], classes)

    def forward(
        self, xyz: Float[Tensor, "B T L 3"], mask: Mask = None, mix: LayerMix | None = None
    ) -> dict[str, Tensor]:
        """Classify clips, see `src.models`; pooled is the mean over the real frames."""
        if mask is not None:
            xyz = torch.where(mask[..., None, None], xyz, 0.0)
        x = self.encoder(xyz, mask)  # (B, T, D); D changes from layer to layer
        for number, layer in enumerate(self.layers):
            if mix is not None:
                x, mask = mix(x, mask, number)
            x = layer(x, mask)
        pooled = masked_mean(x, mask)  # (B, D)
        return {"logits": self.classifier(pooled), "pooled": pooled}
