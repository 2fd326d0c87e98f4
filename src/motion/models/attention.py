"""Attention over time and over joints, with gradients written out for a CPU.

Both have many small problems (a head has 16 channels), for which torch's kernels are slow on a CPU:

- Over time, one head after another is small enough for the processor's cache, is read where the
  projection left it, and what no query may see is not computed: rows of queries go block by block.
- The weights are kept for the gradient, whose sums over keys are those over channels of what came
  out (as in flash attention, Dao et al., arXiv 2205.14135, section 3.1).
- Exponentials are always in float32 at least; torch's softmax is slow in bfloat16.

On other devices it is torch's own.

Letters: **N** sequences or frames, **T** frames, **J** joints, **H** heads, **d** channels of a
head, **D** = H d.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

BLOCK = 32  # queries that share their keys; torch's softmax likes multiples of 16


def over_time(qkv: Float[Tensor, "N T 3 H d"]) -> Float[Tensor, "N T H d"]:
    """Causal scaled dot-product attention of queries, keys and values side by side."""
    if qkv.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return _OverTime.apply(qkv)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, H, T, d)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def over_joints(
    q: Float[Tensor, "J N D"], k: Float[Tensor, "J N D"], v: Float[Tensor, "J N D"], heads: int
) -> Float[Tensor, "J N D"]:
    """Scaled dot-product attention along the joint axis, no mask."""
    if q.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return _OverJoints.apply(q, k, v, heads)
    return _plain_over_joints(q, k, v, heads)


def _plain_over_joints(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """As plain products, which take any number of frames on any device."""
    q, k, v = (
        part.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3).flatten(0, 1) for part in (q, k, v)
    )
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    return _by_joint(weights @ v, heads, q.shape[1])


def _blocks(frames: int) -> Iterator[tuple[slice, slice]]:
    """Queries and the keys they may see, the longest row of keys first."""
    for start in reversed(range(0, frames, BLOCK)):
        stop = min(start + BLOCK, frames)
        yield slice(start, stop), slice(stop)


def _weights(scores: Tensor, hidden: Tensor) -> Tensor:
    """Softmax of scores whose last columns get `hidden` added, in the scores' dtype."""
    wide = _widened(scores)
    wide[..., -hidden.shape[-1] :].add_(hidden)
    return torch.softmax(wide, -1, out=wide).to(scores.dtype)


class _OverTime(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, qkv: Tensor) -> Tensor:
        frames, depth = qkv.shape[1], qkv.shape[4]
        parts = qkv.permute(3, 2, 0, 1, 4).contiguous()  # (H, 3, N, T, d)
        parts[:, 0] *= depth**-0.5
        out = torch.empty_like(parts[:, 0])
        later = torch.full((BLOCK, BLOCK), -torch.inf).triu(1)
        weights = []
        for (q, k, v), o in zip(parts, out, strict=True):
            for rows, seen in _blocks(frames):
                n = rows.stop - rows.start
                weights.append(_weights(q[:, rows] @ k[:, seen].mT, later[:n, :n]))
                o[:, rows] = weights[-1] @ v[:, seen]
        ctx.save_for_backward(parts, out, *weights)
        return out.permute(1, 2, 0, 3).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> Tensor:
        parts, out, *weights = ctx.saved_tensors
        frames, depth = parts.shape[-2:]
        d_out = d_out.permute(2, 0, 1, 3).contiguous()  # (H, N, T, d)
        d_parts = torch.empty_like(parts)
        shift = (d_out * out).sum(-1, keepdim=True)
        kept = iter(weights)
        for h, (q, k, v) in enumerate(parts):
            d_q, d_k, d_v = d_parts[h]
            for rows, seen in _blocks(frames):
                p, d_rows = next(kept), d_out[h][:, rows]
                d_scores = (d_rows @ v[:, seen].mT).sub_(shift[h][:, rows]).mul_(p)
                d_q[:, rows] = d_scores @ k[:, seen]
                more_k, more_v = d_scores.mT @ q[:, rows], p.mT @ d_rows
                if rows.stop == frames:
                    d_k.copy_(more_k)
                    d_v.copy_(more_v)
                else:
                    d_k[:, seen] += more_k
                    d_v[:, seen] += more_v
        d_parts[:, 0] *= depth**-0.5
        return d_parts.permute(2, 3, 1, 0, 4).contiguous()


class _OverJoints(Function):
    """Joints are padded to a multiple of 16, which softmax and products like."""

    @staticmethod
    def forward(ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        joints, depth = len(q), q.shape[-1] // heads
        q, k, v = (_by_frame(part, heads) for part in (q * depth**-0.5, k, v))
        hidden = torch.zeros(q.shape[1])
        hidden[joints:] = -torch.inf
        weights = _weights(q @ k.mT, hidden)
        out = weights @ v
        ctx.save_for_backward(q, k, v, weights, out)
        ctx.shape = heads, joints
        return _by_joint(out, heads, joints)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, d_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, out = ctx.saved_tensors
        d_out = _by_frame(d_out, ctx.shape[0])
        shift = (d_out * out).sum(-1, keepdim=True)
        d_scores = _widened(d_out @ v.mT).sub_(_widened(shift)).mul_(_widened(weights)).to(v.dtype)
        d_q = _by_joint(d_scores @ k, *ctx.shape).mul_(q.shape[-1] ** -0.5)
        d_k = _by_joint(d_scores.mT @ q, *ctx.shape)
        d_v = _by_joint(weights.mT @ d_out, *ctx.shape)
        return d_q, d_k, d_v, None


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _by_frame(x: Tensor, heads: int) -> Tensor:
    """(J, N, D) -> (N H, J and padding, d); the padding is zero."""
    joints, frames, width = x.shape
    out = x.new_empty(frames, heads, joints + -joints % 16, width // heads)
    out[:, :, joints:] = 0
    out[:, :, :joints] = x.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
    return out.flatten(0, 1)


def _by_joint(x: Tensor, heads: int, joints: int) -> Tensor:
    """(N H, J and padding, d) -> (J, N, D)."""
    return x[:, :joints].unflatten(0, (-1, heads)).permute(2, 0, 1, 3).flatten(2)
