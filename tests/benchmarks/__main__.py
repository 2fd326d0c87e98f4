"""Benchmarks: `python -m tests.benchmarks` runs the quick ones, names after it choose.

Each is a process of its own, prints one table and keeps it as logs/benchmarks/<name>.json. Things
are compared within one run, and nothing depends on absolute times.
"""

import os
import subprocess
import sys
import time

QUICK = ("store_build", "padding", "attention", "latency", "training_step")
LONG = ("recipes", "growth", "memory", "motion", "time_to_accuracy", "files")


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all quick ones."""
    unknown = sorted(set(names) - {*QUICK, *LONG})
    if unknown:
        sys.exit(
            f"error: no benchmark {', '.join(unknown)}; quick ones: {', '.join(QUICK)}; "
            f"long ones, only by name: {', '.join(LONG)}"
        )
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}  # TensorFlow's notes on missing GPUs
    for name in names or QUICK:
        started = time.perf_counter()
        command = [sys.executable, "-c", f"from tests.benchmarks.bench_{name} import run; run()"]
        status = subprocess.run(command, env=quiet, check=False).returncode
        if status:
            sys.exit(f"error: the benchmark {name} ended with status {status}")
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
