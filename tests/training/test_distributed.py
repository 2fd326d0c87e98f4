"""Two processes that share each batch against one that has it whole."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from src.common.errors import InputError
from src.evaluation.predict import predict
from src.recipes.frame_deberta import Augment
from src.training import train
from src.training.distributed import Processes, device_named
from tests.tiny import RECIPE
from tests.training.trained import FP32, SCRIPT, history, run_on


def without_chance(recipe):
    """The recipe without what each process draws for itself, in float32."""
    still = {"dropouts": (0.0, 0.0), "mlp_dropout": 0.0, "fusion_dropout": 0.0}
    return replace(
        recipe,
        augment=Augment(None, None, None, None, None, None, None),
        mix=None,
        model=replace(recipe.model, **still),
        distilled=replace(recipe.distilled, **still),
        # OUSM leaves clips out of what a process has, and one process cuts the batch otherwise.
        loss=replace(recipe.loss, drop=0),
    )


def launch(folder: Path, processes: int, *task: object) -> pd.DataFrame:
    """The history of a training of this recipe on these clips, with these settings."""
    torch.save(task, folder / "task.pt")
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", str(folder / "train.py"), str(folder / "task.pt")]
    out = folder / f"of{processes}"
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(out)], check=True, env=environment, capture_output=True)
    return history(out)


@pytest.mark.slow
def test_two_processes_train_as_one(tiny_recipe, tiny_clips, tmp_path):
    recipe = without_chance(tiny_recipe)
    one, two = (launch(tmp_path, n, recipe, tiny_clips, FP32) for n in (1, 2))
    # Sums are taken in another order; float32 over some fifty updates keeps four digits.
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)
    # Not the weights: a bias before a batch norm has no gradient but noise, which Adam blows up.
    model = recipe.distilled.build(recipe.layout, 3)
    logits = []
    for processes in (1, 2):
        model.load_state_dict(torch.load(tmp_path / f"of{processes}" / "soup.pt"))
        logits.append(predict(model, recipe, tiny_clips))
    np.testing.assert_allclose(*logits, rtol=1e-2, atol=2e-3)


@pytest.mark.slow
def test_two_processes_train_in_micro_batches(tiny_recipe, tiny_clips, tmp_path):
    """Statistics go round in each of them, gradients after the last."""
    recipe = replace(tiny_recipe, loss=replace(tiny_recipe.loss, drop=0))
    found = launch(tmp_path, 2, recipe, tiny_clips, replace(FP32, micro_batch=2))
    assert len(found) == recipe.epochs
    assert np.isfinite(found.student_loss).all()


def test_shares_cover_the_batch_evenly():
    processes = [Processes(rank, 3, torch.device("cpu")) for rank in range(3)]
    parts = [list(process.share(np.arange(12))) for process in processes]
    # A batch is sorted by length: in rows, the first process would have the short clips alone.
    assert parts == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    with pytest.raises(InputError, match=r"by 3 processes; .* of 3 that is not above the number"):
        processes[0].share(np.arange(5))


def test_a_cluster_that_says_only_how_many_processes_there_are_is_told_to_use_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match=r"WORLD_SIZE=2: .* found no LOCAL_RANK, MASTER_ADDR"):
        Processes.start("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"DEVICE: expected auto, or .* cpu, found '{name}'"):
        Processes.start(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_named(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


@pytest.mark.parametrize(("name", "fold"), [("tinny", 0), ("tiny", 7), ("tiny", -1)])
def test_a_command_with_a_wrong_name_leaves_no_folder(sample, tmp_path, name, fold):
    run = run_on(sample, [RECIPE], tmp_path)
    before = sorted(run.folder.rglob("*"))
    with pytest.raises(
        InputError, match=r"recipes, .* found 'tinny'|fold (7|-1): .* 0, 1, 2, 3 or"
    ):
        train.main(str(run.folder), name, fold, device="cpu")
    assert sorted(run.folder.rglob("*")) == before
