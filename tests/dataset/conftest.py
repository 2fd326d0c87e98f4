"""Tiny competition folders, written the way Kaggle ships the real one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.common.files import write_json
from src.common.paths import SIGN_MAP
from src.dataset.sample.writer import write_clip
from src.landmarks import LEFT_HAND, N_LANDMARKS, PARTS, RIGHT_HAND


def random_clip(n_frames: int, seed: int) -> np.ndarray:
    """Image coordinates; a hand, a finger or the face is lost in some frames."""
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-0.2, 1.2, (n_frames, N_LANDMARKS, 3)).astype(np.float32)
    for hand in (LEFT_HAND, RIGHT_HAND):
        xyz[np.ix_(rng.random(n_frames) < 0.4, hand)] = np.nan
        xyz[rng.random(n_frames) < 0.2, hand[-1]] = np.nan
    xyz[rng.random(n_frames) < 0.1, : PARTS["face"]] = np.nan
    return xyz


Recording = tuple[str, str, str, np.ndarray]  # participant, sequence, sign, (T, N_LANDMARKS, 3)


def write_folder(folder: Path, clips: Sequence[Recording], signs: Sequence[str]) -> Path:
    """train.csv, the sign map, and a parquet file per clip."""
    rows = []
    for participant, sequence, sign, xyz in clips:
        path = f"train_landmark_files/{sequence}/{sequence}.parquet"  # any name is a participant's
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder / path, xyz, first_frame=20)
        rows.append((path, participant, sequence, sign))
    columns = ["path", "participant_id", "sequence_id", "sign"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "train.csv", index=False)
    write_json(folder / SIGN_MAP, {sign: k for k, sign in enumerate(signs)})
    return folder


def write_clips(
    folder: Path,
    lengths: Sequence[int] = (1, 4, 9, 2, 30, 6, 3, 12, 5, 8, 7, 2),
    participants: Sequence[str] = ("7", "8", "9", "10"),
    signs: Sequence[str] = ("apple", "bird", "cloud"),
) -> Path:
    """A folder of clips of these lengths, going round the participants and the signs."""
    clips = [
        (
            participants[k % len(participants)],
            str(1000 + 7 * k % 101),  # in no order
            signs[k // len(participants) % len(signs)],
            random_clip(n, seed=k),
        )
        for k, n in enumerate(lengths)
    ]
    return write_folder(folder, clips, signs)


@pytest.fixture(scope="session")
def competition(tmp_path_factory) -> Path:
    """Twelve clips of four participants and three signs; nobody may write there."""
    return write_clips(tmp_path_factory.mktemp("data") / "asl")


@pytest.fixture
def make_competition(tmp_path) -> Callable[..., Path]:
    """A function that writes another one, the test's own: a name, and what `write_clips` takes."""
    return lambda name="own", *given, **named: write_clips(tmp_path / name, *given, **named)
