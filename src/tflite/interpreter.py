"""The TFLite interpreter, from whichever package the environment has, and one call to a file.

Runs on Python 3.9 with numpy alone: this environment, the competition's and Kaggle's differ.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter

    PACKAGE = "ai-edge-litert"
except ImportError:
    try:
        from tflite_runtime.interpreter import Interpreter

        PACKAGE = "tflite-runtime"
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
        PACKAGE = "tensorflow"

SIGNATURE, INPUT, OUTPUT = "serving_default", "inputs", "outputs"


def runtime() -> str:
    """The package of the interpreter and its version."""
    return f"{PACKAGE} {version(PACKAGE)}"


def load(path: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from one raw clip to the file's outputs, (K,), on one thread.

    A raw clip is all landmarks of every frame, float32, NaN = not detected.

    Raises:
        RuntimeError, ValueError: the runtime cannot read the file, or lacks one of its operations.
    """
    runner = Interpreter(str(path), num_threads=1).get_signature_runner(SIGNATURE)
    return lambda frames: runner(**{INPUT: frames})[OUTPUT].ravel()
