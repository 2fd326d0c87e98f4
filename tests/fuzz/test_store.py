"""A store whose files disagree is refused when opened; a competition of odd names is built."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.dataset import shards
from src.dataset.store import Store, build, skipped
from src.landmarks import N_LANDMARKS
from tests.dataset.conftest import random_clip, write_folder
from tests.fuzz.cases import case, fuzzing

KEPT = (0, 13, 500)
SIGNS = ("no", "yes")


def write_competition(folder: Path, participants: tuple[str, ...], signs=SIGNS) -> Path:
    """A clip a participant, of 1, 2, 3 ... frames."""
    clips = [
        (participant, str(k), signs[k % len(signs)], random_clip(k + 1, seed=k))
        for k, participant in enumerate(participants)
    ]
    return write_folder(folder, clips, signs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    root = tmp_path_factory.mktemp("whole")
    folder = write_competition(root / "asl", ("7", "8", "9", "10"))
    return build(folder, root / "stores", KEPT, workers=1)


def check(opened: Store, whole: Store) -> None:
    """Every clip is one of the whole store's, under the same sign."""
    assert opened.clips.label.tolist() == [opened.signs[sign] for sign in opened.clips.sign]
    for k in range(len(opened)):
        np.testing.assert_array_equal(opened.clip(k), whole.clip(k))
        assert opened.whole_frames(k).shape == (whole.clips.length[k], N_LANDMARKS, 3)
    assert skipped(opened) == [] and opened.frames.dtype == np.float16


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 600),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-1, 600), max_size=4),
    st.dictionaries(st.sampled_from(("no", "yes", "x")), st.integers(-1, 3), max_size=3),
)
KEYS = ("landmarks", "signs", "skipped", "sizes", "source", "format")


@fuzzing(100)
@given(key=st.sampled_from(KEYS), value=VALUES, how=st.sampled_from(("set", "drop", "replace")))
def test_a_manifest_that_disagrees(whole, tmp_path, key, value, how):
    """One value is another or is gone; or the value stands in the place of all values."""
    folder = shutil.copytree(whole.folder, tmp_path / "store", dirs_exist_ok=True)
    manifest = json.loads((whole.folder / "manifest.json").read_text())
    part = "made_from" if key == "format" else "result"
    if how == "replace":
        manifest[part] = value
    elif how == "drop":
        del manifest[part][key]
    else:
        manifest[part][key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with case(folder):
        opened = Store.open(folder)
        assert opened.landmarks == KEPT or key == "landmarks"
        assert {**opened.signs} == {**whole.signs} or key == "signs"
        if key not in ("landmarks", "skipped", "sizes"):
            check(opened, whole)


COLUMNS = ("offset", "length", "participant", "sequence", "sign", "label", "fold", "training_only")
ODD = (None, -1, 0, 1, 2, 3, 10**12, 0.5, np.nan, "no", "yes", "", "1", True)


@fuzzing(120)
@given(
    column=st.sampled_from(COLUMNS),
    row=st.integers(0, 3),
    value=st.sampled_from(ODD),
    how=st.sampled_from(("one", "all", "drop", "shuffle", "double", "cut")),
)
def test_a_table_that_disagrees(whole, tmp_path, column, row, value, how):
    folder = shutil.copytree(whole.folder, tmp_path / "store", dirs_exist_ok=True)
    clips = pd.read_parquet(whole.folder / "clips.parquet")
    spoilt = {
        "one": lambda: clips.assign(**{column: _with(clips[column], row, value)}),
        "all": lambda: clips.assign(**{column: value}),
        "drop": lambda: clips.drop(columns=column),
        "shuffle": lambda: clips.iloc[[row, *(k for k in range(4) if k != row)]],
        "double": lambda: pd.concat([clips, clips.iloc[[row]]]),
        "cut": lambda: clips.iloc[:row],
    }[how]()
    spoilt.to_parquet(folder / "clips.parquet", index=False)
    with case(folder):
        opened = Store.open(folder)
        check(opened, whole)
        assert opened.clips.fold.dtype == np.int64


def _with(column: pd.Series, row: int, value: object) -> pd.Series:
    """One value changed; the column keeps its type where it can, else all of it turns to text."""
    values = [value if k == row else old for k, old in enumerate(column)]
    kinds = {type(v) for v in values if v is not None}
    return pd.Series(values if len(kinds) == 1 else [str(v) for v in values])


@fuzzing(40)
@given(
    shape=st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(0, 4)),
    kind=st.sampled_from(("<f2", ">f2", "f4", "i2", "U1", "O")),
    order=st.sampled_from("CF"),
)
def test_an_array_that_disagrees(whole, tmp_path, shape, kind, order):
    folder = shutil.copytree(whole.folder, tmp_path / "store", dirs_exist_ok=True)
    frames = np.asarray(whole.frames)
    other = np.zeros(shape, kind, order=order)
    fits = frames.astype(kind, order=order) if shape[0] > 8 else other  # often the right shape
    np.save(folder / "landmarks.npy", fits)
    with case(folder):
        check(Store.open(folder), whole)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
PATHS = st.sampled_from(("..", ".", "/", "../..", "a/../../b", "C:\\", "~", "%2e%2e", "nul", " "))


@fuzzing(25)
@given(
    names=st.lists(NAMES | PATHS, min_size=1, max_size=3, unique=True),
    signs=st.lists(NAMES | PATHS, min_size=1, max_size=3, unique=True),
)
def test_odd_names_are_names_and_nothing_is_written_elsewhere(tmp_path, names, signs):
    shutil.rmtree(tmp_path / "asl", ignore_errors=True)
    shutil.rmtree(tmp_path / "stores", ignore_errors=True)
    folder = write_competition(tmp_path / "asl", tuple(names), tuple(signs))
    before = sorted(tmp_path.rglob("*"))
    with case(folder):
        opened = build(folder, tmp_path / "stores", KEPT, workers=1)
        assert opened.clips.participant.tolist() == names
        assert opened.clips.sign.tolist() == [signs[k % len(signs)] for k in range(len(names))]
    written = set(tmp_path.rglob("*")) - {*before}
    assert all(path.is_relative_to(tmp_path / "stores") for path in written)


SHARD = {
    "no mark": lambda shard: shard.with_suffix(".json").unlink(),
    "half a mark": lambda shard: shard.with_suffix(".json").write_text('{"made_from": {'),
    "a mark of other clips": lambda shard: edit_mark(shard, made_from={"clips": 4}),
    "a mark of a shorter shard": lambda shard: edit_mark(
        shard, result={"lengths": [1, 2, 3], "broken": [], "contents": []}
    ),
    "no data": lambda shard: shard.unlink(),
    "half the data": lambda shard: shard.write_bytes(shard.read_bytes()[:77]),
}


def edit_mark(shard: Path, **changes: object) -> None:
    mark = shard.with_suffix(".json")
    mark.write_text(json.dumps(json.loads(mark.read_text()) | changes))


@pytest.mark.parametrize("spoil", SHARD.values(), ids=SHARD)
def test_a_shard_that_does_not_fit_its_mark_is_made_again(whole, tmp_path, monkeypatch, spoil):
    folder = write_competition(tmp_path / "asl", ("7", "8", "9", "10"))
    with monkeypatch.context() as killed:
        killed.setattr(shards, "join", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(folder, tmp_path / "stores", KEPT, workers=1)
    (shard,) = tmp_path.glob("stores/*/shards/*.npy")
    spoil(shard)
    check(build(folder, tmp_path / "stores", KEPT, workers=1), whole)
