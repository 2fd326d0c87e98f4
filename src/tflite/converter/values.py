"""What both sides of a translation share: types, constants, shapes.

- A value of a translated program is a TensorFlow tensor if it depends on the input; otherwise it is
  a torch tensor, which torch has already computed, or a plain Python value.
- Integers (frame counts, landmark numbers) are int32 in the file, TFLite's fastest index type.
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
    # torch also takes 1 for True, and 2.0 for 2
    return tf.constant(value) if dtype is None else as_tf(torch.tensor(value, dtype=dtype))


def _widened(value: torch.Tensor) -> torch.Tensor:
    """Cast floats to a type that NumPy has (not bfloat16), and clamp integers to the file's."""
    if value.is_floating_point():
        return value.float()
    # torch marks "none" with the largest integer, which must stay the largest.
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
    """The shape asked of a node's result (-1 = the rest), with numbers where torch knows them."""
    known = node.meta["val"].shape
    return [int(k) if isinstance(k, int) else d for k, d in zip(known, asked, strict=True)]


def reshape(value: Any, shape: Sequence[Dim]) -> tf.Tensor:
    """`tf.reshape` with at most one dimension left open.

    A single length that is known only at run time becomes -1. The shape is then a constant, so
    XNNPACK can run the reshape; a computed shape would end XNNPACK's part of the graph.
    """
    shape = list(shape)
    dynamic = [i for i, d in enumerate(shape) if is_dynamic(d)]
    if len(dynamic) == 1 and not any(isinstance(d, int) and d < 0 for d in shape):
        shape[dynamic[0]] = -1
    return tf.reshape(as_tf(value), shape)
