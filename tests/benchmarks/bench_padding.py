"""Padding: the share of a batch's frames that are nobody's.

    python -m tests.benchmarks padding

Lengths are those of the genuine clips after a recipe's filter and stride, drawn with replacement to
10,000 clips; batches are those of `plan`, one epoch.
"""

from collections.abc import Sequence

import numpy as np

from src.dataset.batches import plan
from src.recipes.frame_deberta import A, B
from tests.benchmarks import data
from tests.benchmarks.table import Table

CLIPS = 10_000
BATCHES = (32, 128, 256)


def waste(length: np.ndarray, batches: Sequence[np.ndarray], to: int = 0) -> float:
    """The share of padded frames; `to` pads every batch to that length."""
    frames = sum(len(batch) * (to or length[batch].max()) for batch in batches)
    return float(1 - sum(length[batch].sum() for batch in batches) / frames)


def compared(recipe: object, batch_size: int) -> dict:
    """One line of the table."""
    length = data.drawn(recipe, CLIPS).length
    rng = np.random.default_rng(0)
    planned = list(plan(length, batch_size, rng))
    order = rng.permutation(CLIPS)
    shuffled = [order[i : i + batch_size] for i in range(0, CLIPS, batch_size)]
    repeated = plan(length, batch_size, np.random.default_rng(1))
    together = {frozenset(batch.tolist()) for batch in planned}
    return {
        "": recipe.name,
        "batch": batch_size,
        "mean frames": float(length.mean()),
        "median": int(np.median(length)),
        "ours": waste(length, planned),
        "padded to the batch": waste(length, shuffled),
        "padded to max_len": waste(length, shuffled, recipe.max_len),
        "batches that come again": sum(frozenset(b.tolist()) in together for b in repeated),
    }


def run() -> None:
    """Measure and print."""
    rows = [compared(recipe, size) for recipe in (A, B) for size in BATCHES]
    worst = max(row["ours"] for row in rows)
    Table(
        name="padding",
        title=f"share of padded frames, {CLIPS} clips of genuine lengths",
        rows=rows,
        limit=f"no padding at all; the worst of ours wastes {worst:.1%}",
        notes=[
            f"bar: below 10 %: {worst:.1%}",
            "shuffled batches are what sorting replaces; no batch comes again in the next epoch, "
            "so the order stays random",
        ],
    ).publish()
