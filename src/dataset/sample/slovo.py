"""Writes synthetic clips in Slovo's format: annotations.csv, keypoints in JSON.

The same signs, signers and clips as the synthetic competition's; every fourth signer, and one at
least, is there to test on.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from src.common.files import write_atomically, write_text
from src.common.paths import SLOVO_INDEX
from src.dataset.sample.lexicon import draw_lexicon
from src.dataset.sample.signers import draw_signers
from src.dataset.sample.writer import record
from src.landmarks import PARTS

_DIGITS = 5  # behind the point; a thousandth of a picture is some pixels
_WIDTH, _HEIGHT = 1440, 1920


def write_slovo_sample(
    folder: Path,
    signs: int = 4,
    participants: int = 4,
    clips: int = 2,
    seed: int = 0,
    one_file: bool = False,
) -> Path:
    """Write a synthetic folder in Slovo's format.

    Args:
        folder: gets the files; those of the same names are overwritten.
        signs: number of signs.
        participants: number of signers, two at least.
        clips: per sign and participant.
        seed: of everything; the same arguments give the same files.
        one_file: keypoints of all clips in one file, as Slovo ships them, instead of one each.

    Returns:
        The folder.
    """
    lexicon, signers = draw_lexicon(signs, seed), draw_signers(participants, seed)
    rows, keypoints = [], {}
    for label, number, clip in product(range(signs), range(participants), range(clips)):
        rng = np.random.default_rng([seed, 4, label, number, clip])
        xyz = record(lexicon[label], signers[number], rng)
        name = _identity(seed, label, number, clip)
        keypoints[name] = [frame_of(xyz_of_frame) for xyz_of_frame in xyz]
        rows.append(
            {
                "attachment_id": name,
                "user_id": _identity(seed, signers[number].name),
                "width": _WIDTH,
                "height": _HEIGHT,
                "length": len(xyz),
                "text": lexicon[label].name,
                "train": number % 4 != 1,
                "begin": 0,
                "end": len(xyz),
            }
        )
    table = pd.DataFrame(rows)
    write_atomically(folder / SLOVO_INDEX, lambda path: table.to_csv(path, sep="\t", index=False))
    if one_file:
        write_text(folder / "slovo_mediapipe.json", json.dumps(keypoints))
    else:
        for name, frames in keypoints.items():
            write_text(folder / "keypoints" / f"{name}.json", json.dumps(frames))
    return folder


def frame_of(xyz: Float[np.ndarray, "543 3"]) -> dict[str, Any]:
    """A frame as an object of its parts; a part that was not detected is left out."""
    frame, start = {}, 0
    for part, size in PARTS.items():
        points = xyz[start : start + size].astype(np.float64).round(_DIGITS)
        if not np.isnan(points).any():
            frame[part] = [dict(zip("xyz", point, strict=True)) for point in points.tolist()]
        start += size
    return frame


def _identity(*of: object) -> str:
    """A name such as Slovo's, that says nothing."""
    return hashlib.sha256(repr(of).encode()).hexdigest()[:32]
