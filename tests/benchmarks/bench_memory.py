"""Memory and time of 94,477 clips: the store's build, the clip steps, training on the processor.

    python -m tests.benchmarks memory

- The competition's number of clips, made of short genuine ones under many names. `LONGEST = 1000`
  takes all of them: the lengths are genuine then, and it needs 10 GB of disk and half an hour.
- Each stage is a process of its own; its memory is what it and its children have resident at their
  peak. Pages that processes share are counted in each, and so are the mapped pages of the store.
- Training: member B's published sizes, batch 32, a few steps, after every prepared frame was read
  once, as after an epoch.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from src.dataset import store
from src.dataset.batches import ClipSet, prepare
from src.recipes import landmark_union
from src.recipes.frame_deberta import B
from src.training.distributed import Processes
from src.training.loop import Loop, Settings
from src.training.roles import Trainee
from tests.benchmarks import data
from tests.benchmarks.table import Table, folder
from tests.benchmarks.timing import PeakMemory, processors

CLIPS = 94_477
LONGEST = 16  # frames
STEPS = 5
BARS = {"store": 2, "clip steps": 2, "training": 6}  # GiB


def build(source: Path, stores: Path) -> store.Store:
    """Stage 1."""
    return store.build(source, stores, landmark_union())


def clip_steps(source: Path, stores: Path) -> ClipSet:
    """Stage 2."""
    return prepare(build(source, stores), B.read, B.key)


def train(source: Path, stores: Path) -> None:
    """Stage 3."""
    clips = clip_steps(source, stores)
    for piece in clips.frames.split(1 << 16):
        piece.amax()
    recipe, processes = replace(B, batch_size=32), Processes.start("cpu")
    loop = Loop(recipe, Trainee(recipe, classes=250), Settings(precision="fp32"), processes)
    loop.trainee.train()
    longest_first = sorted(loop._plan(clips, 40), key=lambda batch: -clips.length[batch].max())
    for number, batch in enumerate(loop.batches(clips, longest_first[:STEPS], 40)):
        loop.step(batch, number)


STAGES = {"store": build, "clip steps": clip_steps, "training": train}


def watched(stage: str, source: Path, stores: Path) -> dict:
    """Run one stage in a process of its own; its line of the table."""
    started, busy = time.perf_counter(), processors()
    command = [sys.executable, "-m", "tests.benchmarks.bench_memory", stage, source, stores]
    with PeakMemory(every=0.2) as peak:
        subprocess.run(command, check=True)
    return {
        "": stage,
        "peak GiB": peak.resident / 2**30,
        "bar GiB": BARS[stage],
        "s by the clock": time.perf_counter() - started,
        "s of processors": processors() - busy,
    }


def run() -> None:
    """Measure and print."""
    index = data.short_clips(data.genuine(), LONGEST)
    with tempfile.TemporaryDirectory(dir=folder()) as name:
        copies = math.ceil(CLIPS / len(index))
        many, _ = data.under_many_names(index, Path(name), copies)
        index = pd.read_csv(many / "train.csv")[:CLIPS]
        index.to_csv(many / "train.csv", index=False)
        rows = [watched(stage, many, Path(name) / "stores") for stage in STAGES]
        sizes = {p.name: p.stat().st_size / 2**30 for p in Path(name).rglob("*") if p.is_file()}
    landmarks, prepared = sizes["landmarks.npy"], sizes["frames.f16"]
    Table(
        name="memory",
        title=f"{len(index)} clips of at most {LONGEST} frames: resident memory of every stage, "
        f"{os.cpu_count()} cores",
        rows=rows,
        limit=f"the store is {landmarks:.1f} GiB on disk, the prepared clips {prepared:.2f}; "
        "neither has to be in memory, and the prepared clips' mapped pages are in the figures",
        notes=[
            "bars: preparation below 2 GiB, training on the processor below 6",
            f"training: {STEPS} steps on the longest batches, {torch.get_num_threads()} threads",
            f"load {os.getloadavg()[0]:.1f}: above 1, other processes are in the times",
        ],
    ).publish()


if __name__ == "__main__":  # in the process of a stage
    STAGES[sys.argv[1]](*map(Path, sys.argv[2:]))
