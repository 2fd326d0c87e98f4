"""A training step of every published solution, and what its whole training would take.

    python -m tests.benchmarks recipes

Published sizes, genuine lengths, `Loop.step` with everything in it (see bench_training_step.py);
the published batch on a GPU, 32 clips without one. The last columns scale to the published number
of epochs of the competition's 94,477 clips, nothing but multiplied.
"""

from dataclasses import replace

import torch

from src.recipes import conv_transformer, frame_deberta, hand_bert, hierarchical, llama
from src.recipes.base import Recipe
from src.training.loop import Settings
from tests.benchmarks import data
from tests.benchmarks.bench_training_step import ours
from tests.benchmarks.table import Table
from tests.benchmarks.timing import DEVICE, PeakMemory, in_turn

COMPETITION = 94_477  # clips
RECIPES = (
    frame_deberta.A,
    frame_deberta.B,
    hand_bert.BERT,
    llama.SINGLE,
    hierarchical.SOLUTION.full[0],
    conv_transformer.FULL,
)


def row(recipe: Recipe) -> dict:
    """One line of the table."""
    batch, precision = (recipe.batch_size, "bf16") if DEVICE == "cuda" else (32, "fp32")
    per_epoch = recipe.steps * recipe.batch_size or COMPETITION
    recipe = replace(recipe, batch_size=batch)
    clips = data.drawn(recipe, 20 * batch, DEVICE)
    with PeakMemory() as memory:
        contender = ours(recipe, clips, Settings(precision=precision))
    step, *inside = (min(times) for times in in_turn(contender.parts, 1, warm_up=0).values())
    return {
        "": f"{recipe.name}, {precision}, batch {batch}",
        **contender.columns(step, *inside),
        **memory.columns,
        "epochs": recipe.epochs,
        "hours in all": recipe.epochs * per_epoch / (contender.clips / step) / 3600,
    }


def run() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    rows = [row(recipe) for recipe in RECIPES]
    share, furthest = min((row["of products' rate"], row[""]) for row in rows)
    Table(
        name="recipes",
        title=f"one training step of each solution at its published size, on {DEVICE}",
        rows=rows,
        limit=f"the matrix products alone; furthest off is {furthest}: {share:.0%} of their rate",
        notes=[
            "bar on one H200-class GPU: frame_deberta B, 100 epochs, in 0.1 hours",
            "bar there: conv_transformer with AWP, 200 epochs, 6 x faster than 3.5 hours",
            "a later stage of a solution, and its frozen teacher, are not in its line",
        ],
    ).publish()
