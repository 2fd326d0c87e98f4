"""Start torchrun for one training, print its log, and keep the last lines for an error message.

If one process dies, all end; the same call then continues after the last whole epoch.
"""

import subprocess
import sys
from collections import deque
from pathlib import Path

from src.common.errors import InputError
from src.dataset.folds import Fold
from src.training.loop import Settings

LAST_LINES = 12  # of the processes' log that an error shows


def torchrun(
    folder: Path,
    name: str,
    fold: Fold,
    settings: Settings,
    device: str,
    processes: int,
    retrain: bool,
) -> None:
    """Train one recipe of the run in `folder` on one fold, with several processes on this host.

    The processes get all `settings` except the seed, which they read from the run.

    Raises:
        InputError: a process failed; the message ends with the last lines of its log.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "src.training.train", str(folder), name]
    command += ["--fold", str(fold), "--precision", settings.precision, "--device", device]
    command += ["--micro-batch", str(settings.micro_batch), "--tests", str(settings.tests)]
    command += ["--compile" if settings.compile else "--no-compile"]
    command += ["--retrain" if retrain else "--no-retrain"]
    said, ended = deque(maxlen=LAST_LINES), False
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **pipes) as running:
        for line in running.stdout:
            print(line, end="", flush=True)
            # After the line with the exit code torchrun writes a long report, which would push the
            # process's own error out of the last lines.
            if not ended and line.strip() and "closing signal" not in line:
                said.append(line)
            ended = ended or "failed (exitcode" in line
    if running.returncode:
        raise InputError(
            f"{name}, fold {fold}: expected {processes} processes to finish, one failed "
            f"(exit code {running.returncode}); its checkpoint is kept: find the cause in the end "
            f"of its log, below, and run the same command again.\n{''.join(said)}"
        )
