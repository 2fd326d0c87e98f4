"""Writes a synthetic competition folder, true to the genuine one's format to the last column type.

- A clip depends on the seed, the lexicon, its sign, its signer and its number alone: not on how
  many others are made, nor on how many processes make them.
- The folder is written under another name and renamed when it is whole; `sample.json`, the one file
  that a genuine folder does not have, says what it was made from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from tqdm.auto import tqdm

from src.common.errors import InputError
from src.common.files import locked, write_json
from src.common.paths import SIGN_MAP
from src.dataset.sample.camera import detected, moved, picture
from src.dataset.sample.lexicon import Sign, draw_lexicon
from src.dataset.sample.performance import perform
from src.dataset.sample.signers import Signer, draw_signers
from src.landmarks import N_LANDMARKS, PARTS

FORMAT = 1  # raise it when the same arguments give other clips
NOTE = "sample.json"
_LIMITS = {"signs": 5_000, "participants": 9_000, "clips": 100, "seed": 2**31}
_LATEST_START = 100  # genuine clips are cut from longer videos: their frames begin anywhere


@dataclass(frozen=True)
class _Made:
    """What a folder is made from."""

    signs: int
    participants: int
    clips: int
    seed: int
    format: int = FORMAT


def write_sample(
    folder: Path,
    signs: int = 25,
    participants: int = 12,
    clips: int = 4,
    seed: int = 0,
    workers: int = 1,
) -> Path:
    """Write a synthetic competition folder, unless the same one is there already.

    Args:
        folder: the name it gets; a folder made from other arguments is not overwritten.
        signs: number of signs.
        participants: number of signers; about a third is left-handed.
        clips: per sign and participant.
        seed: of everything; the same arguments give the same coordinates, bit for bit.
        workers: processes.

    Returns:
        The folder.

    Raises:
        InputError: a number is out of range, or there is something else under that name.
    """
    folder = Path(folder)
    made = _Made(signs, participants, clips, seed)
    _check(made)
    if _is_there(folder, made):
        return folder
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with locked(unfinished, "writes this sample"):
        _write(unfinished, made, workers)
        write_json(unfinished / NOTE, asdict(made))
        (unfinished / ".lock").unlink()
        os.replace(unfinished, folder)
    return folder


def _check(made: _Made) -> None:
    for name, limit in _LIMITS.items():
        least, value = int(name != "seed"), getattr(made, name)
        if not least <= value <= limit:
            raise InputError(f"sample: expected {name} from {least} to {limit}, found {value}")


def _is_there(folder: Path, made: _Made) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    note = folder / NOTE
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = "something else"
    if found != asdict(made):
        raise InputError(
            f"{folder}: expected nothing here, or the sample of {asdict(made)}, found {found}; "
            "choose another folder, or delete this one"
        )
    return True


def _write(folder: Path, made: _Made, workers: int) -> None:
    shutil.rmtree(folder / _FILES, ignore_errors=True)  # what a killed run has left
    lexicon = draw_lexicon(made.signs, made.seed)
    signers = draw_signers(made.participants, made.seed)
    one_signer = partial(_write_signer, folder, lexicon, made.clips, made.seed)
    rows: list[dict] = []
    with tqdm(total=len(signers), unit="signer", desc="sample", disable=None) as bar:
        if workers <= 1:
            tables = map(one_signer, range(len(signers)), signers)
            rows += _collect(tables, bar)
        else:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                rows += _collect(pool.map(one_signer, range(len(signers)), signers), bar)
    # The competition's rows are in no order either; a reader must not rely on one.
    order = np.random.default_rng([made.seed, 3]).permutation(len(rows))
    pd.DataFrame([rows[k] for k in order]).to_csv(folder / "train.csv", index=False)
    write_json(folder / SIGN_MAP, {sign.name: label for label, sign in enumerate(lexicon)})


def _collect(tables: Iterable[list[dict]], bar: tqdm) -> list[dict]:
    rows = []
    for table in tables:
        rows += table
        bar.update()
    return rows


# --- clips --------------------------------------------------------------------------------------

_FILES = "train_landmark_files"


def _write_signer(
    folder: Path, lexicon: tuple[Sign, ...], clips: int, seed: int, number: int, signer: Signer
) -> list[dict]:
    """Write all clips of one signer. Returns their rows of train.csv."""
    (folder / _FILES / signer.name).mkdir(parents=True, exist_ok=True)
    rows = []
    for label, clip in product(range(len(lexicon)), range(clips)):
        sequence = str(1_000_000_000 + (number * len(lexicon) + label) * clips + clip)
        path = f"{_FILES}/{signer.name}/{sequence}.parquet"
        rng = np.random.default_rng([seed, 2, label, number, clip])
        xyz = record(lexicon[label], signer, rng)
        write_clip(folder / path, xyz, first_frame=int(rng.integers(_LATEST_START)))
        row = (path, signer.name, sequence, lexicon[label].name)
        rows.append(dict(zip(("path", "participant_id", "sequence_id", "sign"), row, strict=True)))
    return rows


def record(sign: Sign, signer: Signer, rng: np.random.Generator) -> Float[np.ndarray, "T 543 3"]:
    """One clip: float32, image units, x right, y down; NaN = not detected."""
    body = perform(sign, signer, rng)
    xyz = picture(body, moved(signer.camera, rng))
    return detected(xyz, signer.steadiness, rng).astype(np.float32)


def write_clip(path: Path, xyz: Float[np.ndarray, "T 543 3"], first_frame: int = 0) -> None:
    """Write one clip as the competition does; NaN becomes null, as pandas makes it.

    Args:
        path: a parquet file.
        xyz: (T, 543, 3) float32.
        first_frame: the number of the first frame; the others follow without gaps.
    """
    frames = range(first_frame, first_frame + len(xyz))
    types, index = _row_columns()
    flat = xyz.reshape(-1, 3).astype(np.float64)
    columns = {
        "frame": pa.array(np.repeat(np.array(frames, np.int16), N_LANDMARKS)),
        "row_id": pa.concat_arrays([_row_ids(frame) for frame in frames]),
        "type": pa.concat_arrays([types] * len(frames)),
        "landmark_index": pa.array(np.tile(index, len(frames))),
        **{name: pa.array(flat[:, k], from_pandas=True) for k, name in enumerate("xyz")},
    }
    pq.write_table(
        pa.table(columns),
        path,
        compression="zstd",
        use_dictionary=["frame", "type", "landmark_index"],
        column_encoding={"row_id": "DELTA_BYTE_ARRAY"} | dict.fromkeys("xyz", "BYTE_STREAM_SPLIT"),
    )


@cache
def _row_columns() -> tuple[pa.StringArray, np.ndarray]:
    """type and landmark_index of one frame."""
    types = [part for part, size in PARTS.items() for _ in range(size)]
    return pa.array(types), np.concatenate([np.arange(n) for n in PARTS.values()]).astype(np.int16)


@cache
def _row_ids(frame: int) -> pa.StringArray:
    types, index = _row_columns()
    return pa.array(
        [f"{frame}-{part}-{k}" for part, k in zip(types.to_pylist(), index, strict=True)]
    )
