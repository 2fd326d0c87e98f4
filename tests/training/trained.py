"""What tests of trainings share: clips, how one is started, stopped on the way, and compared."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.common import checkpoint
from src.dataset import store as stores
from src.dataset.batches import ClipSet
from src.landmarks import Layout
from src.recipes import conv_transformer
from src.recipes.base import Recipe
from src.recipes.ingredients import Awp
from src.runs import About, Run
from src.training.distributed import Processes
from src.training.loop import Loop, Settings

ONE = Processes(0, 1, torch.device("cpu"))
# Micro-batches larger than any batch here, so no memory is measured to choose their size.
FP32 = Settings(seed=0, precision="fp32", micro_batch=1_000, tests=2)
# The 1st place's recipe with all its parts, at toy widths.
CONV_TRANSFORMER = replace(
    conv_transformer.FULL,
    model=conv_transformer.Config(dim=16, kernel=5, convs=1, heads=2, late_drop=0.3, late_from=0.5),
    optimiser=replace(conv_transformer.FULL.optimiser, lr=1e-2),
    awp=Awp(delta=0.01, start=0.5),
    epochs=4,
    batch_size=8,
)

# A training as a process of its own: python -c SCRIPT task.pt folder
SCRIPT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from src.training.fit import Task, fit
from src.training.distributed import Processes
recipe, clips, settings = torch.load(sys.argv[1], weights_only=False)
fit(Task(recipe, clips, clips, 3, Path(sys.argv[2])), settings, Processes.start("cpu"))
"""


def clips_of(layout: Layout, length: np.ndarray, seed: int = 0) -> ClipSet:
    """Clips of 3 signs; a sign is where the right hand is, and none lies between two others."""
    rng, label = np.random.default_rng(seed), np.arange(len(length)) % 3
    frames = rng.normal(0.5, 0.1, (length.sum(), len(layout), 3))
    place = np.array([[0, 0, 0], [0.6, 0, 0], [0, 0.6, 0]])[np.repeat(label, length)]
    frames[:, list(layout.rows("right_hand"))] += place[:, None]
    frames[rng.random(len(frames)) < 0.1] = np.nan
    frames = torch.from_numpy(frames.astype(np.float16))
    return ClipSet(frames, np.cumsum(length) - length, length, label, label * 0)


def run_of(recipes: Sequence[Recipe], store: stores.Store, folder: Path) -> Run:
    """A new run of these recipes that holds out the first fold."""
    names = tuple(recipe.name for recipe in recipes)
    about = About("sample", "the sample", str(store.folder), 0, (), names, (0,))
    return Run.create(folder, about, recipes)


def run_on(sample: Path, recipes: Sequence[Recipe], folder: Path) -> Run:
    """Such a run, on a new store of those clips."""
    landmarks = sorted({k for recipe in recipes for k in recipe.layout.sources})
    return run_of(recipes, stores.build(sample, folder, landmarks, workers=1), folder / "run")


class _Stopped(Exception):
    pass


def stopped(epoch: int, train: Callable[[], object], name: str = "") -> None:
    """Train, and stop before that epoch: of the recipe of that name, or of any."""
    whole_epoch = Loop.epoch

    def stopping(self, clips, number):
        if number == epoch and name in ("", self.recipe.name):
            raise _Stopped
        return whole_epoch(self, clips, number)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(_Stopped):
        patched.setattr(Loop, "epoch", stopping)
        train()


def history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


def weights(folder: Path, role: str = "student") -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / f"{role}.pt")


def assert_same_training(one: Path, other: Path) -> None:
    """The same history and weights of the same roles, to the bit."""
    pd.testing.assert_frame_equal(history(one), history(other), check_exact=True)
    roles, others = ({p.stem for p in f.glob("*.pt")} - {"last"} for f in (one, other))
    assert roles == others
    for role in roles:
        torch.testing.assert_close(weights(other, role), weights(one, role), rtol=0, atol=0)
