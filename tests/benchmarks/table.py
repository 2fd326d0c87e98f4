"""One table of a benchmark: printed, and kept with its machine as logs/benchmarks/<name>.json."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from src.common.files import write_json
from src.common.paths import anchored, environment

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """What a benchmark has to say.

    Args:
        name: of its file.
        title: what is measured, on what.
        rows: column -> value; None = not measured.
        limit: the physical limit, and how far off it is.
        notes: bars with what was reached, what is counted, what is not.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, Cell]]
    limit: str
    notes: Sequence[str] = ()

    def publish(self) -> Path:
        """Print the table and save it; returns the file."""
        print(f"\n{self.title}\n{machine()}\n\n{self.text()}\n\nlimit: {self.limit}")
        for note in self.notes:
            print(f"- {note}")
        path = folder() / f"{self.name}.json"
        write_json(path, {**asdict(self), "machine": machine()})
        print(f"kept in {path}", flush=True)
        return path

    def text(self) -> str:
        """The rows, aligned."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        cells = [names, *([_text(row.get(name)) for name in names] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        numeric = [
            all(isinstance(row.get(name), int | float | None) for row in self.rows)
            for name in names
        ]  # fmt: skip
        lines = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for line in cells
        ]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def folder() -> Path:
    """Where benchmarks keep what they find."""
    path = anchored("logs/benchmarks")
    path.mkdir(parents=True, exist_ok=True)
    return path


def machine() -> str:
    """The processor, the threads, and what else was running: the load of the last minute."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    load = os.getloadavg()[0]
    return f"{where or platform.machine()}; {environment()}; {torch.get_num_threads()} threads, load {load:.1f}"  # noqa: E501


def _text(value: Cell) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
