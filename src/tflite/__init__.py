"""From trained torch members to one `.tflite` file, and the competition's scorer.

The only room that imports TensorFlow; `scorer.py` runs without it.
"""

import contextlib
import os

# TensorFlow prints notes at import from C++, where no Python logger reaches them. This variable,
# read once at import, hides notes and warnings; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# TensorFlow's oneDNN kernels multiply float32 in bfloat16 where the processor has units for it: a
# trained hand_bert moves by 4 % then. Whether a converted network is right could not be seen.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# torch for GPUs brings triton, which ends the process when TensorFlow was there before it.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
