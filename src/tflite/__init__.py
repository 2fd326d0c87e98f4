"""From trained torch members to one `.tflite` file, and the competition's scorer.

The only room that imports TensorFlow; `scorer.py` runs without it.
"""

import contextlib
import os

# TensorFlow prints notes at import from C++, where no Python logger reaches them. This variable,
# read once at import, hides notes and warnings; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# torch for GPUs brings triton, which ends the process when TensorFlow was there before it.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
