"""Times and memory of things that are compared: taken in turn, so that all see the same machine."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import threading
import time
from collections.abc import Callable, Mapping

import psutil
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def in_turn(
    steps: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Run every step once, then all once more, ...; returns the seconds of each counted round.

    Without a GPU they are seconds of this process's processors, divided by torch's threads: what
    else the machine does counts little. With a GPU they are seconds of the clock.
    """
    seconds = {name: [] for name in steps}
    for round_ in range(warm_up + repeats):
        for name, step in steps.items():
            started = now()
            step()
            if round_ >= warm_up:
                seconds[name].append(now() - started)
    return seconds


def now() -> float:
    """The time to take differences of, see `in_turn`; a GPU has finished before it is taken."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


class PeakMemory:
    """How far memory rises while the block runs, at its peak, in bytes.

    `resident` is that of this process and its children, `device` that of the GPU's allocator, None
    without one.
    """

    def __init__(self, every: float = 0.02):
        self.process, self.every = psutil.Process(), every
        self.resident, self.device = 0, None
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):  # only glibc keeps what was freed
            ctypes.CDLL(None).malloc_trim(0)
        self._before = resident(self.process)
        if torch.cuda.is_available():
            self._device_before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if torch.cuda.is_available():
            self.device = torch.cuda.max_memory_allocated() - self._device_before

    @property
    def columns(self) -> dict[str, float | None]:
        """For a table."""
        gpu = None if self.device is None else self.device / 2**20
        return {"peak MiB": self.resident / 2**20, "peak GPU MiB": gpu}

    def _watch(self) -> None:
        while True:
            self.resident = max(self.resident, resident(self.process) - self._before)
            if self._stop.wait(self.every):
                return


def resident(process: psutil.Process) -> int:
    """Bytes that a process and its children hold; pages that they share are counted in each."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def processors() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
