"""What `hierarchical` gives up to be submitted: the published size against the one that ships.

    python -m tests.benchmarks sizes

- Both from scratch on the synthetic sample, the same few batches, signers of fold 0 held out, last
  epoch. So few batches are a small part of either training: the table says which learns faster, and
  what that costs, and no more.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch

from src.common.paths import anchored
from src.dataset import store as stores
from src.recipes import hierarchical, landmark_union
from src.runs import About, Run
from src.training.distributed import Processes
from src.training.loop import Settings
from src.training.train import train
from tests.benchmarks import data
from tests.benchmarks.table import Table

FOLD = 0
EPOCHS, STEPS, BATCH = 20, 20, 8


def run() -> None:
    """Train both, print."""
    torch.set_num_threads(1)
    brief = {"epochs": EPOCHS, "steps": STEPS, "batch_size": BATCH, "stop": None}
    recipes = [
        replace(
            recipe, **brief, shipped="student",
            schedule=replace(recipe.schedule, warmup=0.25, cycle=1.0),
        )
        for recipe in (hierarchical.PUBLISHED, hierarchical.SHIPPED)
    ]  # fmt: skip
    source = data.sample()
    store = stores.build(source, anchored("input/stores"), landmark_union())
    names = tuple(recipe.name for recipe in recipes)
    about = About("full", str(source), str(store.folder), 0, (), names, folds=(FOLD,))
    trained = Run.create(anchored("logs/benchmarks/sizes"), about, recipes)
    rows = []
    for recipe in recipes:
        folder = train(trained, recipe.name, FOLD, Settings(tests=1), Processes.start("cpu"))
        history = pd.read_csv(folder / "history.csv")
        network = recipe.model.build(recipe.layout, len(store.signs))
        row = {
            "": recipe.name,
            "width": recipe.model.dim,
            "frames": recipe.max_len,
            "parameters": sum(p.numel() for p in network.parameters()),
            "held-out accuracy": history.student_accuracy.iloc[-1],
            "training clips": history.student_train_accuracy.iloc[-1],
            "minutes": history.seconds.sum() / 60,
        }
        rows.append(row)
    Table(
        name="sizes",
        title=f"hierarchical, {EPOCHS * STEPS} batches of {BATCH} clips of the synthetic sample",
        rows=rows,
        limit="1",
        notes=["one seed, one thread"],
    ).publish()
