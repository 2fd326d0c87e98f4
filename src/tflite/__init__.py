"""From trained torch members to one `.tflite` file, and the competition's scorer.

No module outside this folder imports TensorFlow, and `scorer.py` runs without it.
"""

import contextlib
import os

# TensorFlow prints notes at import from C++, where no Python logger reaches them. This variable,
# read once at import, hides notes and warnings; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# On processors with bfloat16 units, TensorFlow's oneDNN kernels multiply float32 in bfloat16. That
# moves a trained hand_bert by 4 %: too much to see whether a converted network is right.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

# torch for GPUs brings triton, which kills the process if TensorFlow was imported before it.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
