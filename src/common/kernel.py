"""A Jupyter kernel that runs this very interpreter, whatever other kernels are installed.

    python -m src.common.kernel LOG -f CONNECTION_FILE      what Jupyter starts

Output that bypasses Python, such as TensorFlow's notes on start-up, goes to the log instead of the
notebook.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "asl-signs"  # no other kernel has it; besides, the first folder in JUPYTER_PATH wins


@contextmanager
def installed(log: Path) -> Iterator[str]:
    """Make the kernel known to Jupyter; yields its name."""
    words = [sys.executable, "-m", "src.common.kernel", str(log), "-f", "{connection_file}"]
    spec = {"argv": words, "display_name": NAME, "language": "python"}
    before = os.environ.get("JUPYTER_PATH", "")  # Jupyter ignores an empty one
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels" / NAME / "kernel.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(spec))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield NAME
        finally:
            os.environ["JUPYTER_PATH"] = before


def main() -> None:
    """Start the kernel, with file descriptors 1 and 2 writing to the log."""
    from ipykernel.kernelapp import IPKernelApp  # half a second, needed only here

    log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Otherwise the kernel would show C++ output on these descriptors below the cell.
    IPKernelApp.launch_instance(capture_fd_output=False, log_level="CRITICAL")


if __name__ == "__main__":
    main()
