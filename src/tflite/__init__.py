"""From trained torch members to one `.tflite` file, and the competition's scorer.

The only room that imports TensorFlow, and it does so file by file: `scorer.py` runs without it.
"""

import contextlib
import os

# TensorFlow prints its start-up notes from C++, past every Python logger; this is its own switch
# and is read once, at import: 2 hides notes and warnings, errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# torch for GPUs brings triton, which ends the process when TensorFlow was there before it.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
