"""Train one recipe of a run on one fold: the command, and what notebook 02 calls.

    python -m src.train logs/sample frame_deberta_b --fold 0
    torchrun --standalone --nproc-per-node 8 -m src.train logs/full frame_deberta_b --fold 0

Every (recipe, fold) is a command of its own, so a sweep is a list of commands for any launcher. A
finished one is not trained again, a stopped one goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

from src import checkpoint, evaluation, launch, models, teachers
from src.dataset.batches import ClipSet, prepare
from src.errors import InputError
from src.files import locked, write_atomically
from src.paths import anchored
from src.runs import EVERYTHING, Run
from src.training.distributed import Processes
from src.training.fit import Task, fit
from src.training.loop import Precision, Settings
from src.training.roles import Trainee


def train(run: Run, name: str, fold: int, settings: Settings, processes: Processes) -> Path:
    """Train one recipe on all folds but one, and predict that one.

    Args:
        run: the run.
        name: of the recipe.
        fold: the fold that is held out; `EVERYTHING` holds out none.
        settings: seed, precision, ...
        processes: this process among all.

    Returns:
        The folder of the trained member: weights per role, history.csv, predictions.parquet.

    Raises:
        InputError: the recipe learns from, or starts from, a training that is not there.
    """
    folder, recipe = run.member(name, fold), run.recipe(name)
    if run.is_trained(name, fold):
        return folder
    if processes.writes:
        run.forget(name, fold)
    processes.wait()
    clips = prepare(run.store, recipe.read, recipe.key, processes.device)
    held_out = (run.clips.fold == fold).to_numpy() & (fold != EVERYTHING)
    train_index, valid_set = np.flatnonzero(~held_out), clips.subset(np.flatnonzero(held_out))
    task = Task(
        recipe=recipe,
        train=clips.subset(train_index),
        valid=valid_set,
        classes=len(run.store.signs),
        folder=folder,
        guide=teachers.find(run, recipe, fold, train_index, processes.device),
        start=teachers.weights_to_start_from(run, recipe, fold),
    )
    trainee = fit(task, settings, processes)
    if processes.writes:
        _write_predictions(run, trainee, valid_set, held_out, folder)
        run.mark_trained(name, fold)
        _clear(folder)
    processes.wait()
    return folder


def train_all(run: Run, settings: Settings, device: str, processes: int = 0) -> list[Path]:
    """Train every recipe of a run on every fold of it, one after the other.

    Args:
        run: the run.
        settings: seed, precision, ...
        device: cpu, cuda, or auto.
        processes: of each training, by torchrun if several; 0 = one per GPU.

    Returns:
        The folders of the trained members.
    """
    processes = processes or launch.processes_for(device)
    wanted = [(name, fold) for name in run.about.recipes for fold in run.about.folds]
    for name, fold in wanted:
        if run.is_trained(name, fold):
            _clear(run.member(name, fold))
            continue
        if processes > 1:
            launch.torchrun(run.folder, name, fold, settings, device, processes)
        else:
            with locked(run.member(name, fold), f"trains {name}"):
                train(run, name, fold, settings, Processes.start(device))
    return [run.member(name, fold) for name, fold in wanted]


def _clear(folder: Path) -> None:
    """Delete the checkpoint of a finished training; not before, or a kill would cost it all."""
    if (last := folder / "last.pt").is_file():
        last.unlink()


def _write_predictions(
    run: Run, trainee: Trainee, valid: ClipSet, held_out: np.ndarray, folder: Path
) -> None:
    """The logits of every role for every held-out clip, as predictions.parquet."""
    columns = ["sequence", "participant", "sign", "label", "fold"]
    clips = run.clips.loc[held_out, columns].reset_index(drop=True)
    recipe, tables = trainee.recipe, []
    for path in sorted(folder.glob("[!.]*.pt")):  # none that a killed writer has left half
        if (role := path.stem) == "last":
            continue
        model = models.build(recipe.config_of(role), recipe.layout, trainee.classes)
        model.load_state_dict(checkpoint.load(path))
        model.to(valid.frames.device)
        logits = evaluation.predict(model, recipe, valid) if len(valid) else []
        tables.append(clips.assign(role=role, logits=list(logits)))
    table = pd.concat(tables, ignore_index=True)
    write_atomically(
        folder / "predictions.parquet", lambda path: table.to_parquet(path, index=False)
    )


def main(
    run: tyro.conf.Positional[str],
    recipe: tyro.conf.Positional[str],
    fold: int = 0,
    precision: Precision = "auto",
    compile: bool = False,
    device: str = "auto",
) -> None:
    """Train one recipe of a run on one fold.

    Args:
        run: the run's folder, made by 01_preparation.
        recipe: the member's name.
        fold: the fold that is held out; -1 trains on everything.
        precision: of the matrix products.
        compile: use torch.compile.
        device: cpu, cuda, or auto.
    """
    opened = Run.open(anchored(run))
    settings = Settings(opened.about.seed, precision, compile)
    processes = Processes.start(device)
    if processes.writes:
        with locked(opened.member(recipe, fold), f"trains {recipe}"):
            print(train(opened, recipe, fold, settings, processes))
    else:
        train(opened, recipe, fold, settings, processes)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        sys.exit(f"error: {error}")
