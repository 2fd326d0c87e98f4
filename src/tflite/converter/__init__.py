"""From a torch module to TensorFlow Lite: a table of operations, and a second route by ONNX."""

import contextlib
import warnings


@contextlib.contextmanager
def quiet_export():
    """Hide a warning of torch.export about its own tree specs (torch 2.13)."""
    with warnings.catch_warnings():
        about = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
        warnings.filterwarnings("ignore", about, FutureWarning)
        yield
