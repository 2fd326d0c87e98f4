"""Preparation: the store's build against only reading, and against the loop that it replaces.

    python -m tests.benchmarks store_build

- Reading: x, y, z of every clip with pyarrow, nothing checked, nothing kept: the limit.
- The loop it replaces: pandas.read_parquet of the whole file, the recipe's clip steps in torch, one
  .npy per clip.
- The columns that say which row is which are decoded once per kind of clip. 229 clips are nearly
  all of different kinds, 94,477 are not; so there is a build that has met them ("warm") and one
  that has not ("cold"), and a real one lies between, near the first.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from src.dataset import clip_file, store
from src.dataset import competition as raw
from src.dataset.batches import prepare
from src.landmarks import N_LANDMARKS
from src.recipes import landmark_union
from src.recipes.frame_deberta import B
from tests.benchmarks import data
from tests.benchmarks.table import Table
from tests.benchmarks.timing import in_turn

COORDINATES = ["x", "y", "z"]
COPIES = 8  # names per clip: what a build costs once is to count little
MANY_COPIES = 128  # the same for what it costs to start two workers
# As in a notebook: a worker of this module would first import all that is above.
ONE_BUILD = """
import sys, time, torch
from pathlib import Path
from src.dataset import store
from src.recipes import landmark_union
from tests.benchmarks.timing import processors
torch.set_num_threads(1)
started, busy = time.perf_counter(), processors()
store.build(Path(sys.argv[1]), Path(sys.argv[2]), landmark_union(), workers=int(sys.argv[3]))
print(time.perf_counter() - started, processors() - busy)
"""


def only_read(paths: list[str]) -> None:
    """Read the coordinates."""
    for path in paths:
        pq.ParquetFile(path).read(columns=COORDINATES, use_threads=False)


def replaced(paths: list[str], folder: Path) -> None:
    """The loop that a store replaces, on one recipe."""
    for number, path in enumerate(paths):
        table = pd.read_parquet(path)
        xyz = np.array(table[COORDINATES], np.float32).reshape(-1, N_LANDMARKS, 3)
        clip = B.read(torch.from_numpy(xyz), range(N_LANDMARKS))
        np.save(folder / f"{number}.npy", clip.numpy())


def build(
    source: Path, room: Path, workers: int = 1, cold: bool = False, then_prepare: bool = False
) -> None:
    """Build a store anew, in a folder of its own; deleting it is nobody's wait, so it stays.

    `cold`: as the first of its process. `then_prepare`: run the recipe's clip steps over it, too.
    """
    if cold:
        clip_file._known.clear()
    folder = Path(tempfile.mkdtemp(dir=room))
    made = store.build(source, folder, landmark_union(), workers=workers)
    if then_prepare:
        prepare(made, B.read, B.key)


def of_workers(source: Path) -> list[dict]:
    """Builds with one process and with two: by the clock, and all their processors."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as stores:
        many, n_clips = data.under_many_names(raw.read_index(source), Path(folder), MANY_COPIES)
        rows = []
        for workers in (1, 2):
            command = [sys.executable, "-c", ONE_BUILD, many, stores + f"/{workers}", str(workers)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            clock, busy = map(float, done.stdout.split())
            row = {
                "": f"store, {workers} worker{'s' * (workers > 1)}, {n_clips} clips",
                "ms/clip": 1000 * busy / n_clips,
                "ms/clip by the clock": 1000 * clock / n_clips,
            }
            rows.append(row)
        return rows


def rows_of(contenders: dict[str, Callable[[], None]], n_clips: int, repeats: int) -> list[dict]:
    """The contenders on one core; ratios are medians over the rounds."""
    times = in_turn(contenders, repeats)
    reading, loop = times["only reading x, y, z"], times.get("pandas, clip steps, .npy")

    def ratio(one: list[float], other: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(one, other, strict=True))

    return [
        {
            "": name,
            "ms/clip": 1000 * statistics.median(own) / n_clips,
            "x reading": ratio(own, reading),
            "faster than pandas": ratio(loop, own) if loop else None,
        }
        for name, own in times.items()
    ]


def many_clips(source: Path) -> dict:
    """The same on eight times as many clips: a build's fixed cost is an eighth a clip."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as stores:
        room = Path(stores)
        many, n_clips = data.under_many_names(raw.read_index(source), Path(folder), COPIES)
        paths = raw.read_index(many).path.tolist()
        contenders = {
            "only reading x, y, z": lambda: only_read(paths),
            f"store, warm, {n_clips} clips": lambda: build(many, room),
        }
        rows = rows_of(contenders, n_clips, repeats=7)
        return rows[1]


def run(repeats: int = 9) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    source = data.genuine()
    paths = raw.read_index(source).path.tolist()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        rows = rows_of(
            {
                "only reading x, y, z": lambda: only_read(paths),
                "store, warm": lambda: build(source, room),
                "store, cold": lambda: build(source, room, cold=True),
                "store, warm, then clip steps": lambda: build(source, room, then_prepare=True),
                "pandas, clip steps, .npy": lambda: replaced(paths, room),
            },
            len(paths),
            repeats,
        )
    warm, cold = rows[1], rows[2]
    at_scale = many_clips(source)
    one, two = of_workers(source)
    scaling = one["ms/clip by the clock"] / two["ms/clip by the clock"]
    Table(
        name="store_build",
        title=f"building the store of {len(paths)} genuine clips, one core",
        rows=[*rows, at_scale, one, two],
        limit=f"reading the coordinates; the store takes {warm['x reading']:.2f} of it",
        notes=[
            f"bar: at most 1.6 x reading, later 1.3 x: {warm['x reading']:.2f} warm, "
            f"{cold['x reading']:.2f} cold, {at_scale['x reading']:.2f} on many clips",
            "bar: at least 3 x faster than the loop: "
            f"{warm['faster than pandas']:.1f} warm, {cold['faster than pandas']:.1f} cold",
            f"two workers are {scaling:.2f} x one by the clock on {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.1f}; their start is in it",
            "medians of the rounds, seconds of one processor; a build's fixed cost (index, folds, "
            f"manifest) is shared by {len(paths)} clips here",
        ],
    ).publish()


if __name__ == "__main__":
    run()
