"""The landmarks of a video, found in the environment with mediapipe, saved as the competition's.

Letters: **T** frames.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from src.clips import RawClip
from src.common.errors import InputError
from src.common.files import write_atomically
from src.common.paths import root
from src.dataset.sample.writer import write_clip
from src.landmarks import PARTS, rows_of
from src.video.environment import interpreter

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True)
class Recording:
    """A video with its landmarks.

    Args:
        xyz: the landmarks, NaN = not detected.
        pictures: the video, scaled down, in red, green, blue.
        fps: pictures per second.
    """

    xyz: RawClip
    pictures: UInt8[np.ndarray, "T height width 3"]
    fps: float

    def missing(self) -> str:
        """In words, the share of frames in which each part was not detected."""
        lost = {part: np.isnan(self.xyz[:, rows_of(part), 0]).all(1).mean() for part in PARTS}
        shares = [f"{part.replace('_', ' ')} {share:.0%}" for part, share in lost.items()]
        return f"{len(self.xyz)} frames at {self.fps:.0f} a second; missing: {', '.join(shares)}"


def view(mirrored: bool) -> str:
    """How the video was taken, in a word."""
    return "mirrored" if mirrored else "plain"


def extract(source: str, mirrored: bool, seconds: float = 3.0) -> Recording:
    """Landmarks of a video file or a webcam.

    Args:
        source: a file, `webcam`, or `webcam:1` for the second webcam.
        mirrored: True for a picture as in a mirror, in which the signer's right is on the right.
        seconds: how long a webcam records where there is no display to press keys at.

    Raises:
        Unavailable: there is no environment with mediapipe.
        InputError: the source cannot be read, or has no frames.
    """
    if not source.startswith("webcam") and not Path(source).is_file():
        raise InputError(f"{source}: expected a video, found none; name a file, or `webcam`")
    python = interpreter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        # This project is not installed in that environment, so the module is found by `cwd`.
        path = source if source.startswith("webcam") else Path(source).resolve()
        words = [python, "-m", "src.video.holistic", path, out, view(mirrored), seconds]
        done = subprocess.run(
            [*map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=root(),
            env={**os.environ, "GLOG_minloglevel": "2"},
        )
        if done.returncode:
            raise InputError(_reason(source, done))
        with np.load(out) as arrays:
            return Recording(arrays["xyz"], arrays["pictures"], float(arrays["fps"]))


def _reason(source: str, done: subprocess.CompletedProcess) -> str:
    """What holistic.py said went wrong, or the last line of a crash."""
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1] if errors[-1].startswith(source) else f"{source}: {errors[-1]}"
    return f"{source}: mediapipe ended with code {done.returncode}: {lines[-1]}"


def videos(source: str) -> list[str]:
    """The videos of a source: those in a folder, in order, or the source itself.

    Raises:
        InputError: the folder has no videos.
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
    """The name of the files that are made of a source."""
    return Path(source).stem if not source.startswith("webcam") else source.replace(":", "-")


def save(recording: Recording, folder: Path, source: str) -> Path:
    """Write the landmarks as a clip in the competition's format."""
    path = folder / f"{name(source)}.parquet"
    return write_atomically(path, lambda temporary: write_clip(temporary, recording.xyz))
