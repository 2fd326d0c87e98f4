"""What a `.tflite` file answers to clips, by the runtime of the environment this runs in.

    python -m src.tflite.answers model.tflite clips.npz answers.npz

- Runs on Python 3.9 with numpy alone, so that the competition's runtime and today's are asked by
  the same code (runtime.py asks, and compares).
- clips.npz: an array (T, 543, 3) float32 per clip. answers.npz: `outputs` (N, K) in their order,
  `milliseconds` (N,), the best of three calls each, and `runtime`. They are of processor time:
  one thread takes as much on an idle machine, and a busy machine does not count.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from src.tflite.interpreter import load, runtime

CALLS = 3  # of each clip; caches are shared with whatever else runs


def answer(model_path: str, clips_path: str, answers_path: str) -> None:
    """Ask, and write the answers; the first call, in which memory is allocated, is not timed."""
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
    np.savez(
        answers_path,
        outputs=np.stack(outputs),
        milliseconds=np.array(milliseconds),
        runtime=np.array(runtime()),
    )


if __name__ == "__main__":
    answer(*sys.argv[1:])
