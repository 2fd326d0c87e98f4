"""One clip's parquet file: read, checked whole, returned as an array.

A row per landmark and frame, with the columns frame, row_id, type, landmark_index, x, y, z; row_id
repeats frame, type and landmark_index, and is not read.

- A file with irises has more rows per frame. These are checked like the others, then left out.
- Parquet has two ways to say "not detected", null and NaN; both become NaN.

Letters: **T** frames, **R** rows of a frame in the file, **N** landmarks that are returned.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from src.common.errors import InputError
from src.landmarks import FrameRows, rows_of_file

COORDINATES = ("x", "y", "z")
ROW_COLUMNS = ("frame", "type", "landmark_index")  # they say which row is which
COLUMNS = (*ROW_COLUMNS, *COORDINATES)
LARGEST = float(np.finfo(np.float16).max)  # 65504; the store keeps float16

_FETCH_AGAIN = "fetch the file again, or leave its row out of train.csv"


def read_clip(
    path: str | Path, landmarks: Sequence[int] | None = None
) -> Float[np.ndarray, "T N 3"]:
    """Read one clip and check all of it.

    Args:
        path: a parquet file of the competition's format. Coordinates may be float32 or float64,
            frame and landmark_index int16, 32 or 64, type any kind of string.
        landmarks: the landmarks to return, in this order; None = all. All are always checked.

    Returns:
        (T, N, 3) float32 in C order, image units, x right, y down; NaN = not detected.

    Raises:
        InputError: the file is unreadable or truncated; a column is missing or of another type;
            there are no rows, or not whole frames in the documented order; a coordinate is
            infinite or beyond float16; a landmark has only some of its coordinates.
    """
    try:
        return _read_clip(path, landmarks)
    except _Fault as fault:
        raise InputError(f"{path}: {fault}") from None
    except PermissionError as error:
        raise InputError(
            f"{path}: expected a clip to read, found {error.strerror}; change its permissions"
        ) from error
    except (OSError, pa.ArrowException, ValueError, MemoryError, EOFError) as error:
        found = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(
            f"{path}: expected a whole parquet file, found: {found}; {_FETCH_AGAIN}"
        ) from error


class _Fault(Exception):
    """What is wrong with a clip, in the words of the InputError that `read_clip` makes of it."""


def note_of(path: Path) -> str:
    """The note that `write_clip` left in a clip's file; empty if there is no note, or no file."""
    try:
        return (pq.read_schema(path).metadata or {}).get(b"note", b"").decode()
    except (OSError, ValueError):  # pyarrow raises ValueErrors for damaged files
        return ""


def footer_of(path: str | Path) -> bytes:
    """The end of a parquet file, which has the least and largest value of every column.

    So it differs where a clip was replaced by another of the same size, and is read in no time. Of
    a damaged file it is any end.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        length = int.from_bytes(file.read(4), "little")  # 4 bytes, then the word PAR1
        file.seek(max(size - 8 - length, 0))
        return file.read()


def _read_clip(path: str | Path, landmarks: Sequence[int] | None) -> np.ndarray:
    # Read into memory first: if a mapped file shrank meanwhile, the process would die.
    with open(path, "rb", buffering=0) as raw:
        data = raw.read()
    try:
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=["type"], pre_buffer=False)
    except KeyError as error:  # how pyarrow reports a missing read_dictionary column
        raise _Fault(f"expected one column 'type', found 0; {_FETCH_AGAIN}") from error
    _check_columns(file.schema_arrow)
    table = file.read(columns=COLUMNS, use_threads=False).combine_chunks()
    rows = _checked_rows(table)
    values = _checked_coordinates(table)

    chosen = rows.landmarks if landmarks is None else rows.landmarks[list(landmarks)]
    xyz = np.empty((len(table) // len(rows), len(chosen), 3), np.float32)
    for k, value in enumerate(values):
        xyz[:, :, k] = value.reshape(-1, len(rows)).take(chosen, axis=1)
    return xyz


def _check_columns(schema: pa.Schema) -> None:
    """Check that each column is there once, with a type that can hold its values."""
    for name in COLUMNS:
        fields = schema.get_all_field_indices(name)
        if len(fields) != 1:
            there = ", ".join(schema.names)
            raise _Fault(
                f"expected one column {name!r}, found {len(fields)} (there are {there}); "
                f"{_FETCH_AGAIN}"
            )
        kind = schema.field(fields[0]).type
        if name in COORDINATES:
            fits, expected = kind in (pa.float32(), pa.float64()), "float or double"
        elif name == "type":
            text = kind.value_type if pa.types.is_dictionary(kind) else kind
            fits, expected = pa.types.is_string(text) or pa.types.is_large_string(text), "string"
        else:
            fits, expected = kind in (pa.int16(), pa.int32(), pa.int64()), "int16, 32 or 64"
        if not fits:
            raise _Fault(
                f"expected column {name!r} to be {expected}, found {kind}; write it as "
                f"{expected}, or {_FETCH_AGAIN}"
            )


# --- which row is which -------------------------------------------------------------------------


def _checked_rows(table: pa.Table) -> FrameRows:
    """Check frame, type and landmark_index of every row; returns the rows of a frame."""
    for name in ROW_COLUMNS:
        if found := table.column(name).null_count:
            raise _Fault(f"expected no null in {name!r}, found {found}; {_FETCH_AGAIN}")
    index = table.column("landmark_index").to_numpy()
    rows, n = rows_of_file(int(index.max(initial=0))), len(index)
    if n == 0 or n % len(rows):
        found = "none" if n == 0 else f"{n} = {n / len(rows):.2f} x {len(rows)}"
        raise _Fault(
            f"expected {len(rows)} rows a frame and at least one frame, found {found}; "
            f"{_FETCH_AGAIN}"
        )

    # Compare the words' numbers in the file's dictionary: that is faster than comparing words.
    types = table.column("type").chunk(0)
    words = types.dictionary.to_pylist()
    numbers = [words.index(part) if part in words else -1 for part in rows.parts]
    expected = np.repeat(numbers, [*rows.parts.values()])
    _check_order(table, "type", types.indices.to_numpy(), expected, rows)
    _check_order(table, "landmark_index", index, rows.index, rows)

    frame = table.column("frame").to_numpy()
    first = frame[:: len(rows)]
    _check_order(table, "frame", frame, first[:, None], rows)
    ascend = first[1:] > first[:-1]
    if not ascend.all():
        k = int(np.argmin(ascend))
        raise _Fault(
            f"expected frames in ascending order, found frame {first[k + 1]} after {first[k]} at "
            f"row {(k + 1) * len(rows)}; {_way_out(table, rows)}"
        )
    return rows


def _check_order(
    table: pa.Table, column: str, found: np.ndarray, expected: np.ndarray, rows: FrameRows
) -> None:
    """Check `found`, (T * R,): `expected` has a value per row, (R,), or per frame, (T, 1)."""
    wrong = found.reshape(-1, len(rows)) != expected
    if not wrong.any():
        return
    table.validate(full=True)  # numbers of a damaged file may point beyond the dictionary
    row = int(np.argmax(wrong))
    if column == "type":
        want = rows.types[row % len(rows)]
    else:
        want = np.broadcast_to(expected, wrong.shape).flat[row]
    order = ", ".join(f"{part} {size}" for part, size in rows.parts.items())
    raise _Fault(
        f"expected {column} {want} in row {row}, found {table.column(column)[row]}; every frame "
        f"must be {len(rows)} rows in the order {order}, each part counted from 0: "
        f"{_way_out(table, rows)}"
    )


def _way_out(table: pa.Table, rows: FrameRows) -> str:
    """What to do with a file whose rows are not in order."""
    which = table.select(ROW_COLUMNS).to_pandas()
    if not which.type.isin([*rows.parts]).all():
        return "name the parts this way"
    if which.duplicated().any():
        return "remove the rows that come twice"
    return "sort the file this way, frame by frame"


# --- coordinates --------------------------------------------------------------------------------


def _checked_coordinates(table: pa.Table) -> list[np.ndarray]:
    """x, y, z of every row, NaN = not detected: all three or none, in the range of float16."""
    values = [table.column(name).to_numpy() for name in COORDINATES]  # null becomes NaN
    missing = [np.isnan(value) for value in values]
    some = (missing[0] != missing[1]) | (missing[0] != missing[2])
    if some.any():
        raise _Fault(
            "expected a landmark to have all of x, y, z or none, found only some in row "
            f"{int(np.argmax(some))}; {_FETCH_AGAIN}"
        )
    for name, value in zip(COORDINATES, values, strict=True):
        wrong = np.abs(value) > LARGEST
        if wrong.any():
            row = int(np.argmax(wrong))
            raise _Fault(
                f"expected coordinates in image units, at most {LARGEST:.0f} in size, found "
                f"{name} = {value[row]} in row {row}; {_FETCH_AGAIN}"
            )
    return values
