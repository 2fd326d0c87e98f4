"""Reader, scorer and exported model: whatever a clip holds, a finite answer or one clear error."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import assume, example, given
from hypothesis import strategies as st

from src.common.errors import InputError
from src.common.paths import SIGN_MAP
from src.dataset.clip_file import read_clip
from src.dataset.competition import read_index
from src.landmarks import N_LANDMARKS
from src.tflite.converter.convert import convert
from src.tflite.export import write_tflite
from src.tflite.scorer import Model, load_frames, score
from tests.fuzz.cases import case, fuzzing
from tests.fuzz.tables import EDITS, NUMBERS, expected, hits_of, make_table, spoil
from tests.fuzz.test_store import write_competition
from tests.tflite import toys
from tests.tflite.lengths import module_of


def accepted(read: Callable, path: Path) -> Any:
    """What the reader returns, or None where it refuses by one clear error."""
    with suppress(InputError), case(path):
        return read(path)


@fuzzing(80)
@given(frames=st.integers(0, 3), edits=EDITS)
def test_a_spoilt_clip_is_read_and_scored_as_it_is_or_refused(tmp_path, frames, edits):
    table, path = make_table(frames), tmp_path / "clip.parquet"
    try:
        for edit in edits:
            table = edit(table)
        table.to_parquet(path)
    except (pa.ArrowException, ValueError, TypeError, KeyError, pd.errors.IndexingError):
        assume(False)  # what no writer can write is no case
    right = expected(pq.read_table(path).to_pandas(ignore_metadata=True))
    read, scored = accepted(read_clip, path), accepted(load_frames, path)
    assert (read is None) == (right is None)
    if right is not None:  # the reader refuses more: frames out of order, numbers beyond float16
        np.testing.assert_array_equal(read, right)
        np.testing.assert_array_equal(scored, right)
    assert scored is None or (scored.dtype, *scored.shape[1:]) == (np.float32, N_LANDMARKS, 3)


def test_five_thousand_frames_are_read_and_one_wrong_row_among_them_is_found(tmp_path):
    table = make_table(5_000).drop(columns="row_id")  # never read
    path = tmp_path / "clip.parquet"
    table.to_parquet(path)
    assert read_clip(path, range(4)).shape == (5_000, 4, 3)
    table.loc[2_000_000, "y"] = np.inf
    table.to_parquet(path)
    with pytest.raises(InputError, match="found y = inf in row 2000000"):
        read_clip(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A competition of two clips, and model.tflite that answers by the number of frames."""
    folder = write_competition(tmp_path_factory.mktemp("scorer") / "asl", ("7", "8"))
    by_parity = module_of(lambda inputs: tf.one_hot(tf.shape(inputs)[0] % 2, 2))
    (folder / "model.tflite").write_bytes(convert(by_parity, "fp32"))
    return folder


TEXTS = st.text(max_size=6) | st.sampled_from(("../secret.parquet", "/etc/passwd", "", "no", "1"))
MAPS = st.one_of(
    st.recursive(st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=2)),
    st.dictionaries(st.sampled_from(("no", "yes", "x")), st.integers(0, 2) | st.none() | TEXTS),
)


@fuzzing(60)
@given(
    column=st.sampled_from(("path", "sign", "participant_id", "sequence_id")),
    value=TEXTS,
    how=st.sampled_from(("set", "drop", "cut", "none")),
    signs=st.none() | MAPS,
)
@example(column="path", value="\x1e", how="set", signs=None)  # found by a longer run
@example(column="path", value="a\nb", how="set", signs=None)
def test_a_spoilt_folder_is_scored_right_where_the_reader_takes_it(
    folder, tmp_path, column, value, how, signs
):
    own = shutil.copytree(folder, tmp_path / "asl", dirs_exist_ok=True)
    shutil.copy(own / "train_landmark_files/0/0.parquet", tmp_path / "secret.parquet")
    table = pd.read_csv(own / "train.csv", dtype=str)
    spoilt = {
        "set": lambda: table.assign(**{column: [value, table[column][1]]}),
        "drop": lambda: table.drop(columns=column),
        "cut": lambda: table[:0],
        "none": lambda: table,
    }[how]()
    spoilt.to_csv(own / "train.csv", index=False, errors="replace")
    if signs is not None:
        (own / SIGN_MAP).write_text(json.dumps(signs))
    result = accepted(lambda own: score(folder / "model.tflite", own), own)
    assert (accepted(read_index, own) is None) == (result is None)
    if result is not None:
        number = json.loads((own / SIGN_MAP).read_text())
        answered = [1, 0]  # clips of one and two frames
        right = [number[sign] == answer for sign, answer in zip(spoilt.sign, answered, strict=True)]
        assert result.correct == sum(right) or column == "path"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    """Two small members blended, as shipped."""
    members = [toys.deberta(9, seed=1), toys.families()["llama"]]
    return Model(write_tflite(members, tmp_path_factory.mktemp("model") / "model.tflite").path)


@fuzzing(60)
@given(
    frames=st.sampled_from((0, 1, 2, 8, 9, 10, 60, 400)),
    seed=st.integers(0, 3),
    hits=hits_of(NUMBERS[:-1]),
)
@example(frames=5_000, seed=0, hits=[])
def test_any_numbers_get_a_finite_answer(model, frames, seed, hits):
    xyz = spoil(toys.raw_clip(frames, seed), hits)
    with case():
        answer = model(xyz).ravel()
        assert np.isfinite(answer).all() and len(answer) == toys.SIGNS
        assert abs(answer.sum() - 1) < 1e-3
