"""Preparation: the store's build against only reading, and against the loop that it replaces.

    python -m tests.benchmarks store_build

- Reading: x, y, z of every clip with pyarrow, nothing checked, nothing kept: the limit.
- The loop it replaces: pandas.read_parquet of the whole file, the recipe's clip steps in torch, one
  .npy per clip.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from src.dataset import store
from src.dataset.batches import prepare
from src.dataset.competition import read_index
from src.landmarks import N_LANDMARKS
from src.recipes import landmark_union
from src.recipes.frame_deberta import B
from tests.benchmarks import data
from tests.benchmarks.table import Table
from tests.benchmarks.timing import in_turn

COORDINATES = ["x", "y", "z"]
READING, STORE, PANDAS = "only reading x, y, z", "store", "pandas, clip steps, .npy"
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


def build(source: Path, room: Path) -> store.Store:
    """Build a store anew, in a folder of its own; nobody waits until it is deleted."""
    return store.build(source, Path(tempfile.mkdtemp(dir=room)), landmark_union(), workers=1)


def of_one_process(source: Path, room: Path, repeats: int) -> list[dict]:
    """The contenders on one core; ratios are medians over the rounds."""
    many, n_clips = data.under_many_names(read_index(source), room, COPIES)
    paths = read_index(many).path.tolist()
    contenders = {
        READING: lambda: only_read(paths),
        STORE: lambda: build(many, room),
        "store, then clip steps": lambda: prepare(build(many, room), B.read, B.key),
        PANDAS: lambda: replaced(paths, room),
    }
    times = {name: np.array(rounds) for name, rounds in in_turn(contenders, repeats).items()}
    return [
        {
            "": f"{name}, {n_clips} clips",
            "ms/clip": 1000 * float(np.median(own)) / n_clips,
            "x reading": float(np.median(own / times[READING])),
            "faster than pandas": float(np.median(times[PANDAS] / own)),
        }
        for name, own in times.items()
    ]


def of_workers(source: Path, room: Path) -> list[dict]:
    """Builds with one process and with two: by the clock, and all their processors."""
    many, n_clips = data.under_many_names(read_index(source), room, MANY_COPIES)
    rows = []
    for workers in (1, 2):
        command = [sys.executable, "-c", ONE_BUILD, many, room / f"{workers}", str(workers)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        clock, busy = (1000 * float(s) / n_clips for s in done.stdout.splitlines()[-1].split())
        name = f"store, {workers} worker{'s' * (workers > 1)}, {n_clips} clips"
        rows.append({"": name, "ms/clip": busy, "ms/clip by the clock": clock})
    return rows


def run(repeats: int = 5) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    source = data.genuine()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        rows = of_one_process(source, Path(one), repeats)
        workers = of_workers(source, Path(other))
    built = rows[1]
    scaling = workers[0]["ms/clip by the clock"] / workers[1]["ms/clip by the clock"]
    Table(
        name="store_build",
        title="building the store of genuine clips, each under many names",
        rows=[*rows, *workers],
        limit=f"reading the coordinates; the store takes {built['x reading']:.2f} of it",
        notes=[
            f"bar: at most 1.8 x reading: {built['x reading']:.2f}",
            f"bar: at least 3 x faster than the loop: {built['faster than pandas']:.1f}",
            f"two workers are {scaling:.2f} x one by the clock on {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.1f}; their start is in it",
            "medians of the rounds, seconds of one processor",
        ],
    ).publish()
