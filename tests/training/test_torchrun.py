"""torchrun as the notebook starts it: several processes on a CPU, one of them killed."""

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
from src.training.torchrun import torchrun
from src.training.train_all import train_all
from tests.tiny import RECIPE
from tests.training.trained import FP32, history, run_on


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


REPORT = """\
epoch 1 of 2
error: a batch of 16 clips cannot be shared by 3 processes

W1130 09:33 30208 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 30212 \
closing signal SIGTERM
E1130 09:34 30208 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1)
Traceback (most recent call last):
"""


def test_the_error_says_what_the_process_said_and_not_torchruns_report(tmp_path, monkeypatch):
    torchrun_itself = tmp_path / "python"
    report = REPORT + 40 * "  exitcode  : -15 (pid: 30212)  (SIGTERM)\n"
    torchrun_itself.write_text(f"#!/bin/sh\ncat <<'END'\n{report}END\nexit 1\n")
    torchrun_itself.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(torchrun_itself))
    with pytest.raises(InputError, match=r"(?s)one failed .* cannot be shared by 3") as failed:
        torchrun(tmp_path, "tiny", 0, FP32, "cpu", 3, retrain=False)
    assert str(failed.value).strip().endswith("failed (exitcode: 1)")
    assert "SIGTERM" not in str(failed.value)


@pytest.mark.slow
def test_killing_one_rank_ends_the_run_and_the_same_call_goes_on(
    sample, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = run_on(sample, [replace(RECIPE, epochs=40)], tmp_path)
    folder = run.training_folder(RECIPE.name, 0)
    killer = threading.Thread(target=kill_when_an_epoch_is_kept, args=(folder / "last.pt", 1))
    killer.start()
    with pytest.raises(InputError, match="tiny, fold 0: expected 2 processes to finish"):
        torchrun(run.folder, RECIPE.name, 0, FP32, "cpu", 2, retrain=False)
    killer.join()
    done = torch.load(folder / "last.pt", weights_only=True)["epoch"] + 1
    assert 0 < done < 40 and not run.training_mark(RECIPE.name, 0).is_finished
    before = history(folder)
    assert train_all(run, FP32, "cpu", 2) == [folder]
    after = history(folder)
    assert list(after.epoch) == list(range(1, 41))
    losses = ["epoch", "rate", "student_loss"]  # accuracies are added at the end
    pd.testing.assert_frame_equal(after[losses].head(done), before[losses].head(done))

    assert run.training_mark(RECIPE.name, 0).is_finished
    logits = np.stack(run.predictions(RECIPE.name).logits)
    assert len(logits) and np.isfinite(logits).all()
    assert str(folder) in capfd.readouterr().out  # what rank 0 says is passed on
    stamp = (folder / "student.pt").stat().st_mtime_ns
    assert train_all(run, FP32, "cpu", 2) == [folder]  # and is not trained again
    assert (folder / "student.pt").stat().st_mtime_ns == stamp
