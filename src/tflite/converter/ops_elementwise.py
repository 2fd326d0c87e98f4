"""First part of the table: arithmetic, comparisons, reductions and new tensors.

- torch's type promotion is followed: operands are cast to the type that torch gave the result, or
  in comparisons to the type that torch promotes them to.
- Only operations built into the competition's TFLite, version 2.9.1, are used.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import torch
from torch.fx import Node

from src.tflite.converter.values import Number, as_tf, dtype_of, shape_of

_ATEN = torch.ops.aten
# Numbers from here on count as infinite: TFLite's own division stops at this number, XNNPACK's at
# infinity, and neither finds any number equal to an infinite constant.
_LARGEST = torch.finfo(torch.float32).max
_EXP_LIMIT = 20.0  # beyond it tanh(softplus(x)) is 1 in float32, and exp(2x) stays finite

# --- one operand --------------------------------------------------------------------------------


def _unary(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable:
    def handler(node: Node, x: Any) -> tf.Tensor:
        return function(as_tf(x, dtype_of(node)))

    return handler


def _sign(x: tf.Tensor) -> tf.Tensor:
    """-1, 0 or 1; TFLite has this built in only since 2.12."""
    return tf.cast(x > 0, x.dtype) - tf.cast(x < 0, x.dtype)


def _abs(x: tf.Tensor) -> tf.Tensor:
    return tf.abs(x) if x.dtype.is_floating else tf.maximum(x, -x)  # integer abs only since 2.12


def _mish(x: tf.Tensor) -> tf.Tensor:
    """x tanh(ln(1 + e^x)) with a single exp: tanh(ln(1+e)) = e(e+2) / (e(e+2) + 2)."""
    e = tf.exp(tf.minimum(x, _EXP_LIMIT))
    m = e * (e + 2.0)
    return x * (m / (m + 2.0))


def _erf(x: tf.Tensor) -> tf.Tensor:
    """The error function to within 1.5e-7; TFLite has none built in.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
    """
    t = 1.0 / (1.0 + 0.3275911 * tf.abs(x))
    polynomial = 1.061405429 * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + coefficient) * t
    return _sign(x) * (1.0 - polynomial * tf.exp(-x * x))


def _gelu(node: Node, x: tf.Tensor, approximate: str = "none") -> tf.Tensor:
    if approximate == "tanh":
        return tf.nn.gelu(x, approximate=True)
    return 0.5 * x * (1.0 + _erf(x * math.sqrt(0.5)))


def _elu(node: Node, x: tf.Tensor, alpha: Number = 1.0, *_scales: Number) -> tf.Tensor:
    return tf.where(x > 0, x, alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0))


def _nan_to_num(
    node: Node, x: tf.Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None
) -> tf.Tensor:
    high = _LARGEST if posinf is None else posinf
    low = -_LARGEST if neginf is None else neginf
    y = tf.where(tf.math.is_nan(x), as_tf(nan or 0, dtype_of(node)), x)
    y = tf.where(x >= _LARGEST, as_tf(high, dtype_of(node)), y)
    return tf.where(x <= -_LARGEST, as_tf(low, dtype_of(node)), y)


def _cast(node: Node, x: Any, *_args: Any, **_kwargs: Any) -> tf.Tensor:
    """A copy, in another type if asked for; TensorFlow needs no copy in the same type."""
    return as_tf(x, dtype_of(node))


# --- two operands -------------------------------------------------------------------------------


def _binary(function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable:
    def handler(node: Node, a: Any, b: Any, alpha: Number = 1) -> tf.Tensor:
        a, b = as_tf(a, dtype_of(node)), as_tf(b, dtype_of(node))
        return function(a, b if alpha == 1 else b * as_tf(alpha, dtype_of(node)))

    return handler


def _divide(node: Node, a: Any, b: Any, rounding_mode: str | None = None) -> tf.Tensor:
    a, b = as_tf(a, dtype_of(node)), as_tf(b, dtype_of(node))
    if rounding_mode == "floor":
        return tf.math.floordiv(a, b)
    if rounding_mode == "trunc":
        return _sign(a) * _sign(b) * (_abs(a) // _abs(b))
    return a / b


def _times(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.logical_and(a, b) if a.dtype == tf.bool else a * b


def _plus(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.logical_or(a, b) if a.dtype == tf.bool else a + b


def _power(node: Node, a: Any, b: Any) -> tf.Tensor:
    if b == 2:
        return tf.square(as_tf(a, dtype_of(node)))
    return tf.pow(as_tf(a, dtype_of(node)), as_tf(b, dtype_of(node)))


def _compare(function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable:
    def handler(node: Node, a: Any, b: Any) -> tf.Tensor:
        common = torch.result_type(*map(_stand_in, node.args))
        return function(as_tf(a, common), as_tf(b, common))

    return handler


def _stand_in(argument: Any) -> Any:
    """What torch's promotion rule should look at: the traced tensor, or the plain number."""
    traced = argument.meta["val"] if isinstance(argument, Node) else argument
    return 0 if isinstance(traced, torch.SymInt) else traced


def _where(node: Node, condition: Any, a: Any, b: Any) -> tf.Tensor:
    return tf.where(as_tf(condition), as_tf(a, dtype_of(node)), as_tf(b, dtype_of(node)))


def _clamp(node: Node, x: Any, low: Any = None, high: Any = None) -> tf.Tensor:
    x = as_tf(x, dtype_of(node))
    x = x if low is None else tf.maximum(x, as_tf(low, dtype_of(node)))
    return x if high is None else tf.minimum(x, as_tf(high, dtype_of(node)))


# --- reductions ---------------------------------------------------------------------------------


def _reduce(function: Callable) -> Callable:
    def handler(node: Node, x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> tf.Tensor:
        return function(as_tf(x, dtype_of(node)), _axes(dim), keepdims=keepdim)

    return handler


def _axes(dim: Any) -> Any:
    """In torch, None or an empty list means "all dimensions"; in TensorFlow, only None does."""
    return None if isinstance(dim, Sequence) and len(dim) == 0 else dim


def _index_of(function: Callable) -> Callable:
    def handler(node: Node, x: Any, dim: int | None = None, keepdim: bool = False) -> tf.Tensor:
        x = as_tf(x)
        flat, axis = (tf.reshape(x, [-1]), 0) if dim is None else (x, dim)
        index = function(flat, axis, output_type=tf.int32)
        if keepdim and dim is None:
            return tf.reshape(index, [1] * len(x.shape))
        return tf.expand_dims(index, axis) if keepdim else index

    return handler


def _reduce_with_index(function: Callable, index_function: Callable) -> Callable:
    def handler(node: Node, x: Any, dim: int, keepdim: bool = False) -> tuple:
        index = _index_of(index_function)(node, x, dim, keepdim)
        return function(as_tf(x), dim, keepdims=keepdim), index

    return handler


def _variance(
    node: Node, x: Any, dim: Any = None, correction: Number | None = None, keepdim: bool = False
) -> tf.Tensor:
    x, axes = as_tf(x), _axes(dim)
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    total = tf.reduce_sum(tf.square(centred), axes, keepdims=keepdim)
    count = tf.size(x) // tf.size(total)  # how many numbers are in each sum
    return total / (tf.cast(count, x.dtype) - (1 if correction is None else correction))


def _vector_norm(
    node: Node, x: Any, order: Number = 2, dim: Any = None, keepdim: bool = False, **_dtype: Any
) -> tf.Tensor:
    x, axes = as_tf(x), _axes(dim)
    if order == 2:
        return tf.sqrt(tf.reduce_sum(tf.square(x), axes, keepdims=keepdim))
    if abs(order) == math.inf:
        furthest = tf.reduce_max if order > 0 else tf.reduce_min
        return furthest(tf.abs(x), axes, keepdims=keepdim)
    if order == 0:  # how many numbers are not 0
        return tf.reduce_sum(tf.cast(x != 0, x.dtype), axes, keepdims=keepdim)
    return tf.reduce_sum(tf.abs(x) ** order, axes, keepdims=keepdim) ** (1.0 / order)


# --- new tensors --------------------------------------------------------------------------------


def _full(node: Node, shape: Sequence, value: Any, **_options: Any) -> tf.Tensor:
    return tf.fill(tf.stack(list(shape)) if shape else [], as_tf(value, dtype_of(node)))


def _arange(node: Node, start: Any, stop: Any, step: Any = 1, **_options: Any) -> tf.Tensor:
    dtype = dtype_of(node)
    return tf.range(as_tf(start, dtype), as_tf(stop, dtype), as_tf(step, dtype))


def _nonzero(node: Node, x: Any) -> tf.Tensor:
    x = as_tf(x)
    return tf.cast(tf.where(x if x.dtype == tf.bool else x != 0), tf.int32)


# --- the table ----------------------------------------------------------------------------------

TABLE: dict[Any, Callable] = {
    _ATEN.neg.default: _unary(tf.negative),
    _ATEN.abs.default: _unary(_abs),
    _ATEN.sign.default: _unary(_sign),
    _ATEN.exp.default: _unary(tf.exp),
    _ATEN.expm1.default: _unary(lambda x: tf.exp(x) - 1.0),
    _ATEN.log.default: _unary(tf.math.log),
    _ATEN.log1p.default: _unary(lambda x: tf.math.log(1.0 + x)),
    _ATEN.sqrt.default: _unary(tf.sqrt),
    _ATEN.rsqrt.default: _unary(tf.math.rsqrt),
    _ATEN.reciprocal.default: _unary(lambda x: 1.0 / x),
    _ATEN.sin.default: _unary(tf.sin),
    _ATEN.cos.default: _unary(tf.cos),
    _ATEN.floor.default: _unary(tf.floor),
    _ATEN.ceil.default: _unary(tf.math.ceil),
    _ATEN.round.default: _unary(tf.round),  # both round half to even
    _ATEN.tanh.default: _unary(tf.tanh),
    _ATEN.sigmoid.default: _unary(tf.sigmoid),
    _ATEN.relu.default: _unary(tf.nn.relu),
    _ATEN.relu6.default: _unary(tf.nn.relu6),
    _ATEN.mish.default: _unary(_mish),
    _ATEN.gelu.default: _gelu,
    _ATEN.erf.default: _unary(_erf),
    _ATEN.elu.default: _elu,
    _ATEN.leaky_relu.default: lambda node, x, slope=0.01: tf.nn.leaky_relu(x, slope),
    **dict.fromkeys((_ATEN.logical_not.default, _ATEN.bitwise_not.default), _unary(tf.logical_not)),
    _ATEN.isnan.default: lambda node, x: tf.math.is_nan(x),
    _ATEN.isinf.default: lambda node, x: tf.abs(x) >= _LARGEST,
    _ATEN.nan_to_num.default: _nan_to_num,
    **dict.fromkeys((_ATEN.clone.default, _ATEN.alias.default, _ATEN._to_copy.default), _cast),
    _ATEN.add.Tensor: _binary(_plus),
    _ATEN.sub.Tensor: _binary(tf.subtract),
    _ATEN.mul.Tensor: _binary(_times),
    **dict.fromkeys((_ATEN.div.Tensor, _ATEN.div.Tensor_mode), _divide),
    **dict.fromkeys((_ATEN.remainder.Tensor, _ATEN.remainder.Scalar), _binary(tf.math.floormod)),
    _ATEN.pow.Tensor_Scalar: _power,
    **dict.fromkeys((_ATEN.pow.Tensor_Tensor, _ATEN.pow.Scalar), _binary(tf.pow)),
    _ATEN.maximum.default: _binary(tf.maximum),
    _ATEN.minimum.default: _binary(tf.minimum),
    **dict.fromkeys((_ATEN.logical_and.default, _ATEN.bitwise_and.Tensor), _binary(tf.logical_and)),
    **dict.fromkeys((_ATEN.logical_or.default, _ATEN.bitwise_or.Tensor), _binary(tf.logical_or)),
    **dict.fromkeys((_ATEN.logical_xor.default, _ATEN.bitwise_xor.Tensor), _binary(tf.not_equal)),
    **dict.fromkeys((_ATEN.eq.Tensor, _ATEN.eq.Scalar), _compare(tf.equal)),
    **dict.fromkeys((_ATEN.ne.Tensor, _ATEN.ne.Scalar), _compare(tf.not_equal)),
    **dict.fromkeys((_ATEN.lt.Tensor, _ATEN.lt.Scalar), _compare(tf.less)),
    **dict.fromkeys((_ATEN.le.Tensor, _ATEN.le.Scalar), _compare(tf.less_equal)),
    **dict.fromkeys((_ATEN.gt.Tensor, _ATEN.gt.Scalar), _compare(tf.greater)),
    **dict.fromkeys((_ATEN.ge.Tensor, _ATEN.ge.Scalar), _compare(tf.greater_equal)),
    _ATEN.where.self: _where,
    **dict.fromkeys((_ATEN.clamp.default, _ATEN.clamp.Tensor), _clamp),
    _ATEN.sum.dim_IntList: _reduce(tf.reduce_sum),
    **dict.fromkeys((_ATEN.mean.default, _ATEN.mean.dim), _reduce(tf.reduce_mean)),
    _ATEN.prod.dim_int: _reduce(tf.reduce_prod),
    _ATEN.amax.default: _reduce(tf.reduce_max),
    _ATEN.amin.default: _reduce(tf.reduce_min),
    _ATEN.max.default: _reduce(tf.reduce_max),
    _ATEN.min.default: _reduce(tf.reduce_min),
    **dict.fromkeys((_ATEN.any.default, _ATEN.any.dim, _ATEN.any.dims), _reduce(tf.reduce_any)),
    **dict.fromkeys((_ATEN.all.dim, _ATEN.all.dims), _reduce(tf.reduce_all)),
    _ATEN.max.dim: _reduce_with_index(tf.reduce_max, tf.argmax),
    _ATEN.min.dim: _reduce_with_index(tf.reduce_min, tf.argmin),
    _ATEN.argmax.default: _index_of(tf.argmax),
    _ATEN.argmin.default: _index_of(tf.argmin),
    _ATEN.cumsum.default: lambda node, x, dim, **_: tf.cumsum(as_tf(x, dtype_of(node)), dim),
    _ATEN.var.correction: _variance,
    _ATEN.linalg_vector_norm.default: _vector_norm,
    _ATEN.full.default: _full,
    _ATEN.full_like.default: lambda node, x, value, **_: _full(node, shape_of(x), value),
    _ATEN.arange.start_step: _arange,
    _ATEN.nonzero.default: _nonzero,
}


# Python's operators on lengths known only at run time, scalar int32 tensors; they take no node.
SCALAR_TABLE: dict[Any, Callable] = {
    **{
        function: function  # TensorFlow overloads these
        for function in (
            *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod),
            *(operator.pow, operator.neg, operator.lt, operator.le, operator.gt, operator.ge),
        )
    },
    operator.truediv: lambda a, b: as_tf(a, torch.float32) / as_tf(b, torch.float32),
    operator.eq: tf.equal,
    operator.and_: tf.logical_and,
    torch.sym_max: tf.maximum,
    torch.sym_min: tf.minimum,
    torch.sym_not: tf.logical_not,
    torch.sym_ite: tf.where,
    torch.sym_float: lambda a: tf.cast(a, tf.float32),
    math.floor: lambda a: tf.cast(tf.floor(a), tf.int32),
    math.ceil: lambda a: tf.cast(tf.math.ceil(a), tf.int32),
}
