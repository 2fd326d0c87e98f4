"""A clip's table, spoilt in every way that a download, a script or a foreign tool can spoil it."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from src.landmarks import N_LANDMARKS, PARTS

Edit = Callable[[pd.DataFrame], pd.DataFrame]

LARGEST = 65_504.0  # of float16, in which the store keeps coordinates
NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 65_504.0, 65_520.0, 0.0, -0.0, 1e-45, 1e308)
KINDS = ("int8", "int32", "int64", "float32", "float64", "str", "bool", "object")
COORDINATES = ("x", "y", "z")
COLUMNS = ("frame", "row_id", "type", "landmark_index", *COORDINATES)
_TYPES = np.repeat([*PARTS], [*PARTS.values()])
_INDICES = np.concatenate([np.arange(size) for size in PARTS.values()])


def make_table(frames: int, seed: int = 0) -> pd.DataFrame:
    """A whole clip as Kaggle ships it, a hand lost in its second frame."""
    rng = np.random.default_rng((seed, frames))
    table = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(frames, dtype=np.int16) + 3, N_LANDMARKS),
            "type": np.tile(_TYPES, frames),
            "landmark_index": np.tile(_INDICES, frames).astype(np.int16),
        }
    )
    table.insert(1, "row_id", table.frame.astype(str) + "-" + table.type)
    for name in COORDINATES:
        table[name] = rng.normal(0.5, 0.2, len(table))
    table.loc[(table.frame == 4) & (table.type == "left_hand"), list(COORDINATES)] = np.nan
    return table


def _set(column: str, row: int, value: object) -> Edit:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        if column in table and table.columns.is_unique and len(table):
            values = table[column].astype(object).to_numpy(copy=True)
            values[row % len(table)] = value
            kind = table[column].dtype
            fits = isinstance(value, float) and kind.kind == "f"
            table = table.assign(**{column: values.astype(kind) if fits else values})
        return table

    return edit


def _cast(column: str, kind: str) -> Edit:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        try:
            return table.assign(**{column: table[column].astype(kind)})
        except (KeyError, ValueError, TypeError):  # pandas knows no such cast
            return table

    return edit


def _missing(row: int, columns: tuple[str, ...]) -> Edit:
    def edit(table: pd.DataFrame) -> pd.DataFrame:
        for name in columns:
            table = _set(name, row, np.nan)(table)
        return table

    return edit


def _edits() -> st.SearchStrategy[Edit]:
    row = st.integers(0, 4 * N_LANDMARKS)
    column, coordinate = st.sampled_from(COLUMNS), st.sampled_from(COORDINATES)
    return st.one_of(
        st.builds(lambda n: lambda t: t.iloc[:n], row),
        st.builds(lambda n: lambda t: t.iloc[: n * N_LANDMARKS], st.integers(0, 3)),
        st.builds(lambda s: lambda t: t.sample(frac=1, random_state=s), st.integers(0, 9)),
        st.builds(lambda k: lambda t: pd.concat([t, t.iloc[k : k + 1]]), row),
        st.just(lambda t: pd.concat([t, t])),
        st.just(lambda t: t.iloc[::-1]),
        st.builds(lambda c: lambda t: t.drop(columns=c, errors="ignore"), column),
        st.builds(lambda c, d: lambda t: t.rename(columns={c: d}), column, column),
        st.builds(lambda c: lambda t: t[[*t.columns.drop(c, errors="ignore")]].assign(q=1), column),
        st.just(lambda t: t[[*t.columns[::-1]]]),
        st.builds(_cast, column, st.sampled_from(KINDS)),
        st.builds(_set, coordinate, row, st.sampled_from(NUMBERS)),
        st.builds(_set, column, row, st.sampled_from((None, 7, "face", "", "\x00", True))),
        st.builds(_missing, row, st.just(COORDINATES)),
        st.builds(_missing, row, st.sampled_from((("x",), ("y", "z")))),
        st.builds(lambda c, v: lambda t: t.assign(**{c: v}), column, st.sampled_from(NUMBERS)),
        st.just(lambda t: pd.DataFrame({"x": ["a"], "y": ["b"], "z": ["c"]})),
        st.just(lambda t: t.set_index("row_id") if "row_id" in t else t),
    )


EDITS = st.lists(_edits(), min_size=0, max_size=2)


def expected(table: pd.DataFrame) -> np.ndarray | None:
    """What a clip's table says, (T, N_LANDMARKS, 3) float32; None where it must be refused: the
    plain rules again, one after the other, on a table as pandas has it."""
    if table.columns.duplicated().any() or not {*COLUMNS} - {"row_id"} <= {*table.columns}:
        return None
    if any(table[name].dtype not in (np.float32, np.float64) for name in COORDINATES):
        return None
    if any(
        table[n].dtype not in (np.int16, np.int32, np.int64) for n in ("frame", "landmark_index")
    ):
        return None
    frames, rest = divmod(len(table), N_LANDMARKS)
    if rest or not frames:
        return None
    frame = table.frame.to_numpy().reshape(frames, N_LANDMARKS)
    ordered = (frame == frame[:, :1]).all() and (np.diff(frame[:, 0].astype(int)) > 0).all()
    rows = [*table.type] == [*_TYPES] * frames
    if not (ordered and rows and (table.landmark_index == np.tile(_INDICES, frames)).all()):
        return None
    xyz = table[[*COORDINATES]].to_numpy(np.float64)
    missing = np.isnan(xyz)
    if (missing.any(1) != missing.all(1)).any() or (np.abs(xyz[~missing]) > LARGEST).any():
        return None
    return xyz.astype(np.float32).reshape(frames, N_LANDMARKS, 3)


# --- numbers ------------------------------------------------------------------------------------

PLACES = {  # of (frames, landmarks, 3)
    "one number": lambda x, k: np.s_[k % len(x), k % x.shape[1], k % 3],
    "a frame": lambda x, k: np.s_[k % len(x)],
    "the first frames": lambda x, k: np.s_[: 1 + k % 40],
    "a coordinate": lambda x, k: np.s_[..., k % 3],
    "a landmark": lambda x, k: np.s_[:, k % x.shape[1]],
    "the first landmarks": lambda x, k: np.s_[:, : k % x.shape[1]],
    "everything": lambda x, k: np.s_[...],
}


def hits_of(values: tuple[float, ...]) -> st.SearchStrategy:
    """Up to three places of an array and the values that they get."""
    places, numbers = st.sampled_from([*PLACES]), st.integers(0, 10_000)
    return st.lists(st.tuples(places, numbers, st.sampled_from(values)), max_size=3)


def spoil(x: np.ndarray, hits: list[tuple[str, int, float]]) -> np.ndarray:
    for place, k, value in hits if len(x) else ():
        x[PLACES[place](x, k)] = value
    return x
