"""A run is its folder: it moves, and what it shows is of its own values."""

import json
import os
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from src.common import checkpoint, paths
from src.common.errors import InputError
from src.common.marks import Mark
from src.dataset import store as stores
from src.dataset.folds import EVERYTHING
from src.recipes import hand_bert
from src.runs import About, Run, code_of
from tests.tiny import RECIPE


@pytest.fixture
def made(sample, tmp_path, monkeypatch) -> Run:
    """A run in a checkout of its own: data, store and logs are below one root."""
    root = tmp_path / "here"
    monkeypatch.setattr(paths, "root", lambda: root)
    monkeypatch.setattr("src.runs.root", lambda: root)
    data = shutil.copytree(sample, root / "input/asl-signs")
    store = stores.build(data, root / "input/stores", hand_bert.LAYOUT.sources, workers=1)
    about = About("cpu", str(data), str(store.folder), 0, (), (RECIPE.name,), (0,))
    return Run.create(root / "logs/run", about, [RECIPE])


def test_a_run_holds_no_absolute_path_and_opens_where_it_is_moved_to(made, tmp_path, monkeypatch):
    for file in made.folder.rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), file
    there = tmp_path / "there"
    shutil.move(tmp_path / "here", there)
    monkeypatch.setattr(paths, "root", lambda: there)
    moved = Run.open(there / "logs/run")
    assert len(moved.clips) == 32 and moved.data == there / "input/asl-signs"


def test_without_its_store_it_says_how_to_make_one(made):
    shutil.rmtree(made.store.folder)
    with pytest.raises(InputError, match=r"expected this run's landmark store.*run 01_preparation"):
        Run.open(made.folder).clips  # noqa: B018


def test_a_run_of_before_everything_had_a_name_opens(made):
    path = made.folder / "run.json"
    values = json.loads(path.read_text()) | {"folds": [0, 1, -1]}
    path.write_text(json.dumps(values))
    assert Run.open(made.folder).about.folds == (0, 1, EVERYTHING)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"profile": 3}'])
def test_what_is_no_run_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json: expected what 01_preparation writes"):
        Run.open(tmp_path)


@pytest.mark.parametrize("content", [None, "", "sequence\n1\n", "sequence,fold\n1,first\n", "\0"])
def test_folds_that_are_missing_or_damaged_are_refused_wherever_they_are_read(made, content):
    path = made.folder / "folds.csv"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match=r"folds\.csv: expected what 01_preparation writes"):
        made.clips  # noqa: B018
    if content is None:
        with pytest.raises(InputError, match=r"folds\.csv: expected what 01_preparation writes"):
            made.predictions(RECIPE.name)


def test_damaged_predictions_are_refused_by_name(made):
    path = made.training_folder(RECIPE.name, 0) / "predictions.parquet"
    path.parent.mkdir(parents=True)
    path.write_text("no table")
    with pytest.raises(InputError, match=r"predictions\.parquet: expected .*; delete it and train"):
        made.predictions(RECIPE.name)


def test_folds_of_other_clips_are_refused(made):
    path = made.folder / "folds.csv"
    pd.read_csv(path)[::-1].to_csv(path, index=False)
    with pytest.raises(InputError, match=r"folds\.csv: expected the clips of .*, found others"):
        Run.open(made.folder).clips  # noqa: B018


def test_a_sequence_may_be_called_anything(made):
    """Text that pandas would read as missing, or as a number."""
    table = made.store.clips
    names = ["NA", "null", "001", *table.sequence[3:]]
    table["sequence"] = names
    made.__dict__["store"] = replace(made.store, clips=table)
    folds = made.folder / "folds.csv"
    pd.read_csv(folds).assign(sequence=names).to_csv(folds, index=False)
    assert made.clips.sequence.tolist() == names


def test_a_recipe_that_is_not_in_the_run_is_named(made):
    with pytest.raises(InputError, match="expected one of its recipes, tiny, found 'other'"):
        made.recipe("other")
    with pytest.raises(InputError, match="expected a trained fold, found none"):
        made.predictions(RECIPE.name)


def test_an_older_versions_training_is_not_taken_and_not_deleted(made):
    """Its mark says nothing of values that could be compared."""
    folder = made.training_folder(RECIPE.name, 0)
    folder.mkdir(parents=True)
    (folder / "trained.json").write_text('{"recipe": "0123", "folds": "4567"}')
    (folder / "student.pt").write_text("weights")
    with pytest.raises(InputError, match="an older version of this project made it"):
        made.model(RECIPE.name, 0)
    assert (folder / "student.pt").is_file()


def test_weights_of_a_networks_older_code_are_refused_with_what_to_delete(made):
    """Marks hold values, not code: to 02 such a training is finished."""
    folder = made.training_folder(RECIPE.name, 0)
    checkpoint.save(folder / f"{RECIPE.shipped}.pt", {"gone": torch.zeros(1)})
    with pytest.raises(InputError, match=r"code; delete .*/fold0 and run 02_training again"):
        made.model(RECIPE.name, 0)


def test_weights_of_the_same_shapes_say_that_the_networks_code_has_changed_since(made, capsys):
    weights = RECIPE.model.build(RECIPE.layout, len(made.store.signs)).state_dict()
    checkpoint.save(made.training_folder(RECIPE.name, 0) / f"{RECIPE.shipped}.pt", weights)
    code = code_of(RECIPE.model)
    assert {"src/models/hand_bert.py", "src/models/attention.py"} <= {*code}
    for changed, said in (({}, ""), ({"src/models/hand_bert.py": "sha256:old"}, "hand_bert.py")):
        made.training_mark(RECIPE.name, 0).write({"code": code | changed})
        made.model(RECIPE.name, 0)
        out = capsys.readouterr().out
        assert out == "" if not said else re.search(rf"code of src/models/{said} has changed", out)


def test_a_training_of_another_seed_is_not_taken_for_one_of_this(made):
    made.training_mark(RECIPE.name, 0).write()
    other = replace(made, about=replace(made.about, seed=1))
    assert made.training_mark(RECIPE.name, 0).is_finished
    assert other.training_mark(RECIPE.name, 0).changes == ["seed 0 -> 1"]
    with pytest.raises(InputError, match="found one with others: seed 0 -> 1; run 02_training"):
        other.predictions(RECIPE.name)


def test_a_training_of_other_numbers_for_the_signs_is_not_taken_for_one_of_these(made):
    """A map that is numbered anew gives a new store; the old networks would answer wrongly."""
    made.training_mark(RECIPE.name, 0).write()
    assert made.training_mark(RECIPE.name, 0).is_finished
    first, second, *_ = made.store.signs
    made.store.signs[first], made.store.signs[second] = 1, 0
    (change,) = made.training_mark(RECIPE.name, 0).changes
    assert change.startswith("signs")


def test_a_training_on_clips_that_were_replaced_is_not_taken_for_one_of_these(made):
    one, other = sorted(made.data.rglob("*.parquet"))[:2]
    clip = pd.read_parquet(one)

    def mark_now() -> Mark:
        landmarks, folder = hand_bert.LAYOUT.sources, made.store.folder
        store = stores.build(made.data, folder.parent, landmarks, workers=1)
        assert store.folder != folder
        about = replace(made.about, store=str(store.folder))
        return Run.create(made.folder, about, [RECIPE]).training_mark(RECIPE.name, 0)

    def write_plain(clip: pd.DataFrame) -> int:
        clip.to_parquet(one, compression=None, use_dictionary=False)
        return one.stat().st_size

    size = write_plain(clip)
    mark_now().write()
    os.utime(one)  # as of a copy
    assert mark_now().is_finished
    assert write_plain(clip.assign(x=1 - clip.x)) == size
    assert mark_now().changes == ["clip contents changed"]
    shutil.copyfile(other, one)
    assert mark_now().changes == ["clip files changed", "clip contents changed"]


@pytest.mark.parametrize(
    "since", [["seed"], ["seed", "signs"], ["seed", "signs", "clip files"], ["clip contents"]]
)
def test_a_mark_of_before_seeds_signs_and_clips_were_kept_stays_one(made, since):
    path = made.training_mark(RECIPE.name, 0).write()
    mark = json.loads(path.read_text())
    for name in since:
        del mark["made_from"][name]
    path.write_text(json.dumps(mark))
    assert made.training_mark(RECIPE.name, 0).is_finished


def again(made: Run, **changed: object) -> None:
    Run.create(made.folder, replace(made.about, **changed), [RECIPE])


def test_somebody_is_left_to_learn_from_and_something_to_test_on(made, monkeypatch):
    everybody = tuple(made.store.clips.participant.unique())
    with pytest.raises(InputError, match=r"^HOLD_OUT: expected signers to be left"):
        again(made, hold_out=everybody)
    path = made.store.folder / "clips.parquet"
    pd.read_parquet(path).assign(fold=-1, training_only=True).to_parquet(path)
    for folds in ((), (EVERYTHING,), (0,)):
        with pytest.raises(InputError, match=r"expected clips to test on, found"):
            again(made, folds=folds)


def test_clips_of_one_sign_are_refused_whatever_the_map_holds(made):
    path = made.store.folder / "clips.parquet"
    first = made.store.clips.sign[0]
    pd.read_parquet(path).assign(sign=first, label=made.store.signs[first]).to_parquet(path)
    with pytest.raises(InputError, match=rf"asl-signs: expected .* only clips of '{first}'; add"):
        again(made)


def test_held_out_signs_that_nobody_else_shows_are_told_and_refused_if_there_are_no_others(
    made, capsys
):
    path, signs = made.store.folder / "clips.parquet", [*made.store.signs]
    clips = pd.read_parquet(path)
    again(made, folds=(0, 1, EVERYTHING))
    assert capsys.readouterr().out == ""
    clips.loc[clips.label.eq(3) & clips.fold.ne(0), "label"] = 2  # of label 3 only fold 0 has clips
    clips.assign(sign=clips.label.map(signs.__getitem__)).to_parquet(path)
    again(made, folds=(0, 1, EVERYTHING))
    said = "2 of the 8 clips of fold 0 are of signs that no clip outside it shows"
    assert capsys.readouterr().out == f"{said}: they count as mistakes.\n"
    clips.assign(label=clips.fold, sign=clips.fold.map(signs.__getitem__)).to_parquet(path)
    with pytest.raises(
        InputError, match=r"asl-signs: .* others show too, found none in fold 1; add"
    ):
        again(made, folds=(1,))


def test_a_run_of_which_nothing_ships_has_no_predictions(made):
    stage = replace(RECIPE, ships=False)
    run = Run.create(made.folder, made.about, [stage])
    with pytest.raises(InputError, match="found only stages that teach others; run 02_training"):
        run.shipped_predictions()


def test_figures_are_kept_as_pictures_until_the_run_is_made_again(made):
    path = made.save_figure(Figure(), "clip_7")
    assert path == made.folder / "figures/clip_7.png" and path.read_bytes()[:4] == b"\x89PNG"
    Run.create(made.folder, made.about, [RECIPE])  # of other data, perhaps, without a clip 7
    assert not path.exists()
