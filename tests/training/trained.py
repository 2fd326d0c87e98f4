"""What tests of trainings share: how one is started, stopped in the middle, and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from src.common import checkpoint
from src.training.distributed import Processes
from src.training.loop import Loop, Settings

ONE = Processes(0, 1, torch.device("cpu"))
FP32 = Settings(seed=0, precision="fp32", tests=2)

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
        found = weights(other, role)
        for name, value in weights(one, role).items():
            assert torch.equal(value, found[name]), (role, name)
