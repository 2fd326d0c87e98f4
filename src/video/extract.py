"""A video's landmarks, from the environment with mediapipe, kept as the competition keeps them.

Letters: **T** frames.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from src.common.errors import InputError
from src.common.files import write_atomically
from src.dataset.sample.writer import write_clip
from src.landmarks import PARTS
from src.video.environment import interpreter

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Recording:
    """A video as landmarks.

    Args:
        xyz: raw landmarks, NaN = not detected.
        pictures: the video itself, small, red, green, blue.
        fps: pictures a second.
    """

    xyz: Float[np.ndarray, "T 543 3"]
    pictures: UInt8[np.ndarray, "T height width 3"]
    fps: float

    def missing(self) -> str:
        """In which share of the frames each part was not detected, in words."""
        shares, start = [], 0
        for part, size in PARTS.items():
            lost = np.isnan(self.xyz[:, start : start + size, 0]).all(1).mean()
            shares.append(f"{part.replace('_', ' ')} {lost:.0%}")
            start += size
        return f"{len(self.xyz)} frames at {self.fps:.0f} a second; missing: {', '.join(shares)}"


def view(mirrored: bool) -> str:
    """How the video was taken, as it is passed on and printed."""
    return "mirrored" if mirrored else "plain"


def extract(source: str, mirrored: bool, seconds: float = 3.0) -> Recording:
    """Landmarks of a video file or a webcam.

    Args:
        source: a file, `webcam`, or `webcam:1` for the second one.
        mirrored: True for a picture as in a mirror, in which the signer's right is on the right.
        seconds: that a webcam records where there is no display to press keys at.

    Raises:
        Unavailable: there is no environment with mediapipe.
        InputError: it cannot read the source, or the source has no frames.
    """
    if not source.startswith("webcam") and not Path(source).is_file():
        raise InputError(f"{source}: expected a video, found none")
    python = interpreter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        # Its environment has not got this package: the module is found from the folder above it.
        found = source if source.startswith("webcam") else Path(source).resolve()
        words = [python, "-m", "src.video.holistic", found, out, view(mirrored), seconds]
        done = subprocess.run(
            [*map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=CHECKOUT,
            env={**os.environ, "GLOG_minloglevel": "2"},
        )
        if done.returncode:
            raise InputError(_reason(source, done))
        with np.load(out) as found:
            return Recording(found["xyz"], found["pictures"], float(found["fps"]))


def _reason(source: str, done: subprocess.CompletedProcess) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if told:
        return told[-1] if told[-1].startswith(source) else f"{source}: {told[-1]}"
    return f"{source}: mediapipe ended with code {done.returncode}: {lines[-1]}"


def videos(source: str) -> list[str]:
    """The videos that a source names: itself, or those in a folder, in order.

    Raises:
        InputError: a folder without videos.
    """
    folder = Path(source)
    if not folder.is_dir():
        return [source]
    found = sorted(str(p) for p in folder.iterdir() if p.suffix.lower() in VIDEOS)
    if not found:
        raise InputError(
            f"{folder}: expected videos ({', '.join(VIDEOS)}), found none; name another folder"
        )
    return found


def name(source: str) -> str:
    """What the files made of a source are called."""
    return Path(source).stem if not source.startswith("webcam") else source.replace(":", "-")


def keep(recording: Recording, folder: Path, source: str) -> Path:
    """Write the landmarks as a clip in the competition's format."""
    path = folder / f"{name(source)}.parquet"
    return write_atomically(path, lambda temporary: write_clip(temporary, recording.xyz))
