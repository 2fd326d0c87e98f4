"""Disentangled attention: forms of its position terms, forward and backward.

    python -m tests.benchmarks attention

- From queries, keys and values on, at the middle width of member B; the projections around are the
  same in every form.
- gather, shifted: the two forms of src/models/attention.py. fused bias: shifted terms handed to
  torch's fused attention as its mask. whole table: every offset that the table has, whatever the
  clip's length, copied for every clip, gathered: what Hugging Face does.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from src.models.attention import DisentangledAttention, by_offset_gathered, by_offset_shifted
from tests.benchmarks.products import Recorder, bare
from tests.benchmarks.table import Table
from tests.benchmarks.timing import DEVICE, in_turn

BATCH, HEADS, WIDTH, MAX_LEN = 32, 16, 768, 80
FRAMES = (25, 80)
TOLERANCE = 1e-5

against = DisentangledAttention._against


class Inputs(NamedTuple):
    """q, k, v (H, B, T, d); kr, qr (H, 2 max_len + 1, d), offsets falling; mask (B, T)."""

    q: Tensor
    k: Tensor
    v: Tensor
    kr: Tensor
    qr: Tensor
    mask: Tensor


def inputs(n_frames: int, dtype: torch.dtype) -> Inputs:
    """Random numbers; half of the clips are shorter than the batch."""
    generator = torch.Generator().manual_seed(n_frames)

    def random(*shape: int) -> Tensor:
        x = torch.randn(*shape, WIDTH // HEADS, generator=generator)
        return x.to(DEVICE, dtype).requires_grad_()

    length = torch.linspace(n_frames // 2, n_frames, BATCH).long()
    return Inputs(
        *(random(HEADS, BATCH, n_frames) for _ in range(3)),
        *(random(HEADS, 2 * MAX_LEN + 1) for _ in range(2)),
        mask=(torch.arange(n_frames) < length[:, None]).to(DEVICE),
    )


def terms(x: Inputs, by_offset: Callable[[Tensor], Tensor]) -> Tensor:
    """Both position terms, (H, B, T, T)."""
    n_frames = x.q.shape[-2]
    own = slice(MAX_LEN - n_frames, MAX_LEN + n_frames + 1)  # the offsets T to -T
    kr, qr = x.kr[:, own], x.qr[:, own]
    to_position = by_offset(against(x.q, kr[:, 1:]))
    return to_position + by_offset(against(x.k, qr[:, :-1].flip(-2))).transpose(-1, -2)


def attended(x: Inputs, position: Tensor) -> Tensor:
    """Softmax over the sum of the three terms, written out."""
    scores = (x.q @ x.k.transpose(-1, -2) + position).float() / math.sqrt(3 * x.q.shape[-1])
    scores = scores.masked_fill(~x.mask[:, None], torch.finfo(scores.dtype).min)
    return scores.softmax(-1).to(x.v.dtype) @ x.v


def fused_bias(x: Inputs) -> Tensor:
    """The position terms as the mask of torch's fused attention."""
    scale = 1 / math.sqrt(3 * x.q.shape[-1])
    bias = terms(x, by_offset_shifted) * scale
    bias = bias.masked_fill(~x.mask[:, None], torch.finfo(bias.dtype).min)
    return F.scaled_dot_product_attention(x.q, x.k, x.v, attn_mask=bias, scale=scale)


def whole_table(x: Inputs) -> Tensor:
    """Every offset of the table, one product per clip and head, gathered."""
    n_frames = x.q.shape[-2]
    t = torch.arange(n_frames, device=x.q.device)
    column = (MAX_LEN - (t[:, None] - t)).expand(HEADS * BATCH, -1, -1)
    kr, qr = (rows.repeat_interleave(BATCH, 0) for rows in (x.kr, x.qr))
    to_position = (x.q.flatten(0, 1) @ kr.transpose(-1, -2)).gather(-1, column)
    of_position = (x.k.flatten(0, 1) @ qr.transpose(-1, -2)).gather(-1, column.transpose(-1, -2))
    position = to_position + of_position.transpose(-1, -2)
    return attended(x, position.unflatten(0, (HEADS, BATCH)))


FORMS = {
    "gather": lambda x: attended(x, terms(x, by_offset_gathered)),
    "shifted": lambda x: attended(x, terms(x, by_offset_shifted)),
    "fused bias": fused_bias,
    "whole table": whole_table,
}


def compared(n_frames: int, dtype: torch.dtype) -> list[dict]:
    """The lines of one length and type."""
    x = inputs(n_frames, dtype)
    weight = torch.ones_like(x.v)

    def both(form: Callable[[Inputs], Tensor]) -> tuple[Tensor, ...]:
        out = form(x)
        return out.detach(), *torch.autograd.grad(out, x[:-1], weight)

    with Recorder() as recorder:
        reference = both(FORMS["gather"])
    steps = {"bare products": bare(recorder.products, DEVICE)}
    for name, form in FORMS.items():
        steps[name, "forward"] = lambda form=form: form(x)
        steps[name, "both"] = lambda form=form: both(form)
    seconds = {name: min(times) for name, times in in_turn(steps, repeats=4).items()}
    lines = []
    for name, form in FORMS.items():
        pairs = zip(both(form), reference, strict=True)
        off = max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
        if dtype is torch.float32 and not off < TOLERANCE:
            raise AssertionError(f"{name} differs from gather by {off:.1e}")
        line = {
            "": f"{name}, {n_frames} frames, {str(dtype).removeprefix('torch.')}",
            "forward ms": 1000 * seconds[name, "forward"],
            "with backward ms": 1000 * seconds[name, "both"],
            "x gather": seconds["gather", "both"] / seconds[name, "both"],
            "of products' rate": seconds["bare products"] / seconds[name, "both"],
            "differs by": off,
        }
        lines.append(line)
    return lines


def run() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    cases = itertools.product(FRAMES, (torch.float32, torch.bfloat16))
    rows = [row for case in cases for row in compared(*case)]
    best = max(row["of products' rate"] for row in rows)
    Table(
        name="attention",
        title=f"disentangled attention, batch {BATCH}, {HEADS} heads, width {WIDTH}, on {DEVICE}",
        rows=rows,
        limit=f"the products of gather alone, forward and backward; at best {best:.0%} of their "
        "rate is reached: the rest is memory traffic of (H, B, T, T) scores",
        notes=[
            f"float32 forms must agree with gather to {TOLERANCE:g} of the largest value, "
            "gradients too",
            "src/models/attention.py trains with the shifted form and exports the gather",
        ],
    ).publish()
