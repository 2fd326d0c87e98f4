"""Cost against size: time of an epoch and memory against clips, frames, signs and width.

    python -m tests.benchmarks growth

- Member B of the 6th place with its three models at half the distilled widths; one size grows at a
  time. Clips are random points of genuine lengths, but where the length is what grows.
- Every point is a process of its own, whose memory is its peak; one plot per size is kept as
  logs/benchmarks/growth_<size>.png.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure

from src.dataset.batches import ClipSet
from src.recipes.base import Recipe
from src.recipes.frame_deberta import B
from src.training.distributed import Processes
from src.training.loop import Loop, Settings
from src.training.roles import Trainee
from tests.benchmarks import data
from tests.benchmarks.table import Table, folder
from tests.benchmarks.timing import DEVICE, now

WIDTHS, DIM = (256, 288, 288, 256), 96  # half of the distilled models'


@dataclass(frozen=True)
class Point:
    """One training."""

    clips: int = 256  # of an epoch
    frames: int = 0  # of every clip; 0 = genuine lengths
    signs: int = 250
    width: float = 1.0  # how many times as wide as `WIDTHS`

    @property
    def recipe(self) -> Recipe:
        """Member B at this width."""
        heads = B.model.heads
        widths = tuple(int(w * self.width) // heads * heads for w in WIDTHS)
        model = replace(B.model, widths=widths, dim=int(DIM * self.width))
        return replace(B, model=model, distilled=model, batch_size=32)


SIZES: dict[str, Sequence[float]] = {
    "clips": (256, 512, 1024, 2048),
    "frames": (10, 20, 40, 80),
    "signs": (250, 500, 1000, 2000),
    "width": (1.0, 1.5, 2.0, 3.0),
}


def random_clips(point: Point) -> ClipSet:
    """Clips of random points, a tenth of them missing."""
    rng = np.random.default_rng(0)
    if point.frames:
        length = np.full(point.clips, point.frames, np.int64)
    else:
        length = data.drawn(B, point.clips).length
    n_frames, n_points = int(length.sum()), len(B.layout)
    frames = torch.from_numpy(rng.standard_normal((n_frames, n_points, 3), np.float32)).half()
    missing = torch.from_numpy(rng.random((n_frames, n_points)) < 0.1)
    frames[missing] = torch.nan
    label = rng.integers(0, point.signs, point.clips)
    return ClipSet(frames, np.cumsum(length) - length, length, label, label * 0)


def train(point: Point) -> dict[str, float | None]:
    """One epoch; its seconds and the peak memory of this process."""
    torch.set_num_threads(1)
    clips = random_clips(point)
    clips = replace(clips, frames=clips.frames.to(DEVICE))
    trainee = Trainee(point.recipe, point.signs).to(DEVICE)
    loop = Loop(point.recipe, trainee, Settings(precision="fp32"), Processes.start(DEVICE))
    loop.epoch(clips.subset(np.arange(32)), 40)  # the optimiser makes its state
    started = now()
    loop.epoch(clips, 40)
    seconds = now() - started
    on_gpu = torch.cuda.max_memory_allocated() / 2**20 if DEVICE == "cuda" else None
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {"s/epoch": seconds, "resident MiB": resident, "GPU MiB": on_gpu}


@cache
def measured(point: Point) -> dict[str, float | None]:
    """`train` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_growth", json.dumps(asdict(point))]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def figure(size: str, rows: Sequence[dict]) -> Figure:
    """Time and memory against one size."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    memory = "GPU MiB" if rows[0]["GPU MiB"] else "resident MiB"
    for axes, value in zip(figure.subplots(1, 2), ("s/epoch", memory), strict=True):
        axes.plot([row[size] for row in rows], [row[value] for row in rows], marker="o")
        axes.set(xlabel=size, ylabel=value, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.suptitle(f"training against {size}")
    return figure


def run() -> None:
    """Measure, print, plot."""
    table, notes = [], []
    for size, values in SIZES.items():
        points = [replace(Point(), **{size: value}) for value in values]
        rows = [{"": f"against {size}", **asdict(p), **measured(p)} for p in points]
        figure(size, rows).savefig(folder() / f"growth_{size}.png", dpi=120)
        # p of seconds ~ size^p, from the two largest sizes
        (a, b), (s, t) = ([row[key] for row in rows[-2:]] for key in (size, "s/epoch"))
        power = np.log(t / s) / np.log(b / a)
        notes.append(f"{size}: time grows as its power {power:.2f} at the end")
        table += rows
    Table(
        name="growth",
        title="an epoch of member B's three models at half the distilled widths, batch 32",
        rows=table,
        limit="the products: they grow in proportion to clips, a little faster than frames, "
        "towards the square of the width, hardly with signs; training_step says how far off we are",
        notes=[*notes, "frames 0 = genuine lengths; plots are beside the table's file"],
    ).publish()


if __name__ == "__main__":  # in the process of a point
    print(json.dumps(train(Point(**json.loads(sys.argv[1])))))
