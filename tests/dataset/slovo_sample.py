"""Synthetic clips in Slovo's format: annotations.csv, keypoints in JSON.

Signs and signers are those of the synthetic competition; every fourth signer, beginning with the
second, is to be tested on.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.common.files import write_text
from src.common.paths import SLOVO_INDEX
from src.dataset.sample.lexicon import draw_lexicon
from src.dataset.sample.signers import draw_signers
from src.dataset.sample.writer import record
from src.landmarks import PARTS, rows_of

_DIGITS = 5  # behind the point: far less than a pixel


def write_slovo_sample(
    folder: Path, signs: int, participants: int, clips: int, seed: int, one_file: bool = False
) -> Path:
    """Write clips of every sign and participant; the same arguments give the same files.

    Args:
        folder: where the files go.
        signs: number of signs.
        participants: number of signers, at least two.
        clips: per sign and participant.
        seed: of everything.
        one_file: all keypoints in one file, as Slovo ships them, instead of a file per clip.
    """
    lexicon, signers = draw_lexicon(signs, seed), draw_signers(participants, seed)
    rows, keypoints = [], {}
    for label, number, clip in product(range(signs), range(participants), range(clips)):
        rng = np.random.default_rng([seed, 4, label, number, clip])
        xyz = record(lexicon[label], signers[number], rng)
        name = _identity(seed, label, number, clip)
        keypoints[name] = [frame_of(frame) for frame in xyz]
        rows.append(
            {
                "attachment_id": name,
                "user_id": _identity(seed, signers[number].name),
                "width": 1440,
                "height": 1920,
                "length": len(xyz),
                "text": lexicon[label].name,
                "train": number % 4 != 1,
                "begin": 0,
                "end": len(xyz),
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / SLOVO_INDEX, sep="\t", index=False)
    if one_file:
        write_text(folder / "slovo_mediapipe.json", json.dumps(keypoints))
    else:
        for name, frames in keypoints.items():
            write_text(folder / "keypoints" / f"{name}.json", json.dumps(frames))
    return folder


def frame_of(xyz: np.ndarray) -> dict[str, Any]:
    """A frame as an object of its parts; a part that was not detected is left out."""
    points = {part: xyz[rows_of(part)].astype(np.float64).round(_DIGITS) for part in PARTS}
    return {
        part: [dict(zip("xyz", point, strict=True)) for point in rows.tolist()]
        for part, rows in points.items()
        if not np.isnan(rows).any()
    }


def _identity(*of: object) -> str:
    """A name that says nothing, as Slovo's names do."""
    return hashlib.sha256(repr(of).encode()).hexdigest()[:32]
