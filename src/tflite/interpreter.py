"""The TFLite interpreter, from whichever package the environment has, and a command to run it.

    python -m src.tflite.interpreter model.tflite clips.npz answers.npz

Runs on Python 3.9 with numpy alone: runtime.py also runs it in the competition's environment.
"""

from __future__ import annotations

import sys
import time
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
CALLS = 3  # per clip; the fastest counts, because other programs empty the processor's caches


def runtime() -> str:
    """The interpreter's package and its version."""
    return f"{PACKAGE} {version(PACKAGE)}"


def load(path: str | Path) -> Callable[[np.ndarray], np.ndarray]:
    """Open a file as a single-threaded function that takes a raw clip and returns outputs, (K,).

    A raw clip is all landmarks of every frame, float32, NaN = not detected.

    Raises:
        RuntimeError, ValueError: the runtime cannot read the file, or lacks one of its operations.
    """
    runner = Interpreter(str(path), num_threads=1).get_signature_runner(SIGNATURE)
    return lambda frames: runner(**{INPUT: frames})[OUTPUT].ravel()


def answer(model_path: str, clips_path: str, answers_path: str) -> None:
    """Write a model's answers to the raw clips of one .npz file, in their order, to another.

    The answers are `outputs` (N, K), `milliseconds` (N,) and `runtime`. A clip's time is the best
    of CALLS, in processor time of the one thread, which other work on the machine hardly changes.
    """
    model = load(model_path)
    outputs, milliseconds = [], []
    with np.load(clips_path) as clips:
        model(clips[clips.files[0]])  # allocates memory, so it is not timed
        for name in clips.files:
            frames, seconds = clips[name], []
            for _ in range(CALLS):
                start = time.process_time()
                output = model(frames)
                seconds.append(time.process_time() - start)
            outputs.append(output)
            milliseconds.append(1e3 * min(seconds))
    np.savez(answers_path, outputs=outputs, milliseconds=milliseconds, runtime=runtime())


if __name__ == "__main__":
    answer(*sys.argv[1:])
