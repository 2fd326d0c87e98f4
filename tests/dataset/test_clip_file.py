"""One clip's file: read as pandas reads it, and refused for everything that could be wrong."""

from collections.abc import Callable
from errno import EACCES
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.common.errors import InputError
from src.dataset import clip_file
from src.dataset.clip_file import read_clip
from src.dataset.sample.writer import write_clip
from src.landmarks import HANDS, LEFT_HAND, N_LANDMARKS, RIGHT_HAND, undetected
from tests.fuzz.cases import case, fuzzing

FRAMES = 5
Edit = Callable[[pd.DataFrame], pd.DataFrame]


def make_xyz(frames: int = FRAMES) -> np.ndarray:
    rng = np.random.default_rng(0)
    xyz = rng.normal(0.5, 0.3, (frames, N_LANDMARKS, 3)).astype(np.float32)
    xyz[1:3, LEFT_HAND] = np.nan
    xyz[4:, RIGHT_HAND] = np.nan
    return xyz


@pytest.fixture
def clip(tmp_path) -> Path:
    write_clip(tmp_path / "clip.parquet", make_xyz(), first_frame=17)
    return tmp_path / "clip.parquet"


def write_edited(clip: Path, edit: Edit) -> Path:
    """The clip's table again, edited, beside it."""
    table = pa.Table.from_pandas(edit(pd.read_parquet(clip)), preserve_index=False)
    return write_table(clip, table)


def write_table(clip: Path, table: pa.Table, **options) -> Path:
    path = clip.with_name("edited.parquet")
    pq.write_table(table, path, **options)
    return path


# --- what is read -------------------------------------------------------------------------------


def test_reads_what_was_written_in_the_order_asked_for(clip):
    found = read_clip(clip)
    np.testing.assert_array_equal(found, make_xyz())
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_array_equal(read_clip(clip, HANDS[::-1]), make_xyz()[:, HANDS[::-1]])


@pytest.mark.reference
@pytest.mark.parametrize("name", ["asl_signs", "webcam34", "wlasl50"])
def test_reads_genuine_clips_as_pandas_does(reference, name):
    files = sorted(reference(name).glob("train_landmark_files/*/*.parquet"))
    for path in files[:: len(files) // 20]:
        table = pd.read_parquet(path)[["x", "y", "z"]].to_numpy(np.float32)
        expected = table.reshape(-1, N_LANDMARKS, 3)
        np.testing.assert_array_equal(read_clip(path), expected, err_msg=str(path))


def as_type(dtype: pa.DataType, *columns: str) -> Callable[[pa.Table], pa.Table]:
    return lambda t: t.cast(
        pa.schema([(field.name, dtype) if field.name in columns else field for field in t.schema])
    )


ACCEPTED = {
    "float32": as_type(pa.float32(), "x", "z"),
    "NaN, not null": lambda t: pa.table({name: t[name].to_numpy() for name in t.column_names}),
    "int32 index": as_type(pa.int32(), "landmark_index"),
    "int64 frame": as_type(pa.int64(), "frame"),
    "large strings": as_type(pa.large_string(), "type"),
    "dictionary": as_type(pa.dictionary(pa.int8(), pa.string()), "type"),
    "columns in another order": lambda t: t.select(t.column_names[::-1]),
    "no row_id": lambda t: t.drop_columns(["row_id"]),
    "one more column": lambda t: t.append_column("visibility", pa.array(np.ones(t.num_rows))),
}
WRITERS = {
    "row groups": {"row_group_size": 700},
    "snappy": {"compression": "snappy"},
    "not compressed, plain": {"compression": "none", "use_dictionary": False},
    "pages of version 2": {"data_page_version": "2.0"},
    "many pages": {"data_page_size": 512, "write_batch_size": 64},
    "no statistics": {"write_statistics": False},
}


@pytest.mark.parametrize("how", [*ACCEPTED, *WRITERS])
def test_other_types_and_other_writers_give_the_same(clip, how):
    table = ACCEPTED.get(how, lambda t: t)(pq.read_table(clip))
    path = write_table(clip, table, **WRITERS.get(how, {}))
    np.testing.assert_array_equal(read_clip(path), make_xyz())


def test_one_frame_and_no_landmark_at_all(tmp_path):
    write_clip(tmp_path / "clip.parquet", undetected(1))
    np.testing.assert_array_equal(read_clip(tmp_path / "clip.parquet"), undetected(1))


# --- irises -------------------------------------------------------------------------------------

MESH = 468  # points of the face in the competition's files; the irises follow them


def with_irises(table: pd.DataFrame) -> pd.DataFrame:
    """The table as MediaPipe's refined face gives it: ten points more after each face."""
    frames = []
    for number, frame in table.groupby("frame"):
        irises = frame.iloc[:10].assign(landmark_index=np.arange(MESH, MESH + 10, dtype=np.int16))
        irises = irises.assign(x=0.25, row_id=[f"{number}-face-{k}" for k in irises.landmark_index])
        frames.append(pd.concat([frame[:MESH], irises, frame[MESH:]]))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("landmarks", [None, (*HANDS[::-1], 0, MESH - 1)])
def test_irises_are_left_out(clip, landmarks):
    path = write_edited(clip, with_irises)
    assert len(pd.read_parquet(path)) == FRAMES * (N_LANDMARKS + 10)
    np.testing.assert_array_equal(read_clip(path, landmarks), read_clip(clip, landmarks))


# --- what is refused ----------------------------------------------------------------------------


def setting(row: int, column: str, value: object) -> Edit:
    return lambda t: t.assign(**{column: t[column].where(t.index != row, value)})


def swapped(start: int, middle: int, end: int) -> Edit:
    """The rows from `middle` to `end` before those from `start` to `middle`."""
    return lambda t: pd.concat([t[:start], t[middle:end], t[start:middle], t[end:]])


BROKEN = {
    "no x": (lambda t: t.drop(columns="x"), "expected one column 'x', found 0"),
    "no type": (lambda t: t.drop(columns="type"), "expected one column 'type', found 0"),
    "a row short": (lambda t: t[:-1], f"2714 = 5.00 x {N_LANDMARKS}"),
    "no rows": (lambda t: t[:0], "at least one frame, found none"),
    "two rows swapped": (swapped(3, 4, 5), "expected landmark_index 3 in row 3, found 4"),
    "parts swapped": (swapped(468, 489, 522), "expected type left_hand in row 468, found pose"),
    "unknown part": (setting(700, "type", "Face"), "expected type face in row 700, found Face"),
    "frame changes within": (setting(600, "frame", 19), "expected frame 18 in row 600, found 19"),
    "frames swapped": (
        swapped(0, N_LANDMARKS, 2 * N_LANDMARKS),
        f"ascending order, found frame 17 after 18 at row {N_LANDMARKS}; sort the file this way",
    ),
    # To sort a file in which rows come twice, or whose parts have other names, does not help.
    "frame twice": (
        lambda t: pd.concat([t[:N_LANDMARKS], t]),
        f"found frame 17 after 17 at row {N_LANDMARKS}; remove the rows that come twice",
    ),
    "every row twice": (lambda t: t.loc[t.index.repeat(2)], "remove the rows that come twice"),
    "parts in capitals": (lambda t: t.assign(type=t.type.str.upper()), "name the parts this way"),
    "text for numbers": (lambda t: t.assign(y=t.y.astype(str)), "'y' to be float or double"),
    "frames not whole": (
        lambda t: t.assign(frame=t.frame * 0.5),
        "found double; write it as int16, 32 or",
    ),
    "index in int8": (lambda t: t.astype({"landmark_index": "int8"}), "_index' to be int16, 32"),
    "types are numbers": (lambda t: t.assign(type=1), "'type' to be string"),
    "no frame number": (
        lambda t: t.assign(frame=t.frame.astype("Int16").mask(t.index == 9)),
        "no null in 'frame', found 1;",
    ),
    "no type given": (setting(9, "type", None), "no null in 'type', found 1;"),
    "infinite": (setting(11, "x", np.inf), "found x = inf in row 11"),
    "beyond float16": (setting(11, "y", -65_600.0), "found y = -65600.0 in row 11"),
    "x without y": (setting(12, "y", np.nan), "all of x, y, z or none, found only some in row 12"),
    "no z alone": (setting(12, "z", np.nan), "found only some in row 12"),
    "irises after the hand": (
        lambda t: swapped(MESH, MESH + 10, MESH + 31)(with_irises(t)),
        "expected type face in row 468, found left_hand; every frame must be 553 rows in the "
        "order face 478, left_hand 21, pose 33, right_hand 21",
    ),
    "an iris lacks": (
        lambda t: with_irises(t).drop(index=469),
        "expected 553 rows a frame and at least one frame, found",
    ),
    "an infinite iris": (lambda t: setting(469, "x", np.inf)(with_irises(t)), "x = inf in row 469"),
}


@pytest.mark.parametrize(("edit", "message"), BROKEN.values(), ids=BROKEN)
def test_refuses(clip, edit, message):
    path = write_edited(clip, edit)
    with pytest.raises(InputError) as error:
        read_clip(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "; " in str(error.value), "it must say what to do"


def test_refuses_a_column_that_comes_twice(clip):
    table = pq.read_table(clip)
    path = write_table(clip, table.append_column("x", table.column("y")))
    with pytest.raises(InputError, match="expected one column 'x', found 2"):
        read_clip(path)


def test_a_clip_that_may_not_be_read_is_not_to_be_fetched_again(clip, monkeypatch):
    denied = Mock(side_effect=PermissionError(EACCES, "Permission denied"))
    monkeypatch.setattr(clip_file, "open", denied, raising=False)
    with pytest.raises(InputError, match="a clip to read, found Permission denied; change its"):
        read_clip(clip)


@pytest.mark.parametrize("content", [b"", b"PAR1" + bytes(40) + b"PAR1", b"x,y\n1,2", None])
def test_refuses_what_is_no_parquet_file(tmp_path, content):
    path = tmp_path / "clip.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"clip\.parquet: expected a whole parquet file"):
        read_clip(path)


PLACE = st.floats(0, 1, exclude_max=True)


@fuzzing(250)
@given(
    hits=st.lists(st.tuples(PLACE, st.integers(0, 255)), max_size=8),
    tail=st.booleans(),
    cut=st.none() | PLACE,
)
def test_damaged_bytes_give_an_error_or_a_finite_clip(clip, hits, tail, cut):
    """Coordinates carry no checksum, so damage there can go unseen; but never as infinity."""
    data = bytearray(clip.read_bytes())
    start = len(data) - 3000 if tail else 0  # the file's own description is at its end
    for place, value in hits:
        data[start + int(place * (len(data) - start))] = value
    path = clip.with_name("damaged.parquet")
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    with case(path):
        xyz = read_clip(path)
        assert cut is None
        assert xyz.shape[1:] == (N_LANDMARKS, 3) and len(xyz) > 0
        missing = np.isnan(xyz)
        assert not np.isinf(xyz).any() and (missing.all(2) == missing.any(2)).all()
