"""Spoilt clips: read exactly as the plain rules say, or refused; never anything between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from src.common.errors import InputError
from src.dataset.clip_file import read_clip
from tests.fuzz.cases import case, fuzzing
from tests.fuzz.tables import EDITS, expected, make_table


def write_edited(folder: Path, frames: int, edits: list) -> Path:
    """The spoilt table as a file; what no writer can write is no case."""
    table = make_table(frames)
    try:
        for edit in edits:
            table = edit(table)
        table.to_parquet(folder / "clip.parquet")
    except (pa.ArrowException, ValueError, TypeError, KeyError, pd.errors.IndexingError):
        assume(False)
    return folder / "clip.parquet"


@fuzzing(80)
@given(frames=st.integers(0, 3), edits=EDITS)
def test_a_spoilt_clip_is_read_as_it_is_or_refused(tmp_path, frames, edits):
    path = write_edited(tmp_path, frames, edits)
    right = expected(pq.read_table(path).to_pandas(ignore_metadata=True))
    with case("clip file", str(path)):
        try:
            xyz = read_clip(path)
        except InputError:
            assert right is None
            raise
        assert right is not None
        np.testing.assert_array_equal(xyz, right)


def test_five_thousand_frames_are_read_and_one_wrong_row_among_them_is_found(tmp_path):
    table = make_table(5_000).drop(columns="row_id")  # never read
    path = tmp_path / "clip.parquet"
    table.to_parquet(path)
    assert read_clip(path, range(4)).shape == (5_000, 4, 3)
    table.loc[2_000_000, "y"] = np.inf
    table.to_parquet(path)
    with pytest.raises(InputError, match="found y = inf in row 2000000"):
        read_clip(path)
