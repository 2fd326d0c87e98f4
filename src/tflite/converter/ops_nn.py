"""Third part of the table: the layers of a network.

- A linear layer is one FULLY_CONNECTED; torch's channel-first convolutions become TFLite's
  channel-last ones, and the converter cancels the transposes between two of them.
- TFLite has no layer norm or RMS norm: they are built from a few operations that XNNPACK runs.

Letters: **B** batch, **T** frames, **C** channels, **D** width, **H** heads.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch
from torch import Tensor
from torch.fx import Node

from src.common.errors import InputError
from src.tflite.converter.values import Number, as_tf, dtype_of, reshape, shape_of

_ATEN = torch.ops.aten
_MASKED = -1e9  # replaces a masked attention logit; next to any other, its exp() is 0
VANISHES = 6e-8  # smaller numbers are 0 in half precision
ENLARGED = 2.0**13  # factor where epsilon is so small: 1e-12 becomes 7e-5; a power of two is exact

# --- products -----------------------------------------------------------------------------------


def _matmul(node: Node, a: Any, b: Any) -> tf.Tensor:
    if isinstance(b, Tensor) and b.dim() > 2 and len(a.shape) > 1:
        return _by_matrix(as_tf(a), b)
    a, b = as_tf(a), as_tf(b)
    if len(a.shape) == 1:
        return tf.linalg.matvec(b, a, transpose_a=True)
    if len(b.shape) == 1:
        return tf.linalg.matvec(a, b)
    return tf.matmul(a, b)


def _by_matrix(a: tf.Tensor, b: Tensor) -> tf.Tensor:
    """a @ b for a constant b of any rank, one matrix at a time.

    As one operation with an 8-bit constant, the product is wrong in the competition's runtime: one
    such network's probabilities were off by 0.4 there, and by 0.09 in a runtime of today. Where b
    had to be repeated, the product was off by its whole size.
    """
    if b.dim() == 2:
        return tf.matmul(a, as_tf(b))
    axis = len(a.shape) - b.dim()  # the dimension of a that goes with b's first
    if len(b) == 1 and axis >= 0:
        return _by_matrix(a, b[0])
    shared = axis < 0 or a.shape[axis] == 1  # all of b's matrices multiply the same part of a
    before = (slice(None),) * max(axis, 0)
    parts = [a if axis < 0 else a[(*before, 0 if shared else n)] for n in range(len(b))]
    return tf.stack([_by_matrix(x, y) for x, y in zip(parts, b, strict=True)], -b.dim())


def _linear(node: Node, x: Any, weight: Tensor, bias: Tensor | None = None) -> tf.Tensor:
    # FULLY_CONNECTED takes rows: all leading dimensions become one, and come back afterwards.
    x = as_tf(x)
    flat = x if len(x.shape) == 2 else tf.reshape(x, [-1, weight.shape[1]])
    y = tf.matmul(flat, as_tf(weight.t()))
    y = y if bias is None else y + as_tf(bias)
    return y if len(x.shape) == 2 else reshape(y, [*shape_of(x)[:-1], weight.shape[0]])


def _addmm(node: Node, bias: Any, a: Any, b: Any, beta: Number = 1, alpha: Number = 1) -> tf.Tensor:
    return beta * as_tf(bias) + alpha * tf.matmul(as_tf(a), as_tf(b))


# --- convolutions -------------------------------------------------------------------------------


def _conv(
    node: Node,
    x: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> tf.Tensor:
    """Convolve in two dimensions; a sequence is convolved as an image of height 1."""
    if len(x.shape) < weight.dim():  # an image alone, without a batch
        options = stride, padding, dilation, groups
        return _conv(node, as_tf(x)[None], weight, bias, *options)[0]
    dims = range(weight.dim() - 2)
    strides, dilations = ([v[d % len(v)] for d in dims] for v in (stride, dilation))
    pads = [_padding(padding, d, weight.shape[2 + d], dilations[d]) for d in dims]
    image = tf.transpose(as_tf(x), [0, *(2 + d for d in dims), 1])
    if len(dims) == 1:
        image, weight, pads = image[:, None], weight[:, :, None], [(0, 0), *pads]  # (B, 1, T, C)
        strides, dilations = [*strides, *strides], [1, *dilations]  # one row stays at any stride
    # TensorFlow pads with "SAME" or not at all, so torch's zeros are put around the image first.
    if any(p for pair in pads for p in pair):
        image = tf.pad(image, [(0, 0), *pads, (0, 0)])
    y = _convolve(image, weight, strides, dilations, groups)
    y = y if bias is None else y + as_tf(bias)
    if len(dims) == 1:
        return tf.transpose(tf.squeeze(y, [1]), [0, 2, 1])
    return tf.transpose(y, [0, 3, 1, 2])


def _convolve(
    image: tf.Tensor, weight: Tensor, stride: list[int], dilation: list[int], groups: int
) -> tf.Tensor:
    """image (B, H, W, C), weight (C', C / groups, h, w) -> (B, H', W', C')."""
    channels = image.shape[3]
    if groups == channels:  # one filter, or several, for each channel
        # TensorFlow takes only equal strides down and across, and none with a dilated filter.
        if stride[0] != stride[1] or (max(stride) > 1 and max(dilation) > 1):
            whole = _convolve(image, weight, [1, 1], dilation, groups)
            return whole[:, :: stride[0], :: stride[1]]
        kernel = as_tf(weight.view(channels, -1, *weight.shape[2:]).permute(2, 3, 0, 1))
        return tf.nn.depthwise_conv2d(image, kernel, [1, *stride, 1], "VALID", dilations=dilation)
    # One convolution for each group of channels.
    parts = tf.split(image, groups, 3) if groups > 1 else [image]
    kernels = (as_tf(kernel.permute(2, 3, 1, 0)) for kernel in weight.chunk(groups))
    convolved = [
        tf.nn.conv2d(part, kernel, stride, "VALID", dilations=dilation)
        for part, kernel in zip(parts, kernels, strict=True)
    ]
    return tf.concat(convolved, 3) if groups > 1 else convolved[0]


def _padding(padding: Sequence[int] | str, dim: int, size: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after, along one dimension."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = dilation * (size - 1)
        return total // 2, total - total // 2
    zeros = padding[dim % len(padding)]
    return zeros, zeros


# --- normalisation ------------------------------------------------------------------------------


def _layer_norm(
    node: Node,
    x: Any,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: Number = 1e-5,
    *_cudnn: Any,
) -> tf.Tensor:
    x, axes = as_tf(x), list(range(-len(shape), 0))
    y = over_root(x - tf.reduce_mean(x, axes, keepdims=True), axes, eps)
    y = y if weight is None else y * as_tf(weight)
    return y if bias is None else y + as_tf(bias)


def _rms_norm(
    node: Node, x: Any, shape: Sequence[int], weight: Any = None, eps: Number | None = None
) -> tf.Tensor:
    x, axes = as_tf(x), list(range(-len(shape), 0))
    eps = torch.finfo(dtype_of(node)).eps if eps is None else eps
    y = over_root(x, axes, eps)
    return y if weight is None else y * as_tf(weight)


def over_root(x: tf.Tensor, axes: list[int], eps: Number) -> tf.Tensor:
    """x / sqrt(mean(x²) + eps).

    fp16 stores epsilon in half precision, too: below 6e-8 it would become 0, and a row of zeros,
    such as a missing hand's, NaN. So x and the root of a small epsilon get the same large factor.
    """
    if eps < VANISHES:
        x, eps = x * ENLARGED, eps * ENLARGED**2
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axes, keepdims=True) + eps)


def _batch_norm(
    node: Node,
    x: Any,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: Number,
    eps: Number,
) -> tuple[tf.Tensor]:
    """At inference, one multiplication and one addition per channel (dimension 1).

    Only for a norm that `simplify` cannot move into the layer before it.
    """
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = [1, -1] + [1] * (len(x.shape) - 2)
    return (as_tf(x) * as_tf(scale.view(shape)) + as_tf(shift.view(shape)),)


# --- attention ----------------------------------------------------------------------------------


def _attention(  # noqa: PLR0913 - torch's own signature
    node: Node,
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    dropout: Number = 0.0,
    is_causal: bool = False,
    *,
    scale: Number | None = None,
    enable_gqa: bool = False,
) -> tf.Tensor:
    """Scaled dot-product attention, (B, H, T, D) each; mask: True = may be attended to."""
    if enable_gqa:
        raise InputError(
            f"node {node.name}: expected as many keys as queries, found groups of queries "
            "(enable_gqa); repeat the keys instead"
        )
    query, key, value = as_tf(query), as_tf(key), as_tf(value)
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = tf.matmul(query * scale, key, transpose_b=True)
    if is_causal:  # then torch takes no other mask
        mask = tf.range(tf.shape(query)[-2])[:, None] >= tf.range(tf.shape(key)[-2])[None]
    mask = None if mask is None else as_tf(mask)
    if mask is None or mask.dtype != tf.bool:  # a mask of numbers is added to the logits
        weights = tf.nn.softmax(logits if mask is None else logits + mask, -1)
    else:  # torch gives zeros where nothing may be attended to
        weights = tf.where(mask, tf.nn.softmax(tf.where(mask, logits, _MASKED), -1), 0.0)
    return tf.matmul(weights, value)


TABLE: dict[Any, Callable] = {
    **dict.fromkeys((_ATEN.matmul.default, _ATEN.mm.default, _ATEN.bmm.default), _matmul),
    _ATEN.linear.default: _linear,
    _ATEN.addmm.default: _addmm,
    _ATEN.embedding.default: lambda node, table, at, *_training: tf.gather(as_tf(table), as_tf(at)),
    **dict.fromkeys((_ATEN.conv1d.default, _ATEN.conv1d.padding), _conv),
    **dict.fromkeys((_ATEN.conv2d.default, _ATEN.conv2d.padding), _conv),
    _ATEN.layer_norm.default: _layer_norm,
    _ATEN.rms_norm.default: _rms_norm,
    _ATEN._native_batch_norm_legit_no_training.default: _batch_norm,
    _ATEN.softmax.int: lambda node, x, dim, *_half: tf.nn.softmax(as_tf(x), dim),
    _ATEN.log_softmax.int: lambda node, x, dim, *_half: tf.nn.log_softmax(as_tf(x), dim),
    _ATEN.scaled_dot_product_attention.default: _attention,
}
