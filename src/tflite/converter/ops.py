"""The one table: what each torch operator is in TensorFlow.

To add an operator: write a function `(node, *its torch arguments) -> tf.Tensor` in the file of its
kind (`ops_elementwise.py`, `ops_shape.py`, `ops_nn.py`), add one line to that file's table, and add
a case to tests/tflite/converter/test_ops.py. The table holds simple operators, and a few composite
ones for which torch's decomposition would be slower (see translate.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from src.tflite.converter import ops_elementwise, ops_nn, ops_shape

TABLE: dict[Any, Callable] = {**ops_elementwise.TABLE, **ops_shape.TABLE, **ops_nn.TABLE}

# Python's operators on lengths that are known only at run time: functions of scalars, without node.
SCALAR_TABLE: dict[Any, Callable] = ops_elementwise.SCALAR_TABLE
