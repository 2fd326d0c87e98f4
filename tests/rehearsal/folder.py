"""A synthetic competition of the genuine one's size, which stays small on disk.

Every signer signs every sign once, as `write_sample` draws it: the lengths and the shares of
undetected hands are those of the genuine clips. The folder then lists each of these clips many
times, under other sequence ids: the files are hard links, so 94,477 clips need the room of 5,250.
A clip and its links belong to one signer, so that none of them is on both sides of a fold.
"""

import os
import shutil
from pathlib import Path

import pandas as pd

from src.common.files import write_atomically
from src.common.marks import Mark
from src.common.paths import SIGN_MAP
from src.dataset.folds import PUBLISHED_FOLD
from src.dataset.sample import write_sample

CLIPS, SIGNS = 94_477, 250  # of the genuine competition
_FIRST_SEQUENCE = 2_000_000_000


def write_competition(folder: Path, clips: int = CLIPS, signs: int = SIGNS) -> Path:
    """Write the competition folder, unless it is there; what is drawn lies beside it."""
    mark = Mark(folder.with_suffix(".json"), {"clips": clips, "signs": signs})
    if mark.is_finished:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    drawn = write_sample(folder.with_name(f"{folder.name}-drawn"), signs, len(PUBLISHED_FOLD), 1)
    rows = pd.read_csv(drawn / "train.csv", dtype=str, keep_default_na=False)

    # The drawn signers get the names of the published ones, on which the published folds rest.
    signers = dict(zip(sorted(set(rows.participant_id)), PUBLISHED_FOLD, strict=True))
    source = rows.path
    rows["participant_id"] = rows.participant_id.map(signers)

    # The table is repeated until it has as many rows as there are clips; each row is a link.
    repeats = -(-clips // len(rows))
    table = pd.concat([rows] * repeats, ignore_index=True)[:clips]
    source = pd.concat([source] * repeats, ignore_index=True)[:clips]
    table["sequence_id"] = [str(_FIRST_SEQUENCE + k) for k in range(clips)]
    table["path"] = "train_landmark_files/" + table.participant_id + "/" + table.sequence_id
    table["path"] += ".parquet"
    for signer in signers.values():
        (folder / "train_landmark_files" / signer).mkdir(parents=True)
    for old, new in zip(source, table.path, strict=True):
        os.link(drawn / old, folder / new)
    shutil.copy(drawn / SIGN_MAP, folder / SIGN_MAP)
    write_atomically(folder / "train.csv", lambda path: table.to_csv(path, index=False))
    mark.write()
    return folder
