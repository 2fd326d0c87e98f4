"""Second part of the table: shape, selection, joining.

- A length known only at run time stays the one open dimension of a reshape (values.reshape).
- torch counts from the end with negative indices; tf.gather does not, so they are wrapped first.

Letters: **T** frames, known only at run time.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch
from torch.fx import Node

from src.common.errors import InputError
from src.tflite.converter.simplify import gather_rows
from src.tflite.converter.values import as_tf, dtype_of, is_dynamic, reshape, result_shape, shape_of

_ATEN = torch.ops.aten

# --- shape --------------------------------------------------------------------------------------


def _permute(node: Node, x: Any, order: Sequence[int]) -> tf.Tensor:
    return tf.transpose(as_tf(x), [d % len(x.shape) for d in order])


def _squeeze(node: Node, x: Any, dims: Sequence[int]) -> tf.Tensor:
    """Drop the dimensions that torch knows to be 1: a length that happens to be 1 stays."""
    traced = node.args[0].meta["val"].shape
    ones = [d % len(traced) for d in dims if isinstance(traced[d], int) and traced[d] == 1]
    return tf.squeeze(as_tf(x), ones) if ones else as_tf(x)


def _expand(node: Node, x: Any, shape: Sequence[Any], **_implicit: Any) -> tf.Tensor:
    shape = result_shape(node, shape)
    own = [1] * (len(shape) - len(x.shape)) + shape_of(x)  # missing dimensions come first
    wanted = [o if isinstance(s, int) and s == -1 else s for o, s in zip(own, shape, strict=True)]
    if all(isinstance(d, int) for d in (*own, *wanted)) and own == wanted:
        return reshape(x, wanted)  # nothing to repeat
    return tf.broadcast_to(as_tf(x), wanted)


def _repeat(node: Node, x: Any, times: Sequence[Any]) -> tf.Tensor:
    x = as_tf(x)
    for _ in range(len(times) - len(x.shape)):
        x = tf.expand_dims(x, 0)
    for dim, n in enumerate(times):
        if is_dynamic(n):
            x = tf.tile(x, [n if d == dim else 1 for d in range(len(x.shape))])
        elif n > 1:  # not tf.tile: the converter drops it on an open dimension
            x = tf.concat([x] * n, dim)
    return x


# --- parts of a tensor --------------------------------------------------------------------------


def _select(node: Node, x: Any, dim: int, index: Any) -> tf.Tensor:
    return as_tf(x)[(slice(None),) * (dim % len(x.shape)) + (index,)]


def _slice(
    node: Node, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> tf.Tensor:
    end = None if isinstance(end, int) and end >= sys.maxsize else end
    return _select(node, x, dim, slice(start, end, step))


def _index_select(node: Node, x: Any, dim: int, index: Any) -> tf.Tensor:
    x = as_tf(x)
    return tf.gather(x, _wrapped(index, x, dim), axis=dim)


def _index(node: Node, x: Any, indices: Sequence[Any]) -> tf.Tensor:
    """x[..., i, j, ...] for one index tensor, a boolean mask, or several neighbouring indices."""
    x = as_tf(x)
    at = [d for d, index in enumerate(indices) if index is not None]
    chosen = [indices[d] for d in at]
    if len(chosen) == 1 and as_tf(chosen[0]).dtype == tf.bool:
        return _masked(x, as_tf(chosen[0]), at[0])
    if at != list(range(at[0], at[0] + len(at))):
        raise InputError(
            f"node {node.name}: expected index tensors on neighbouring dimensions, found them on "
            f"{at}; index one dimension after the other"
        )
    # tf.gather takes one index, so several become one over their dimensions flattened together.
    shape = shape_of(x)
    flat = _wrapped(chosen[0], x, at[0])
    for index, d in zip(chosen[1:], at[1:], strict=True):
        flat = flat * shape[d] + _wrapped(index, x, d)
    if len(at) > 1:
        x = reshape(x, [*shape[: at[0]], -1, *shape[at[-1] + 1 :]])
    return tf.gather(x, flat, axis=at[0])


def _masked(x: tf.Tensor, mask: tf.Tensor, dim: int) -> tf.Tensor:
    """x[mask] for a mask over one dimension or over several from `dim` on."""
    rank = len(mask.shape)
    if rank > 1:
        shape = shape_of(x)
        x, mask = reshape(x, [*shape[:dim], -1, *shape[dim + rank :]]), tf.reshape(mask, [-1])
    return tf.gather(x, tf.cast(tf.where(mask)[:, 0], tf.int32), axis=dim)


def _wrapped(index: Any, x: tf.Tensor, dim: int) -> tf.Tensor:
    """Non-negative indices: those that count from the end are counted from the beginning."""
    if isinstance(index, torch.Tensor) and (index >= 0).all():
        return as_tf(index)
    index = as_tf(index)
    return tf.where(index < 0, index + shape_of(x)[dim], index)


def _gather(node: Node, x: Any, dim: int, index: Any, **_sparse: Any) -> tf.Tensor:
    x, index = as_tf(x), as_tf(index)
    rank = len(x.shape)
    dim = dim % rank
    for d in range(rank):  # torch reads only as much of the other dimensions as the index covers
        if d != dim and index.shape[d] != x.shape[d]:
            x = _slice(node, x, d, 0, shape_of(index)[d])
    if dim == rank - 1:
        return tf.gather(x, index, axis=dim, batch_dims=dim)
    # tf.gather needs the dimensions that x and the index share in front: move `dim` to the end.
    order = [d for d in range(rank) if d != dim] + [dim]
    x, index = tf.transpose(x, order), tf.transpose(index, order)
    picked = tf.gather(x, index, axis=-1, batch_dims=rank - 1)
    return tf.transpose(picked, [order.index(d) for d in range(rank)])


def _gather_rows(node: Node, x: Any, index: Any) -> tf.Tensor:
    """x (*heads, T, C), index (T, K): one gather of rows that hold all heads of a (T, C) pair.

    TFLite gathers slice by slice: here T K slices of all heads, instead of heads T K numbers.
    """
    x, index = as_tf(x), as_tf(index)
    *heads, _, columns = shape_of(x)
    # A row for each of the T C pairs: the numbers of all heads, next to each other in memory.
    last = len(x.shape) - 2
    rows = tf.transpose(x, [last, last + 1, *range(last)])
    rows = tf.reshape(rows, [-1, math.prod(heads)])
    # Pair (t, index[t, k]) is row t C + index[t, k].
    flat = index + tf.range(tf.shape(index)[0])[:, None] * columns
    picked = tf.transpose(tf.gather(rows, flat), [2, 0, 1])  # (heads, T, K)
    # T and K are open: a reshape would have to compute its shape, adding dimensions of 1 does not.
    if picked.shape[0] == heads[0]:
        for d in range(1, last):
            picked = tf.expand_dims(picked, d)
        return picked
    return tf.reshape(picked, [*heads, *shape_of(index)])


def _unfold(node: Node, x: Any, dim: int, size: int, step: int) -> tf.Tensor:
    """All windows of `size` along `dim`, with the window as a new last dimension."""
    length = shape_of(x)[dim]
    shifts = [_slice(node, x, dim, i, length - size + i + 1, step) for i in range(size)]
    return tf.stack(shifts, -1)


# --- writing into a tensor (in-place code, as torch.export rewrites it) -------------------------


def _slice_scatter(
    node: Node, x: Any, part: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> tf.Tensor:
    if step != 1:
        raise InputError(
            f"node {node.name}: expected to write into neighbouring elements, found every "
            f"{step}th; use torch.where"
        )
    before = None if start in (None, 0) else _slice(node, x, dim, None, start)
    whole = end is None or (isinstance(end, int) and end >= sys.maxsize)
    after = None if whole else _slice(node, x, dim, end)
    parts = [as_tf(p, dtype_of(node)) for p in (before, part, after) if p is not None]
    return tf.concat(parts, dim)


def _index_put(
    node: Node, x: Any, indices: Sequence[Any], value: Any, accumulate: bool = False
) -> tf.Tensor:
    """x[mask] = number, the only form of assignment that keeps the shape."""
    mask = as_tf(indices[0])
    if mask.dtype != tf.bool or len(indices) > 1 or len(value.shape) > 0 or accumulate:
        raise InputError(
            f"node {node.name}: expected to write one number where a mask is True, found another "
            "form of assignment; use torch.where"
        )
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = tf.expand_dims(mask, -1)
    return tf.where(mask, as_tf(value, dtype_of(node)), as_tf(x))


# --- joining ------------------------------------------------------------------------------------


def _joined(function: Callable) -> Callable:
    def handler(node: Node, tensors: Sequence[Any], dim: int = 0) -> tf.Tensor:
        return function([as_tf(x, dtype_of(node)) for x in tensors], dim)

    return handler


def _pad(node: Node, x: Any, padding: Sequence[Any], value: Any = 0.0) -> tf.Tensor:
    """torch lists (before, after) from the last dimension backwards; negative numbers crop."""
    pairs = [(padding[i], padding[i + 1]) for i in range(0, len(padding), 2)][::-1]
    pairs = [(0, 0)] * (len(x.shape) - len(pairs)) + pairs
    x = as_tf(x)
    # Crop where a number is negative ...
    for dim, pair in enumerate(pairs):
        for side, amount in enumerate(pair):
            if isinstance(amount, int) and amount < 0:
                x = _slice(node, x, dim, -amount if side == 0 else None, amount if side else None)
    # ... and pad by the other numbers, unless they are all 0.
    kept = [tuple(0 if isinstance(p, int) and p < 0 else p for p in pair) for pair in pairs]
    if all(not is_dynamic(p) and p == 0 for pair in kept for p in pair):
        return x
    if x.dtype == tf.bool:  # which TFLite pads only since 2.20
        return tf.pad(tf.cast(x, tf.int32), kept, constant_values=int(value or 0)) > 0
    return tf.pad(x, kept, constant_values=as_tf(value or 0, dtype_of(node)))


TABLE: dict[Any, Callable] = {
    _ATEN.sym_size.int: lambda node, x, dim: tf.shape(x)[dim],
    _ATEN.view.default: lambda node, x, shape: reshape(x, result_shape(node, shape)),
    _ATEN.permute.default: _permute,
    _ATEN.unsqueeze.default: lambda node, x, dim: tf.expand_dims(as_tf(x), dim),
    _ATEN.squeeze.dims: _squeeze,
    _ATEN.expand.default: _expand,
    _ATEN.copy.default: lambda node, into, x, *_blocking: tf.broadcast_to(
        as_tf(x, dtype_of(node)), shape_of(into)
    ),
    _ATEN.repeat.default: _repeat,
    _ATEN.slice.Tensor: _slice,
    _ATEN.select.int: _select,
    _ATEN.split_with_sizes.default: lambda node, x, sizes, dim=0: tf.split(as_tf(x), sizes, dim),
    _ATEN.unbind.int: lambda node, x, dim=0: tf.unstack(as_tf(x), axis=dim),
    _ATEN.index_select.default: _index_select,
    _ATEN.index.Tensor: _index,
    _ATEN.gather.default: _gather,
    gather_rows: _gather_rows,
    _ATEN.unfold.default: _unfold,
    _ATEN.flip.default: lambda _, x, dims: tf.reverse(as_tf(x), [d % len(x.shape) for d in dims]),
    _ATEN.slice_scatter.default: _slice_scatter,
    _ATEN.index_put.default: _index_put,
    _ATEN.cat.default: _joined(tf.concat),
    _ATEN.stack.default: _joined(tf.stack),
    _ATEN.constant_pad_nd.default: _pad,
}
