"""torchrun as the notebook starts it: several processes on a CPU, one of them killed."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from src.common.errors import InputError
from src.dataset import store as stores
from src.recipes import hand_bert
from src.runs import About, Run
from src.training import torchrun as launch
from src.training.loop import Settings
from src.training.train import train_all
from tests.tiny import RECIPE

SETTINGS = Settings(seed=0, precision="fp32", validations=1)


@pytest.fixture
def make_run(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    store = stores.build(sample, tmp_path / "stores", hand_bert.LAYOUT.sources, workers=1)

    def make(epochs: int) -> Run:
        about = About("sample", str(sample), str(store.folder), 0, (), (RECIPE.name,), (0,))
        return Run.create(tmp_path / "run", about, [replace(RECIPE, epochs=epochs)])

    return make


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_a_training_by_several_processes_ends_with_weights_and_predictions(
    make_run, processes, capfd
):
    run = make_run(epochs=2)
    (folder,) = train_all(run, SETTINGS, "cpu", processes)
    assert run.training_mark(RECIPE.name, 0).is_finished
    assert list(pd.read_csv(folder / "history.csv").epoch) == [1, 2]
    logits = np.stack(run.predictions(RECIPE.name).logits)
    assert len(logits) and np.isfinite(logits).all()
    assert str(folder) in capfd.readouterr().out  # what rank 0 says is passed on
    stamp = (folder / "student.pt").stat().st_mtime_ns
    assert train_all(run, SETTINGS, "cpu", processes) == [folder]  # and is not trained again
    assert (folder / "student.pt").stat().st_mtime_ns == stamp


def ranks(number: int) -> list[psutil.Process]:
    """The workers of that rank among this process's descendants."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.environ().get("RANK") == str(number):
                found.append(process)
        except psutil.Error:
            continue  # it has just ended
    return found


def kill_when_an_epoch_is_kept(checkpoint: Path, number: int) -> None:
    deadline = time.monotonic() + 120
    while not checkpoint.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in ranks(number):
        process.kill()


@pytest.mark.slow
def test_killing_one_rank_ends_the_run_and_the_same_call_goes_on(make_run):
    run = make_run(epochs=40)
    last = run.training_folder(RECIPE.name, 0) / "last.pt"
    killer = threading.Thread(target=kill_when_an_epoch_is_kept, args=(last, 1))
    killer.start()
    with pytest.raises(InputError, match="tiny, fold 0: expected 2 processes to finish"):
        launch.torchrun(run.folder, RECIPE.name, 0, SETTINGS, "cpu", 2)
    killer.join()
    done = torch.load(last, weights_only=True)["epoch"] + 1
    assert 0 < done < 40 and not run.training_mark(RECIPE.name, 0).is_finished
    before = pd.read_csv(last.with_name("history.csv"))
    train_all(run, SETTINGS, "cpu", 2)
    after = pd.read_csv(last.with_name("history.csv"))
    assert list(after.epoch) == list(range(1, 41))
    losses = ["epoch", "rate", "student_loss"]  # accuracies are added at the end
    pd.testing.assert_frame_equal(after[losses].head(done), before[losses].head(done))


def test_a_cpu_trains_with_one_process():
    assert launch.processes_for("cpu") == 1
