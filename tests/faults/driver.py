"""A process that has imported everything once, and forks a child for every attempt at a stage.

It reads a JSON line per attempt and answers with one. A child kills itself with SIGKILL at a given
moment: before its n-th change to the file system below the folder ("file"), or at its n-th call of
a function ("call"). Moments that are counted, and not timed, come back with the same seed.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

import pytorch_optimizer  # noqa: F401 - src imports it when it is needed: in no child
import sklearn.model_selection  # noqa: F401
import torch

from tests.faults.stages import STAGES

LONGEST = 500  # seconds of an attempt; a machine may be slow
FOLDER = "FAULTS_FOLDER"  # in the environment of a child and of its kernels
_CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}
_CAPABILITIES = 0x20080522  # linux/capability.h, version 3


class Moment:
    """Counts what a child does, and ends it when it is time."""

    def __init__(self, folder: str, by: str | None, at: int, send: str):
        self.folder, self.by, self.at, self.signal = folder, by, at, getattr(signal, send)
        self.counts = {"file": 0, "call": 0}
        sys.addaudithook(self._audited)
        if by != "file":  # calls only where they matter: counting them takes time
            sys.setprofile(self._called)

    def _audited(self, event: str, arguments: tuple) -> None:
        if event not in _CHANGES or not str(arguments[0]).startswith(self.folder):
            return
        if event == "open" and arguments[1] is not None and set(arguments[1]) <= set("rbtU"):
            return
        self._count("file")

    def _called(self, frame, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self._count("call")

    def _count(self, kind: str) -> None:
        if kind == self.by and self.counts[kind] == self.at:
            os.kill(os.getpid(), self.signal)
        self.counts[kind] += 1


def attempt(  # noqa: PLR0913 - what a line of JSON may say
    answer: int, stage: str, folder: str, source: str, by: str | None = None, at: int = 0,
    send: str = "SIGKILL", largest_file: int | None = None, powerless: bool = False,
) -> None:  # fmt: skip
    """In the child: run the stage, under a limit of bytes a file or without root's rights if asked.
    Before change or call (`by`) number `at` it sends itself a signal; it never returns."""
    error = None
    signal.alarm(LONGEST)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.environ[FOLDER] = folder
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if powerless:  # even root then stays out of what permissions close
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None, use_errno=True).capset(header, none) == 0
    moment = Moment(folder, by, at, send)
    try:
        STAGES[stage](Path(folder), Path(source))
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    sys.setprofile(None)
    os.write(answer, json.dumps({"error": error, **moment.counts}).encode())
    os._exit(0)


def main() -> None:
    """Answer attempts until nobody asks any more."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        asked = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            attempt(writer, **asked)
        os.close(writer)
        _, status = os.waitpid(child, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        said = b"" if stopped else os.read(reader, 1 << 16)
        os.close(reader)
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        killed = by == signal.SIGKILL
        found = {"error": f"signal {by}" if by and not killed else None}
        found |= json.loads(said) if said else {}
        found |= {"pid": child, "stopped": stopped, "killed": killed}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
