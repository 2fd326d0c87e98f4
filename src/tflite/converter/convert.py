"""TensorFlow module -> the bytes of a `.tflite` file.

- A file has only operations that are built into TFLite; a shipped file has them only in versions
  that the competition's runtime knows, see `check_runtime`.
- `fp16` stores weights in half precision and computes in float32. `int8` stores them in 8 bits, one
  scale per matrix, and multiplies in 8 bits with activations scaled on the fly, row by row.
"""

import logging
import tempfile
from pathlib import Path
from typing import Literal

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from src.common.errors import InputError
from src.tflite.interpreter import SIGNATURE

Precision = Literal["fp32", "fp16", "int8"]
# Each operation of tflite-runtime 2.9.1, which scored the competition, with its newest version.
KNOWN = Path(__file__).parent.with_name("runtime-operations.txt")


def convert(module: tf.Module, precision: Precision) -> bytes:
    """Convert a module whose `__call__` is a tf.function with an input signature.

    Raises:
        InputError: the graph needs an operation that TFLite does not have built in.
    """
    tf.get_logger().setLevel(logging.ERROR)  # progress notes of the converter
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: module.__call__})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        # The default optimisation is 8-bit weights, or float16 ones if that is a supported type.
        if precision != "fp32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "fp16":
            converter.target_spec.supported_types = [tf.float16]
        # One scale per row of a matrix needs runtime 2.17, and changes nothing measurable here.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        try:
            return converter.convert()
        except Exception as error:  # the converter wraps MLIR's diagnostics in types of its own
            # Among pages of graph, find the converter's line about the operation.
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            telling = [x for x in lines if x.startswith(("Custom ops:", "TF Select ops:"))]
            raise InputError(
                "TFLite cannot hold this graph with built-in operations only: "
                f"{(telling or lines or ['no message'])[0][:300]}. "
                "Build the operation from others in src/tflite/converter/ops_*.py."
            ) from error


def check_runtime(content: bytes, instead: str) -> None:
    """Refuse a file with operations that the competition's runtime does not know yet.

    Raises:
        InputError: there are some; the message names them and says what to do `instead`.
    """
    known = dict(line.split() for line in KNOWN.read_text(encoding="utf-8").splitlines())
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    model = schema.Model.GetRootAs(content, 0)
    codes = map(model.OperatorCodes, range(model.OperatorCodesLength()))
    needed = [(names[code.BuiltinCode()], code.Version()) for code in codes]
    newer = [f"{name} version {n}" for name, n in needed if n > int(known.get(name, 0))]
    if newer:
        raise InputError(
            "the file: expected operations that the competition's TFLite 2.9 knows, found newer "
            f"ones: {', '.join(newer)}; {instead}"
        )
