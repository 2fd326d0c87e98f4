"""Layers that more than one family uses.

Letters: **B** batch, **T** frames, **D** width, **H** heads, **d** = D / H.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from src.models import Mask


def masked_mean(x: Float[Tensor, "B T *rest"], mask: Mask) -> Float[Tensor, "B *rest"]:
    """Mean over the real frames."""
    if mask is None:
        return x.mean(1)
    weight = mask.to(x.dtype).view(*mask.shape, *[1] * (x.dim() - 2))
    return (x * weight).sum(1) / weight.sum(1)


# --- attention ----------------------------------------------------------------------------------


def by_head(x: Float[Tensor, "*batch T D"], heads: int) -> Float[Tensor, "*batch H T d"]:
    """Split the width into heads."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def heads_joined(x: Float[Tensor, "*batch H T d"]) -> Float[Tensor, "*batch T D"]:
    """Join the heads into one width again."""
    return x.transpose(-2, -3).flatten(-2)


def key_mask(mask: Mask) -> Bool[Tensor, "B 1 1 T"] | None:
    """The attention mask that lets every query see all real frames and no padded ones."""
    return None if mask is None else mask[:, None, None]


def attend(
    q: Float[Tensor, "B H T d"],
    k: Float[Tensor, "B H T2 d"],
    v: Float[Tensor, "B H T2 d"],
    attention_mask: Bool[Tensor, "..."] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "B H T d"]:
    """Scaled dot-product attention; `attention_mask` is True where a query sees a key.

    `dropout` applies to the attention weights, in evaluation too: pass 0 there.

    Training in bfloat16 on a CPU uses torch's unfused products: at up to 128 frames the fused
    kernel of torch 2.13 needs two to four times as long.
    """
    half = q.dtype == torch.bfloat16 or torch.is_autocast_enabled(q.device.type)
    if q.device.type == "cpu" and q.requires_grad and half:
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v, attention_mask, dropout)
    return F.scaled_dot_product_attention(q, k, v, attention_mask, dropout)


# --- norms --------------------------------------------------------------------------------------


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the real frames of a padded batch, so padding changes no statistic.

    While torch.distributed runs, the statistics are those of all processes' batches together.
    """

    across_processes = True  # False = the statistics of this process alone

    def forward(
        self, x: Float[Tensor, "*batch D"], mask: Bool[Tensor, "*batch"] | None = None
    ) -> Float[Tensor, "*batch D"]:
        """Normalise with the statistics of the batch in training, else with the running ones."""
        if not self.training:
            return super().forward(x.flatten(0, -2)).view_as(x)
        with torch.autocast(x.device.type, enabled=False):  # sums of squares need full precision
            rows = x.flatten(0, -2).float()  # (B T, D)
            weight = torch.ones_like(rows[:, 0]) if mask is None else mask.flatten().float()
            sums = torch.stack([weight @ rows, weight @ rows.square()])
            count = weight.sum()
            if self.across_processes:
                sums, count = _over_processes(sums, count)
            mean, square = sums / count
            variance = (square - mean.square()).clamp(min=0)
            self._update(mean.detach(), variance.detach(), count)
            scale = self.weight * torch.rsqrt(variance + self.eps)
            return torch.addcmul(self.bias - mean * scale, rows, scale).view_as(x)

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        self.num_batches_tracked += 1
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)


def _over_processes(sums: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Add up the sums and counts of all processes of a distributed run, with gradients."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return sums, count
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(sums), all_reduce(count)


class RmsNorm(nn.RMSNorm):
    """torch's RMSNorm, always in float32: a sum of squares needs full precision.

    Its eps is under the root. It is so small that, up to rounding, the result is x / (rms + 1e-6),
    the formula in Slovo's document.
    """

    def __init__(self, width: int):
        super().__init__(width, eps=1e-12)

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return super().forward(x.float())


# --- feed-forward -------------------------------------------------------------------------------


class SwiGlu(nn.Module):
    """A linear layer over silu(a) b, with a and b linear in x. Shazeer, arXiv 2002.05202."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gated = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        a, b = self.gated(x).chunk(2, dim=-1)
        return self.out(F.silu(a) * b)


# --- dropout ------------------------------------------------------------------------------------


def drop_path(x: Float[Tensor, "B *rest"], p: float, training: bool) -> Float[Tensor, "B *rest"]:
    """Stochastic depth: set a clip's branch to 0 with probability p, else divide it by 1 - p.

    Source: Huang et al., arXiv 1603.09382.
    """
    if not training or p == 0:
        return x
    return x * F.dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p)


class LateDropout(nn.Module):
    """Dropout that begins after the share `start` of the training, see `set_progress`."""

    def __init__(self, p: float, start: float):
        super().__init__()
        self.p, self.start = p, start
        # A flag and not the progress itself: torch.compile then recompiles once, not in every step.
        self.begun = True

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return F.dropout(x, self.p, self.training and self.begun)


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell the late dropouts of a model which share of the training is done."""
    for module in model.modules():
        if isinstance(module, LateDropout):
            module.begun = progress >= module.start


# --- manifold mixup -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerMix:
    """Mix every clip with a partner before one layer; transforms/mix.py draws pairs and shares.

    Args:
        partner: the clip that each clip is mixed with.
        share: how much of itself a clip keeps; 1 = the clip stays as it is.
        layer: the number of the layer; a tensor, so one compiled step serves all layers.

    Source: Verma et al., Manifold Mixup, arXiv 1806.05236.
    """

    partner: Int[Tensor, " B"]
    share: Float[Tensor, " B"]
    layer: Int[Tensor, ""]

    def __call__(
        self, x: Float[Tensor, "B T D"], mask: Mask, layer: int
    ) -> tuple[Float[Tensor, "B T D"], Mask]:
        """Mix before the chosen layer; change nothing before other layers.

        Where two clips are mixed, a frame is real if it is real in either of them.
        """
        here = self.layer == layer
        share = torch.where(here, self.share, 1.0).to(x.dtype)[:, None, None]
        x = torch.lerp(x[self.partner], x, share)
        if mask is not None:
            mask = mask | (mask[self.partner] & here)
        return x, mask
