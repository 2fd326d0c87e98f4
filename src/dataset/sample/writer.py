"""Writes a synthetic competition folder in the genuine format, column types included.

- A clip depends only on the seed, the lexicon, its sign, its signer and its number, not on how many
  other clips are made.
- The folder is written under another name and renamed when it is whole. Its mark, `sample.json`,
  is the one file that a genuine folder does not have.
"""

import os
import shutil
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.clips import RawClip
from src.common.errors import InputError
from src.common.files import locked, needing_room
from src.common.marks import Mark
from src.common.news import counted
from src.dataset.competition import CLIPS, clip_path, write_index
from src.dataset.sample.camera import detected, moved, picture
from src.dataset.sample.lexicon import Sign, draw_lexicon
from src.dataset.sample.performance import perform
from src.dataset.sample.signers import Signer, draw_signers
from src.landmarks import N_LANDMARKS, PLAIN

FORMAT = 1  # raise it when the same arguments give other clips
MARK = "sample.json"
_LIMITS = {"signs": 5_000, "participants": 9_000, "clips": 100, "seed": 2**31}
_LATEST_START = 100  # genuine clips are cut from longer videos: their frames begin anywhere


def is_synthetic(folder: Path) -> bool:
    """True for a competition folder that `write_sample` has written."""
    return (folder / MARK).is_file()


def write_sample(
    folder: Path, signs: int = 25, participants: int = 12, clips: int = 4, seed: int = 0
) -> Path:
    """Write a synthetic competition folder, unless the same one is there already, and return it.

    Each participant performs each sign `clips` times; about a third of them are left-handed. The
    same arguments give the same coordinates, bit for bit.

    Raises:
        InputError: a number is out of range, or the folder holds something else.
    """
    arguments = {"signs": signs, "participants": participants, "clips": clips, "seed": seed}
    for name, limit in _LIMITS.items():
        least, value = int(name != "seed"), arguments[name]
        if not least <= value <= limit:
            raise InputError(f"sample: expected {name} from {least} to {limit}, found {value}")
    arguments["format"] = FORMAT
    if _is_written(folder, arguments):
        return folder
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with locked(unfinished, "writes this sample"):
        _write(unfinished, signs, participants, clips, seed)
        Mark(unfinished / MARK, arguments).write()
        (unfinished / ".lock").unlink()
        os.replace(unfinished, folder)
    return folder


def _is_written(folder: Path, arguments: dict[str, int]) -> bool:
    """True if this sample is in the folder, False if nothing is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    mark = Mark(folder / MARK, arguments)
    if not mark.is_finished:
        found = f"another sample ({', '.join(mark.changes)})" if mark.changes else "something else"
        raise InputError(
            f"{folder}: expected nothing here, or the sample of {arguments}, found "
            f"{found}; choose another folder, or delete this one"
        )
    return True


def _write(folder: Path, n_signs: int, n_signers: int, n_clips: int, seed: int) -> None:
    shutil.rmtree(folder / CLIPS, ignore_errors=True)  # left by a killed run
    lexicon, signers = draw_lexicon(n_signs, seed), draw_signers(n_signers, seed)
    rows = []
    for number, signer in enumerate(counted(signers, "sample", "signers")):
        (folder / CLIPS / signer.name).mkdir(parents=True, exist_ok=True)
        for (label, sign), clip in product(enumerate(lexicon), range(n_clips)):
            sequence = 1_000_000_000 + (number * n_signs + label) * n_clips + clip
            rng = np.random.default_rng([seed, 2, label, number, clip])
            xyz = record(sign, signer, rng)
            path = folder / clip_path(signer.name, sequence)
            with needing_room(path):
                write_clip(path, xyz, first_frame=int(rng.integers(_LATEST_START)))
            rows.append((signer.name, sequence, sign.name))
    # The competition's rows are in no order either; a reader must not rely on one.
    order = np.random.default_rng([seed, 3]).permutation(len(rows))
    index = pd.DataFrame(rows, columns=["participant", "sequence", "sign"]).iloc[order]
    write_index(folder, index, [sign.name for sign in lexicon])


# --- clips --------------------------------------------------------------------------------------


def record(sign: Sign, signer: Signer, rng: np.random.Generator) -> RawClip:
    """One clip of a signer who performs a sign: float32, with NaN where a part is lost."""
    body = perform(sign, signer, rng)
    xyz = picture(body, moved(signer.camera, rng))
    return detected(xyz, signer.steadiness, rng).astype(np.float32)


def write_clip(path: Path, xyz: RawClip, first_frame: int = 0, note: str = "") -> None:
    """Write one clip as the competition does, frames numbered without gaps; NaN becomes null.

    A recording of 18 minutes has more frames than the competition's 16 bits can number. A note is
    kept in the file's metadata, see `clip_file.note_of`.
    """
    frames = range(first_frame, first_frame + len(xyz))
    number = np.int16 if frames.stop <= 2**15 else np.int32
    flat = xyz.reshape(-1, 3).astype(np.float64)
    columns = {
        "frame": pa.array(np.repeat(np.array(frames, number), N_LANDMARKS)),
        "row_id": pa.concat_arrays([_row_ids(frame) for frame in frames]),
        "type": pa.array(PLAIN.types.tolist() * len(frames)),
        "landmark_index": pa.array(np.tile(PLAIN.index, len(frames)), pa.int16()),
        **{name: pa.array(flat[:, k], from_pandas=True) for k, name in enumerate("xyz")},
    }
    pq.write_table(
        pa.table(columns, metadata={"note": note} if note else None),
        path,
        compression="zstd",
        use_dictionary=["frame", "type", "landmark_index"],
        column_encoding={"row_id": "DELTA_BYTE_ARRAY"} | dict.fromkeys("xyz", "BYTE_STREAM_SPLIT"),
    )


@cache
def _row_ids(frame: int) -> pa.StringArray:
    rows = zip(PLAIN.types, PLAIN.index, strict=True)
    return pa.array([f"{frame}-{part}-{k}" for part, k in rows])
