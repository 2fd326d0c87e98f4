"""One table of a benchmark: printed, and kept with its machine as logs/benchmarks/<name>.json."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from src.common.files import write_json
from src.common.paths import anchored, environment

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """What a benchmark has to say."""

    name: str  # of its file
    title: str  # what is measured, on what
    rows: Sequence[Mapping[str, Cell]]  # column -> value; None = not measured
    limit: str  # the physical limit, and how far off it is
    notes: Sequence[str] = ()  # bars with what was reached, what is counted, what is not

    def publish(self) -> Path:
        """Print the table and save it; returns the file."""
        cells = pd.DataFrame(self.rows).map(_text)
        table = cells.to_markdown(index=False, disable_numparse=True)
        print(f"\n{self.title}\n{machine()}\n\n{table}\n\nlimit: {self.limit}")
        for note in self.notes:
            print(f"- {note}")
        path = folder() / f"{self.name}.json"
        write_json(path, {**asdict(self), "machine": machine()})
        print(f"kept in {path}", flush=True)
        return path


def folder() -> Path:
    """Where benchmarks keep what they find."""
    path = anchored("logs/benchmarks")
    path.mkdir(parents=True, exist_ok=True)
    return path


def machine() -> str:
    """The processor, the threads, and what else was running: the load of the last minute."""
    gpu = torch.cuda.is_available()
    where = torch.cuda.get_device_name() if gpu else f"{platform.machine()}, no GPU to measure"
    threads, load = torch.get_num_threads(), os.getloadavg()[0]
    return f"{where}; {environment()}; {threads} threads, load {load:.1f}"


def _text(value: Cell) -> str:
    if isinstance(value, str | int):
        return str(value)
    if pd.isna(value):
        return "not measured"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
