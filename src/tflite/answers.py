"""What a `.tflite` file answers to clips, by the runtime of the environment this runs in.

    python -m src.tflite.answers model.tflite clips.npz answers.npz

- Runs on Python 3.9 with numpy alone: runtime.py starts it in both environments and compares.
- clips.npz: for each clip all landmarks of every frame, float32, NaN = not detected.
- answers.npz: `outputs` (N, K), `milliseconds` (N,) and `runtime`. A clip's time is the best of
  three calls, in processor time of the one thread, which other work on the machine hardly changes.

Letters: **N** clips, **K** signs.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from src.tflite.interpreter import load, runtime

CALLS = 3  # per clip; the fastest counts, because other programs empty the processor's caches


def answer(model_path: str, clips_path: str, answers_path: str) -> None:
    """Write the answers; the first call, in which memory is allocated, is not timed."""
    model = load(model_path)
    outputs, milliseconds = [], []
    with np.load(clips_path) as clips:
        model(clips[clips.files[0]])
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
