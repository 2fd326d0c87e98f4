"""One clip's parquet file: read, checked whole, returned as an array.

A row per landmark, 543 rows a frame: frame, row_id, type, landmark_index, x, y, z.

- The columns that only say which row is which (frame, type, landmark_index) are the same bytes in
  all clips of one length, first frame and writer, so they are decoded once and recognised
  afterwards: a quarter of the reading time saved. `row_id` says the same once more and is never
  read.
- Parquet has two ways to say "not detected", null and NaN; both become NaN.

Letters: **T** frames, **N** landmarks asked for (all 543, unless told otherwise).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from src.common.errors import InputError
from src.landmarks import N_LANDMARKS, PARTS

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
        landmarks: the landmarks to return, in this order; None = all 543. All are checked in any
            case; choosing here is cheaper than choosing from the result.

    Returns:
        (T, N, 3) float32 in C order, image units, x right, y down; NaN = not detected.

    Raises:
        InputError: unreadable or truncated, a column is missing or of another type, no rows, rows
            that are not whole frames in the documented order, a coordinate that is infinite or
            beyond float16, or a landmark with only some of its coordinates.
    """
    try:
        return _read_clip(path, landmarks)
    except InputError:
        raise
    except (OSError, pa.ArrowException, ValueError, MemoryError, EOFError) as error:
        raise InputError(
            f"{path}: expected a whole parquet file, found: {_one_line(error)}; {_FETCH_AGAIN}"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _read_clip(path: str | Path, landmarks: Sequence[int] | None) -> np.ndarray:
    # Read into memory first: of a mapped file that shrinks meanwhile, the process would die.
    with open(path, "rb", buffering=0) as raw:
        data = raw.read()
    file = _open(path, data)
    _check_columns(path, file)
    rows = file.metadata.num_rows
    if rows == 0 or rows % N_LANDMARKS:
        found = "none" if rows == 0 else f"{rows} = {rows / N_LANDMARKS:.2f} x {N_LANDMARKS}"
        raise InputError(
            f"{path}: expected {N_LANDMARKS} rows a frame and at least one frame, found {found}; "
            f"{_FETCH_AGAIN}"
        )
    unknown = _unknown_columns(data, rows)
    table = file.read(columns=[*COORDINATES, *unknown], use_threads=False)
    for name in unknown:
        _check_rows(path, name, table.column(name))
        _remember(name, file, data)
    columns = [_Column.of(table.column(name)) for name in COORDINATES]
    seen = _check_coordinates(path, columns).reshape(-1, N_LANDMARKS)
    values = [column.values.reshape(-1, N_LANDMARKS) for column in columns]
    if landmarks is not None:
        picked = _picked(tuple(landmarks))
        seen, values = seen.take(picked, axis=1), [v.take(picked, axis=1) for v in values]
    xyz = np.empty((*seen.shape, 3), np.float32)
    for k, value in enumerate(values):
        xyz[:, :, k] = value
    xyz.reshape(-1, 3)[np.flatnonzero(~seen)] = np.nan
    return xyz


@cache
def _picked(landmarks: tuple[int, ...]) -> np.ndarray:
    return np.array(landmarks, np.intp)


def _open(path: str | Path, data: bytes) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(data), read_dictionary=["type"], pre_buffer=False)
    except KeyError as error:  # pyarrow's word for a read_dictionary column that is not there
        raise InputError(f"{path}: expected one column 'type', found 0; {_FETCH_AGAIN}") from error


# The last that passed; the clips of a folder have one or two.
_good_schemas: deque[pq.ParquetSchema] = deque(maxlen=8)


def _check_columns(path: str | Path, file: pq.ParquetFile) -> None:
    """Each column is there once, with a type that can hold what it should."""
    if file.schema in _good_schemas:
        return
    schema = file.schema_arrow
    for name in COLUMNS:
        fields = schema.get_all_field_indices(name)
        if len(fields) != 1:
            raise InputError(
                f"{path}: expected one column {name!r}, found {len(fields)} (there are "
                f"{', '.join(schema.names)}); {_FETCH_AGAIN}"
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
            raise InputError(
                f"{path}: expected column {name!r} to be {expected}, found {kind}; {_FETCH_AGAIN}"
            )
    _good_schemas.append(file.schema)


# --- which row is which -------------------------------------------------------------------------

_PART_OF_ROW = list(chain.from_iterable([part] * size for part, size in PARTS.items()))
_INDEX_OF_ROW = np.concatenate([np.arange(size) for size in PARTS.values()])
# Column and number of rows -> the bytes of such columns that were decoded and found right, most
# recent last: of type and landmark_index one per writer, of frame one per first frame as well.
_known: dict[tuple[str, int], deque[bytes]] = defaultdict(lambda: deque(maxlen=128))
_MAGIC = 4  # bytes before the first column


def _unknown_columns(data: bytes, rows: int) -> list[str]:
    """The row columns whose bytes have not been met in another file of so many rows.

    A file that holds the very bytes of a right column was written in the right order. They are
    searched for, not looked up at the offsets in the file's own description: pyarrow 26 kills the
    process when it is asked for the offsets of a column whose description is damaged.
    """
    unknown = []
    for name in ROW_COLUMNS:
        # The frame column begins the file, or else is decoded every time: its many variants
        # differ too late to be searched for quickly. Of the others the beginning is searched for.
        starts = (_MAGIC if name == "frame" else data.find(c[:64]) for c in _known[name, rows])
        if not any(map(data.startswith, _known[name, rows], starts)):
            unknown.append(name)
    return unknown


def _remember(name: str, file: pq.ParquetFile, data: bytes) -> None:
    """Keep a checked column's bytes. Only safe after the column could be read."""
    if file.num_row_groups > 1:
        return
    chunk = file.metadata.row_group(0).column(file.schema.names.index(name))
    start = chunk.data_page_offset
    if chunk.has_dictionary_page:
        start = min(start, chunk.dictionary_page_offset)
    chunk_bytes = data[start : start + chunk.total_compressed_size]
    _known[name, file.metadata.num_rows].append(chunk_bytes)


def _check_rows(path: str | Path, name: str, column: pa.ChunkedArray) -> None:
    """What one of the row columns says about every row is what must be there."""
    if column.null_count:
        raise InputError(f"{path}: expected no null in {name!r}; {_FETCH_AGAIN}")
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    match name:
        case "frame":
            _check_frame(path, array.to_numpy())
        case "type":
            _check_type(path, array)
        case "landmark_index":
            found = array.to_numpy().reshape(-1, N_LANDMARKS)
            _check_equal(path, name, found, _INDEX_OF_ROW.astype(found.dtype))


def _check_frame(path: str | Path, frame: np.ndarray) -> None:
    """Every 543 rows are one frame, and frames ascend."""
    first = frame[::N_LANDMARKS]
    ascend = first[1:] > first[:-1]
    # Twice as fast as to compare each row with its frame's first: look where the number changes.
    changes = np.flatnonzero(frame[1:] != frame[:-1]) + 1
    starts = np.arange(N_LANDMARKS, len(frame), N_LANDMARKS)
    if ascend.all() and np.array_equal(changes, starts):
        return
    by_frame = frame.reshape(-1, N_LANDMARKS)
    _check_equal(path, "frame", by_frame, by_frame[:, :1])
    k = int(np.argmin(ascend))
    raise InputError(
        f"{path}: expected frames in ascending order, found frame {first[k + 1]} after "
        f"{first[k]} at row {(k + 1) * N_LANDMARKS}; sort the file by frame"
    )


def _check_type(path: str | Path, types: pa.DictionaryArray) -> None:
    """Compare dictionary numbers, never 543 x T strings."""
    types.validate(full=True)  # of a damaged file, numbers may point beyond the dictionary
    words = types.dictionary.to_pylist()
    if len(set(words)) < len(words):  # allowed, if odd: a word under two numbers
        types = types.cast(pa.string()).dictionary_encode()
        words = types.dictionary.to_pylist()
    number = {word: k for k, word in enumerate(words)}
    found = types.indices.to_numpy().reshape(-1, N_LANDMARKS)
    expected = np.array([number.get(part, -1) for part in _PART_OF_ROW], found.dtype)
    _check_equal(path, "type", found, expected, names=words)


def _check_equal(
    path: str | Path,
    column: str,
    found: np.ndarray,
    expected: np.ndarray,
    names: Sequence[str] | None = None,
) -> None:
    """Found (T, 543) equals expected, which broadcasts to it; names tell what the numbers mean."""
    if (found == expected).all():
        return
    row = int(np.argmax(found != expected))
    at = np.unravel_index(row, found.shape)
    want, have = np.broadcast_to(expected, found.shape)[at], found[at]
    if names is not None:
        want, have = _PART_OF_ROW[row % N_LANDMARKS], names[have]
    order = ", ".join(f"{part} {size}" for part, size in PARTS.items())
    raise InputError(
        f"{path}: expected {column} {want} in row {row}, found {have}; every frame must be "
        f"{N_LANDMARKS} rows in the order {order}, each part counted from 0: sort the file so"
    )


# --- coordinates --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """One coordinate of every row."""

    values: np.ndarray  # (rows,) float; anything where null
    validity: pa.Buffer | None  # a bit per row, 0 = null; None = no null
    low: float  # least and greatest value, NaN if there is one
    high: float

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Column:
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        assert array.offset == 0, "a column just read starts at its buffer's start"
        validity, buffer = array.buffers()
        values = np.frombuffer(buffer, array.type.to_pandas_dtype(), len(array))
        if array.null_count == 0:
            validity = None
        return cls(values, validity, float(values.min()), float(values.max()))

    @cached_property
    def seen(self) -> np.ndarray:
        """(rows,) bool, False = null or NaN."""
        if self.validity is None:
            seen = np.ones(len(self.values), bool)
        else:
            bits = np.frombuffer(self.validity, np.uint8)
            seen = np.unpackbits(bits, bitorder="little", count=len(self.values)).view(bool)
        # What stands behind a null is undefined: it may be NaN, and then changes nothing here.
        return seen & ~np.isnan(self.values) if np.isnan(self.low) else seen

    def same_seen(self, other: _Column) -> bool:
        """True where both have a value in the same rows; most often decided by the bits alone."""
        no_nan = not (np.isnan(self.low) or np.isnan(other.low))
        if no_nan and self.validity and other.validity and self.validity.equals(other.validity):
            return True
        return np.array_equal(self.seen, other.seen)


def _check_coordinates(path: str | Path, columns: list[_Column]) -> np.ndarray:
    """All three coordinates are there or none, and fit float16. Returns (rows,), True = seen."""
    for name, column in zip(COORDINATES, columns, strict=True):
        if not column.same_seen(columns[0]):
            row = int(np.argmax(column.seen != columns[0].seen))
            raise InputError(
                f"{path}: expected a landmark to have all of x, y, z or none, found only some in "
                f"row {row}; {_FETCH_AGAIN}"
            )
        # The cheap look takes undefined values along: only if it fails, leave them out.
        if column.low >= -LARGEST and column.high <= LARGEST:
            continue
        wrong = column.seen & ~(np.abs(column.values) <= LARGEST)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{path}: expected coordinates in image units, at most {LARGEST:.0f} in size, "
                f"found {name} = {column.values[row]} in row {row}; {_FETCH_AGAIN}"
            )
    return columns[0].seen
