"""The one table: what each torch operator is in TensorFlow.

To add an operator: write a function `(node, *its torch arguments) -> tf.Tensor` in the file of its
kind (`ops_elementwise.py`, `ops_shape.py`, `ops_nn.py`), add one line to that file's table, and one
case to tests/tflite/test_ops.py. An operator that is in none of them is decomposed by torch first
(see translate.py), so the table holds the simple ones, and those worth taking as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from src.tflite.converter import ops_elementwise, ops_nn, ops_shape

TABLE: dict[Any, Callable] = {**ops_elementwise.TABLE, **ops_shape.TABLE, **ops_nn.TABLE}

# Python operators on lengths that are known only at run time (no node, scalars only).
SCALAR_TABLE: dict[Any, Callable] = ops_elementwise.SCALAR_TABLE
