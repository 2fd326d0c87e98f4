"""A run and its folder: what it is about, its recipes, its folds, its models.

    logs/<run>/
        run.json                      profile, data, store, seed, held-out participants
        folds.csv                     the fold of every clip, in the store's order
        <recipe>/config.json          every value of the recipe
        <recipe>/<fold>/              history.csv, weights per role, predictions.parquet, and
                                      trained.json, which says what they were made from
        01_preparation.ipynb, ...     the notebooks as they ran, and their logs
        members/                      a .tflite of each network, and what it costs
        figures/, model.tflite, submission.zip, report.md, report.json, model_card.md

Later stages read the run's folder and the store; from 03 on also the held-out raw clips.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from src.common import checkpoint
from src.common.errors import InputError, refusing
from src.common.files import digest, write_atomically, write_json
from src.common.marks import DIGEST, Mark, digest_of
from src.common.news import say
from src.common.paths import anchored, root
from src.dataset import folds
from src.dataset.folds import EVERYTHING, Fold
from src.dataset.store import Store
from src.models import NetworkConfig
from src.recipes import config
from src.recipes.base import Recipe
from src.recipes.ingredients import Role

PLACES = ("data", "store")  # fields of run.json that are paths
TRAINED = "trained.json"  # in a training's folder: what its weights were made from
_EVERYTHING_ONCE = -1  # how `EVERYTHING` was written until November 2026


@dataclass(frozen=True)
class About:
    """What a run is about."""

    profile: str  # sample, cpu or full
    data: str  # the competition folder, from the project's root
    store: str  # the folder of the landmark store, from the project's root
    seed: int  # of everything random
    hold_out: tuple[str, ...]  # participants of a named split; empty = the usual folds
    recipes: tuple[str, ...]  # their names, in order
    folds: tuple[Fold, ...]  # to train; `EVERYTHING` for a fit on all clips
    asked: str = ""  # what RECIPES said, or what the profile chose; "" in older runs


@dataclass(frozen=True)
class Run:
    """A run's folder and what is read from it."""

    folder: Path  # logs/<run>
    about: About  # run.json

    @classmethod
    def create(cls, folder: Path, about: About, recipes: Sequence[Recipe]) -> Run:
        """Write a new run's folder; a run that is there already keeps its models.

        Raises:
            InputError: HOLD_OUT names a participant that has no clip, or all participants; all
                clips are of one sign; there are too few clips to hold any out; or a fold tests
                only signs that no clip outside it shows.
        """
        clips = _folded(about)
        # Old figures may show other clips; the notebooks draw them again.
        for figure in folder.glob("figures/*.png"):
            figure.unlink()
        table = clips[["sequence", "participant", "sign", "fold"]]
        write_atomically(folder / "folds.csv", lambda path: table.to_csv(path, index=False))
        for recipe in recipes:
            config.save(recipe, folder / recipe.name / "config.json")
        # Paths are relative, so a run's folder can be moved to another machine.
        here = {name: os.path.relpath(anchored(getattr(about, name)), root()) for name in PLACES}
        about = replace(about, **here)
        write_json(folder / "run.json", asdict(about))
        return cls(folder, about)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open the run that `create` wrote.

        Raises:
            InputError: the folder holds no run.
        """
        path = folder / "run.json"
        with refusing(path, "what 01_preparation writes", "run it first"):
            values = json.loads(path.read_text())
            about = About(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
            trained = (EVERYTHING if f == _EVERYTHING_ONCE else f for f in about.folds)
            return cls(folder, replace(about, folds=tuple(trained)))

    @property
    def data(self) -> Path:
        """The competition folder."""
        return anchored(self.about.data)

    @cached_property
    def store(self) -> Store:
        """The landmark store.

        Raises:
            InputError: the store is not on this machine, or damaged.
        """
        folder = anchored(self.about.store)
        if not folder.is_dir():
            raise InputError(
                f"{folder}: expected this run's landmark store, found none; run 01_preparation on "
                "this machine, with DATA=<the competition folder here>; trainings are kept"
            )
        return Store.open(folder)

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The store's clips with this run's folds.

        Raises:
            InputError: folds.csv is missing, damaged, or of other clips.
        """
        path = self.folder / "folds.csv"
        with refusing(path, "what 01_preparation writes", "run it again, with --force"):
            table = pd.read_csv(path, usecols=["sequence", "fold"], keep_default_na=False,
                                dtype={"sequence": str, "fold": "int64"})  # fmt: skip
        if list(table.sequence) != list(self.store.clips.sequence):
            raise InputError(
                f"{path}: expected the clips of {self.about.store}, found others; run "
                "01_preparation again"
            )
        return self.store.clips.assign(fold=table.fold)

    @property
    def lengths(self) -> pd.Series:
        """Raw frames of every clip, by sequence."""
        return self.clips.set_index("sequence").length

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """The recipes by name, as they were when the run was made."""
        names = self.about.recipes
        return {name: config.load(self.folder / name / "config.json") for name in names}

    def recipe(self, name: str) -> Recipe:
        """One recipe.

        Raises:
            InputError: the run has no recipe of that name.
        """
        if name not in self.recipes:
            raise InputError(
                f"{self.folder}: expected one of its recipes, {', '.join(self.recipes)}, found "
                f"{name!r}"
            )
        return self.recipes[name]

    def training_folder(self, name: str, fold: Fold) -> Path:
        """The folder of one recipe trained on one fold."""
        return self.folder / name / (EVERYTHING if fold == EVERYTHING else f"fold{fold}")

    def training_mark(self, name: str, fold: Fold) -> Mark:
        """The file that marks a training as finished, with what its weights were made from.

        It also holds what teachers and start were made from, if they are in this run, so a change
        there leaves the training unfinished. For teachers and start of any run it holds a digest of
        their weights, as long as these exist.
        """
        recipe, folds_file = self.recipe(name), self.folder / "folds.csv"
        with refusing(folds_file, "what 01_preparation writes", "run it again, with --force"):
            clips = DIGEST + digest(folds_file)
        made_from = {"recipe": config.to_json(recipe)["values"], "folds": clips}
        for role, names in (("teacher", recipe.distil.teachers), ("start", (recipe.start,))):
            others = [self.training_mark(n, fold).made_from for n in names if n in self.recipes]
            if others:
                made_from[role] = others[0] if len(names) == 1 else others
        path = self.training_folder(name, fold) / TRAINED
        then = Mark(path).made_from_then
        newer = {
            "seed": self.about.seed,
            "signs": digest_of(sorted(self.store.signs.items())),
            "clip files": self.store.clip_files,
        }
        if contents := self.store.clip_contents:
            newer["clip contents"] = contents
        if others := [n for n in (*recipe.distil.teachers, recipe.start) if n]:
            known = then.get("weights of", {})
            newer["weights of"] = {n: self._weights_of(n, fold) or known.get(n) for n in others}
        # Until November 2026 marks did not hold these.
        made_from |= {key: value for key, value in newer.items() if key in then or not then}
        return Mark(path, made_from)

    def _weights_of(self, name: str, fold: Fold) -> str | None:
        """A digest of the weights of a training, or of all in a run; None if there are none."""
        folder = self.folder / name if name in self.recipes else anchored(name)
        place = f"{self.training_folder(name, fold).name}/{TRAINED}"
        marks = [Mark(path) for path in sorted([*folder.glob(place), *folder.glob(f"*/{place}")])]
        return digest_of([(m.result or {}).get("weights") for m in marks]) if marks else None

    def is_trained(self, name: str, fold: Fold) -> bool:
        """True if a recipe is trained on a fold with this run's values.

        Its shipped weights, history and predictions must be there, too.
        """
        mark, shipped = self.training_mark(name, fold), f"{self.recipe(name).shipped}.pt"
        files = (mark.path.parent / n for n in (shipped, "history.csv", "predictions.parquet"))
        return mark.is_finished and all(file.is_file() for file in files)

    def discard_stale(self, name: str, fold: Fold) -> None:
        """Delete a finished training that was made from other values than the run has now."""
        mark = self.training_mark(name, fold)
        if mark.changes and mark.spoil("its weights were being deleted"):
            for pattern in ("*.pt", "*.csv", "*.parquet", TRAINED):
                for path in mark.path.parent.glob(pattern):
                    path.unlink()

    def _refuse_stale(self, name: str, fold: Fold) -> None:
        """Refuse weights and predictions that were made with other values than the run has now."""
        mark = self.training_mark(name, fold)
        if mark.changes:
            raise InputError(
                f"{mark.path.parent}: expected a training with this run's values, found one with "
                f"others: {', '.join(mark.changes)}; run 02_training again, or 01_preparation with "
                "the old values"
            )

    def model(self, name: str, fold: Fold, role: Role | None = None) -> nn.Module:
        """A recipe's network, trained on all but one fold; by default in the role that ships.

        Raises:
            InputError: it is not trained yet, or with other values, or its weights do not fit.
        """
        recipe = self.recipe(name)
        role = role or recipe.shipped
        self._refuse_stale(name, fold)
        path = self.training_folder(name, fold) / f"{role}.pt"
        model = recipe.config_of(role).build(recipe.layout, len(self.store.signs))
        try:
            model.load_state_dict(checkpoint.load(path))
        except RuntimeError as error:
            raise InputError(
                f"{path}: expected weights of {recipe.config_of(role)}, found others, as after a "
                f"change of the network's code; delete {path.parent} and run 02_training again"
            ) from error
        then = (self.training_mark(name, fold).result or {}).get("code", {})
        code = code_of(recipe.model)
        if changed := [file for file in code if then.get(file, code[file]) != code[file]]:
            say(
                f"{path}: the code of {', '.join(changed)} has changed since these weights were "
                f"trained; to train again: delete {path.parent} and run 02_training"
            )
        return model.eval()

    def predictions(self, name: str) -> pd.DataFrame:
        """The out-of-fold predictions of one recipe, for the folds that are trained.

        Raises:
            InputError: no fold is trained, or one with other values than the run has now.
        """
        held_out = [fold for fold in self.about.folds if fold != EVERYTHING]
        for fold in held_out:
            self._refuse_stale(name, fold)
        paths = [self.training_folder(name, f) / "predictions.parquet" for f in held_out]
        tables, to_do = [], "delete it and train again: 02_training with --force"
        for path in filter(Path.is_file, paths):
            with refusing(path, "predictions", to_do):
                tables.append(pd.read_parquet(path))
        if not tables:
            raise InputError(
                f"{self.folder / name}: expected a trained fold, found none; run 02_training first"
            )
        return pd.concat(tables, ignore_index=True)

    def shipped_predictions(self) -> dict[str, pd.DataFrame]:
        """Out-of-fold predictions of each member's shipped role; stages that only teach have none.

        Only the folds on which all members are trained are included.

        Raises:
            InputError: a member has no trained fold, nothing ships, or no fold is common to all.
        """
        tables = {}
        for recipe in (recipe for recipe in self.recipes.values() if recipe.ships):
            table = self.predictions(recipe.name)
            tables[recipe.name] = table[table.role == recipe.shipped]
        folds_of = [set(table.fold) for table in tables.values()]
        if not (common := set.intersection(*folds_of) if folds_of else set()):
            raise InputError(
                f"{self.folder}: expected networks that ship, trained on a fold that all have, "
                f"found {', '.join(tables) or 'only stages that teach others'}; run 02_training"
            )
        return {n: t[t.fold.isin(common)].reset_index(drop=True) for n, t in tables.items()}

    def save_figure(self, figure: Figure, name: str) -> Path:
        """Save a figure as figures/<name>.png."""
        path = self.folder / "figures" / f"{name}.png"
        return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def _folded(about: About) -> pd.DataFrame:
    """The store's clips with a run's folds, checked to leave something to learn and to test."""
    clips, data = Store.open(anchored(about.store)).clips, about.data
    if clips.sign.nunique() < 2:
        raise InputError(
            f"{data}: expected clips of two signs at least, found only clips of "
            f"{clips.sign[0]!r}; add clips of others"
        )
    if about.hold_out:
        clips = clips.assign(fold=folds.hold_out(clips, about.hold_out))
    if not clips.fold.isin([fold for fold in about.folds if fold != EVERYTHING]).any():
        raise InputError(
            f"{data}: expected clips to test on, found only clips for training; add some "
            "that its table does not mark for training"
        )
    nobody_learns = (clips.fold == about.folds[0]).all()
    if nobody_learns and about.hold_out:
        raise InputError(
            f"HOLD_OUT: expected signers to be left to learn from, found all signers of "
            f"{data} named; name fewer, or leave it empty"
        )
    if nobody_learns:
        raise InputError(
            f"{data}: expected clips of at least two signers, or several clips per sign "
            "by one, found nothing to learn from once some are held out; add clips"
        )
    _tell_uncovered(clips, about)
    return clips


def _tell_uncovered(clips: pd.DataFrame, about: About) -> None:
    """Say how many tested clips are of signs that nobody else shows; refuse a fold of only such."""
    lost = folds.uncovered(clips).groupby("fold").clips.sum()
    for fold in (fold for fold in about.folds if fold in lost):
        tested = int((clips.fold == fold).sum())
        if lost[fold] == tested:
            raise InputError(
                f"{about.data}: expected held-out clips of signs that others show too, found "
                f"none in fold {fold}; add clips of its signs by other signers"
            )
        say(
            f"{lost[fold]} of the {tested} clips of fold {fold} are of signs that no clip "
            "outside it shows: they count as mistakes."
        )


def code_of(network: NetworkConfig) -> dict[str, str]:
    """Digests of the files in src/models that hold a network's code, and of those it imports."""
    own = type(network).__module__
    used = {getattr(part, "__module__", None) for part in vars(sys.modules[own]).values()}
    names = sorted(name for name in {own, *used} if str(name).startswith("src.models."))
    return {
        f"{name.replace('.', '/')}.py": DIGEST + digest(Path(sys.modules[name].__file__))
        for name in names
    }
