"""What both sides of a translation share: types, constants, shapes.

- A value of a translated program is one of three: a TensorFlow tensor (it depends on the input), a
  torch tensor (it does not, torch has computed it already), or a plain Python value.
- Integers are int32 in the file: frame counts and landmark numbers, TFLite's fastest index type.
- A length that is known only at run time is a scalar int32 tensor on the TensorFlow side.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import torch
from torch.fx import Node

Dim = int | tf.Tensor
Number = int | float  # torch takes either wherever it says float


def is_dynamic(value: Any) -> bool:
    """Whether a value depends on the program's input."""
    return isinstance(value, tf.Tensor)


def tf_type(dtype: torch.dtype) -> tf.DType:
    """The type that stands for torch's in the file: float32, int32 or bool."""
    if dtype.is_floating_point:
        return tf.float32
    return tf.bool if dtype == torch.bool else tf.int32


def as_tf(value: Any, dtype: torch.dtype | None = None) -> tf.Tensor:
    """The TensorFlow tensor of a value, in the type that stands for `dtype` (default: its own)."""
    wanted = None if dtype is None else tf_type(dtype)
    if isinstance(value, tf.Tensor):
        return value if wanted in (None, value.dtype) else tf.cast(value, wanted)
    if isinstance(value, torch.Tensor):
        wanted = wanted or tf_type(value.dtype)
        return tf.constant(_widened(value).contiguous().numpy().astype(wanted.as_numpy_dtype))
    # torch also takes 1 where it says True, and 2.0 where it says 2
    return tf.constant(value) if dtype is None else as_tf(torch.tensor(value, dtype=dtype))


def _widened(value: torch.Tensor) -> torch.Tensor:
    """Numbers that NumPy has (it lacks bfloat16), integers no larger than the file's."""
    if value.is_floating_point():
        return value.float()
    # torch marks "none" by the largest integer: it must stay the largest.
    return value.clamp(tf.int32.min, tf.int32.max) if value.dtype == torch.int64 else value


def dtype_of(node: Node) -> torch.dtype:
    """The type torch gives the (single) result of a node."""
    return node.meta["val"].dtype


def shape_of(value: tf.Tensor | torch.Tensor) -> list[Dim]:
    """The dimensions of a tensor, as numbers wherever they are known before the file runs."""
    known = list(value.shape)
    if None not in known:
        return [int(d) for d in known]
    running = tf.shape(value)
    return [running[i] if d is None else int(d) for i, d in enumerate(known)]


def result_shape(node: Node, asked: Sequence[Dim]) -> list[Dim]:
    """The shape that a node's result was asked for (-1: the rest), as numbers where torch knows."""
    known = node.meta["val"].shape
    return [int(k) if isinstance(k, int) else d for k, d in zip(known, asked, strict=True)]


def reshape(value: Any, shape: Sequence[Dim]) -> tf.Tensor:
    """`tf.reshape` with at most one dimension left open.

    A single length that is known only at run time becomes -1: the shape is then a constant of the
    file, which XNNPACK takes over; a computed shape would end its share of the graph.
    """
    shape = list(shape)
    dynamic = [i for i, d in enumerate(shape) if is_dynamic(d)]
    if len(dynamic) == 1 and not any(isinstance(d, int) and d < 0 for d in shape):
        shape[dynamic[0]] = -1
    return tf.reshape(as_tf(value), shape)
