r"""Train one recipe of a run on one fold: the command, and what train_all.py calls.

    python -m src.training.train logs/sample frame_deberta_b --fold 0
    torchrun --standalone --nproc-per-node 8 \
        -m src.training.train logs/full frame_deberta_b --fold 0

Every (recipe, fold) is a separate command, so a sweep is a list of commands for any launcher. A
finished training is not repeated; a stopped one continues.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import tyro
from jaxtyping import Bool

from src.common import checkpoint
from src.common.errors import InputError, reporting
from src.common.files import locked, write_atomically
from src.common.news import say
from src.common.paths import anchored
from src.dataset.batches import prepare
from src.dataset.folds import EVERYTHING, TRAIN_ONLY, Fold
from src.evaluation.predict import predict
from src.recipes.base import Recipe
from src.runs import Run, code_of
from src.training import teachers
from src.training.distributed import Processes
from src.training.fit import Task, Trained, fit
from src.training.loop import Precision, Settings

# Parts of a training's mark that its checkpoint holds, too, beside the recipe, the clips and the
# seed: if one has changed, a stopped training does not go on.
DEPENDS_ON = ("clip files", "clip contents", "teacher", "start", "weights of")


def train(
    run: Run,
    name: str,
    fold: Fold,
    settings: Settings,
    processes: Processes,
    retrain: bool = False,
) -> Path:
    """Train one recipe on all folds but one, and predict that one.

    `retrain` deletes a finished training of other values, and trains again. Returns the training's
    folder: weights per role, history.csv, predictions.parquet.

    Raises:
        InputError: the recipe learns from, or starts from, a training that is not there; or the
            folder holds a training of other values.
    """
    folder, recipe = run.training_folder(name, fold), run.recipe(name)
    mark = run.training_mark(name, fold)
    if run.is_trained(name, fold):
        return folder
    if mark.changes and not retrain:
        raise InputError(
            f"{folder}: expected no training, or one with this run's values, found one with "
            f"others: {', '.join(mark.changes)}; choose another RUN_DIR, or say RETRAIN=True "
            "(--retrain), which deletes it and trains again"
        )
    task = _task(run, recipe, fold, processes)
    # Old weights are deleted only if `retrain` asks for it and the teachers are there; and before
    # the training, because a kill must not leave them beside the new ones.
    if processes.writes:
        run.discard_stale(name, fold)
        mark = run.training_mark(name, fold)  # an older version's held fewer values; read it again
    processes.wait()
    trained = fit(task, settings, processes)

    # The mark is written last, and then the checkpoint is deleted: a kill loses no training.
    if processes.writes:
        table = _predictions(trained, task, run.clips[_held_out(run, fold)])
        write_atomically(
            folder / "predictions.parquet", lambda path: table.to_parquet(path, index=False)
        )
        weights = checkpoint.digest(trained.networks[recipe.shipped].state_dict())
        mark.write({"weights": weights, "code": code_of(recipe.model)})
        (folder / "last.pt").unlink(missing_ok=True)
    processes.wait()
    return folder


def _task(run: Run, recipe: Recipe, fold: Fold, processes: Processes) -> Task:
    """What to train on which clips, and what it learns from or starts from."""
    # Of several processes one prepares the clips; the others then read what it has written.
    if processes.world > 1 and processes.writes:
        prepare(run.store, recipe.read, recipe.key)
    processes.wait()
    clips = prepare(run.store, recipe.read, recipe.key, processes.device)
    held_out = _held_out(run, fold)
    choosing = choosing_clips(recipe, run.clips, held_out)
    if choosing.any() and processes.writes:
        who = ", ".join(sorted(run.clips.participant[choosing].unique()))
        say(
            f"{recipe.name}: the best epoch is chosen on {choosing.sum()} clips of {who}, "
            "kept for this"
        )
    learnt = np.flatnonzero(~held_out & ~choosing)
    made_from = run.training_mark(recipe.name, fold).made_from
    return Task(
        recipe=recipe,
        train=clips.subset(learnt),
        valid=clips.subset(np.flatnonzero(held_out)),
        classes=len(run.store.signs),
        folder=run.training_folder(recipe.name, fold),
        guide=teachers.find(run, recipe, fold, learnt, processes.device),
        start=teachers.weights_to_start_from(run, recipe, fold),
        choosing=clips.subset(np.flatnonzero(choosing)) if choosing.any() else None,
        depends_on={name: made_from.get(name) for name in DEPENDS_ON},
    )


def _held_out(run: Run, fold: Fold) -> Bool[np.ndarray, " clips"]:
    """True for the clips of a fold; nowhere for a fit on everything."""
    return (run.clips.fold == fold).to_numpy()


def _check_fold(run: Run, fold: Fold) -> None:
    """Refuse a fold that has no clips, or only clips for training."""
    there = sorted({*run.clips.fold.tolist()} - {TRAIN_ONLY})
    if fold != EVERYTHING and fold not in there:
        raise InputError(
            f"fold {fold}: expected a fold of {run.folder}, {', '.join(map(str, there))} or "
            f"{EVERYTHING}, found no such fold; choose one of these"
        )


def choosing_clips(
    recipe: Recipe, clips: pd.DataFrame, held_out: Bool[np.ndarray, " clips"]
) -> Bool[np.ndarray, " clips"]:
    """The clips on which the best epoch is chosen, if the recipe chooses one.

    They are neither learnt from nor scored. They are the clips of the signer with nearest to a
    tenth of the clips that are not held out; if that is more than a quarter, every tenth clip. A
    fit on everything sets them aside, too, so its epoch is chosen as in every fold.
    """
    chosen = np.zeros(len(clips), bool)
    if not recipe.needs_choosing_clips:
        return chosen
    signers = clips.participant[~held_out].value_counts().sort_index()
    signer = (signers - signers.sum() / 10).abs().idxmin()
    if signers[signer] > signers.sum() / 4:
        chosen[np.flatnonzero(~held_out)[::10]] = True
        return chosen
    return (clips.participant == signer).to_numpy() & ~held_out


def _predictions(trained: Trained, task: Task, clips: pd.DataFrame) -> pd.DataFrame:
    """The logits of every role for every held-out clip."""
    clips = clips[["sequence", "participant", "sign", "label", "fold"]].reset_index(drop=True)
    tables = []
    for role, network in sorted(trained.networks.items()):
        logits = trained.logits.get(role)
        if logits is None:  # the soup and the best weights are made at the very end
            logits = predict(network, task.recipe, task.valid) if task.has_tests else []
        tables.append(clips.assign(role=role, logits=list(logits)))
    return pd.concat(tables, ignore_index=True)


def main(  # noqa: PLR0913 - each is an option of the command
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")],
    fold: Fold = 0,
    precision: Precision = "auto",
    compile: bool = False,
    micro_batch: int = 0,
    tests: int = 10,
    device: str = "auto",
    retrain: bool = False,
) -> None:
    """Train one recipe of a run on one fold, or continue a stopped training.

    Args:
        run: The run's folder, such as logs/full; 01_preparation makes it.
        recipe: Its name in the run, such as frame_deberta_b.
        fold: The fold to hold out; `everything` holds out none.
        precision: Type of matrix products; auto is the fastest that the device computes natively.
        compile: Compile the step first. For GPUs: on a CPU it takes minutes and gains nothing.
        micro_batch: Clips whose gradients are computed at once; 0 is as many as fit into memory.
        tests: How often to test the held-out clips, at most once an epoch; at the end in any case.
        device: cpu, cuda, or auto, which is cuda where there is one.
        retrain: Delete a finished training of other values, and train again.
    """
    opened = Run.open(anchored(run))
    settings = Settings(opened.about.seed, precision, compile, micro_batch=micro_batch, tests=tests)
    processes = Processes.start(device)
    opened.recipe(recipe)  # refuses a wrong name before a folder is made
    _check_fold(opened, fold)
    folder = opened.training_folder(recipe, fold)
    with locked(folder, f"trains {recipe}") if processes.writes else nullcontext():
        train(opened, recipe, fold, settings, processes, retrain)
    if processes.writes:
        print(folder)


if __name__ == "__main__":
    with reporting():
        tyro.cli(main, prog="python -m src.training.train")
