"""Latency of the file: members A and B of the 6th place, in their published sizes, untrained.

    python -m tests.benchmarks latency

- Genuine raw clips, one thread of the interpreter, as the competition calls it. The time is this
  thread's processor time, which other programs on the machine hardly change.
- The limit is a second file that computes the networks' matrix products at the same shapes, in the
  same runtime, and nothing else (bare_file.py). For each clip both run in turn.
- The last rows are clips of one length, with both hands detected in every frame: the cost grows
  with the clip's frames until a member's stride begins.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from src.dataset.competition import read_index
from src.landmarks import N_LANDMARKS
from src.recipes.base import Recipe
from src.recipes.frame_deberta import A, B
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.interpreter import load, runtime
from src.tflite.members import Member, member_of, prepare
from src.tflite.scorer import load_frames
from tests.benchmarks import bare_file, data
from tests.benchmarks.table import Table, folder

CLASSES = 250
FRAMES = (5, 10, 20, 40, 80, 160, 320)


def untrained(recipe: Recipe) -> Member:
    """A recipe's distilled model with random weights, of its own: a file stores equal ones once."""
    torch.manual_seed(recipe.max_len)
    return member_of(recipe, recipe.distilled.build(recipe.layout, CLASSES).eval())


def bare(members: Sequence[Member], target: Path) -> Callable[[np.ndarray], Callable]:
    """A function from a clip to the call that computes all members' products on it."""
    files = [load(bare_file.write(m, target / f"bare_{m.name}.tflite")) for m in members]

    def call_for(frames: np.ndarray) -> Callable:
        seen = [len(prepare(member, torch.from_numpy(frames))) for member in members]
        inputs = [np.ones((n, bare_file.WIDTH), np.float32) for n in seen]
        return lambda: [file(one) for file, one in zip(files, inputs, strict=True)]

    return call_for


def milliseconds(work: Callable[[], object]) -> float:
    """Milliseconds of this thread's processor."""
    started = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - started)


def measured(
    files: dict[str, Callable], products: Callable, clips: list[np.ndarray], repeats: int
) -> dict[str, np.ndarray]:
    """Milliseconds of each file on each clip, (clips,): the fastest of the repetitions."""
    times = {name: np.empty((repeats, len(clips))) for name in (*files, "bare")}
    for k, (i, frames) in itertools.product(range(repeats), enumerate(clips)):
        calls = {name: partial(file, frames) for name, file in files.items()}
        for name, call in (calls | {"bare": products(frames)}).items():
            times[name][k, i] = milliseconds(call)
    return {name: values.min(0) for name, values in times.items()}


def row(name: str, own: np.ndarray, bare: np.ndarray, size: float) -> dict:
    """One line of the table."""
    return {
        "": name,
        "mean ms": own.mean(),
        "median ms": np.median(own),
        "p95 ms": np.percentile(own, 95),
        "products ms": bare.mean(),
        "x products": own.mean() / bare.mean(),
        "MB": size,
    }


def run(repeats: int = 3) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    source, members = data.genuine(), [untrained(A), untrained(B)]
    files, sizes = {}, {}
    for precision in ("fp16", "int8"):
        path = folder() / f"latency_{precision}.tflite"
        exported = write_tflite(members, path, ExportOptions(precision))
        files[precision], sizes[precision] = load(path), exported.size_mb
    products = bare(members, folder())
    clips = [load_frames(Path(path)) for path in read_index(source).path]
    measured(files, products, clips[:3], 1)  # the runtime allocates
    times = measured(files, products, clips, repeats)
    rows = [
        row(f"{name}, {len(clips)} genuine clips", times[name], times["bare"], sizes[name])
        for name in files
    ]
    for n_frames in FRAMES:
        points = np.random.default_rng(n_frames).random((n_frames, N_LANDMARKS, 3), np.float32)
        one = measured(files, products, [points], 3 * repeats)
        rows.append(row(f"fp16, {n_frames} frames", one["fp16"], one["bare"], sizes["fp16"]))
    mean, least = rows[0]["mean ms"], rows[0]["products ms"]
    Table(
        name="latency",
        title=f"members A and B of frame_deberta in one file, one thread, {runtime()}",
        rows=rows,
        limit=f"the matrix products alone take {least:.1f} ms, the file {mean / least:.2f} x",
        notes=[
            f"bar: mean at most 16 ms, later 10: {mean:.1f}",
            f"bar: at most 1.5 x the bare products: {mean / least:.2f}",
            f"bar: below 40 MB: {sizes['fp16']:.1f} MB",
            "int8 is the option with 8-bit weights; what it costs in accuracy needs trained ones",
        ],
    ).publish()
