"""Runs a command, and measures its time and memory; kills it where asked."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY = 0.5  # seconds between two looks at the processes


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    code: int  # -9 if it was killed
    seconds: float
    memory: float  # GiB, of all its processes at the worst moment; what they share counts once


def measured(
    words: Sequence[str], log: Path, kill_when: Callable[[], bool] | None = None
) -> Measured:
    """Run a command to its end, or kill all its processes once `kill_when` is true."""
    started, most = time.monotonic(), 0
    with log.open("a") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            family = _family(process.pid)
            most = max(most, sum(map(_memory, family)))
            if kill_when and kill_when():
                for member in family:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
                process.wait()
            time.sleep(_EVERY)
    return Measured(process.returncode, time.monotonic() - started, most / 2**30)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    """Proportional set size: a page that n processes share counts 1/n in each."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def disk(*folders: Path) -> float:
    """GiB on disk in all these folders; a file with several names counts once."""
    blocks = {}
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                found = os.lstat(Path(parent) / name)
                blocks[found.st_dev, found.st_ino] = found.st_blocks
    return sum(blocks.values()) * 512 / 2**30  # POSIX counts blocks of 512 bytes
