"""Videos with their landmarks: finds the videos, describes and saves the landmarks.

Letters: **T** frames.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from src.clips import RawClip
from src.common.errors import InputError
from src.common.files import write_atomically
from src.dataset.sample.writer import write_clip
from src.landmarks import PARTS, rows_of

VIDEOS = (
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".3gp", ".wmv", ".asf", ".flv", ".ogv"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".pose"),
)


@dataclass(frozen=True)
class Recording:
    """A video with its landmarks."""

    xyz: RawClip  # NaN = not detected
    # Scaled down, in red, green, blue; black for a .pose file, which has no pictures.
    pictures: UInt8[np.ndarray, "T height width 3"]
    fps: float  # pictures per second

    def missing(self) -> str:
        """In words, the share of frames in which each part was not detected."""
        lost = {part: np.isnan(self.xyz[:, rows_of(part), 0]).all(1).mean() for part in PARTS}
        shares = [f"{part.replace('_', ' ')} {share:.0%}" for part, share in lost.items()]
        return f"{len(self.xyz)} frames at {self.fps:.0f} a second; missing: {', '.join(shares)}"


def is_webcam(source: str) -> bool:
    """True for `webcam` and `webcam:1`, unless a file has that very name."""
    return bool(re.fullmatch(r"webcam(:\d+)?", source)) and not Path(source).exists()


def videos(source: str) -> dict[str, str]:
    """The videos of a source, a folder's sorted, and for each the name of the files made of it.

    Raises:
        InputError: the folder has no videos.
    """
    folder = Path(source)
    if not folder.is_dir():
        return {source: source.replace(":", "-") if is_webcam(source) else folder.stem}
    # Hidden files are the system's own, such as ._a.mp4 beside a.mp4 on a Mac's disk.
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEOS and not path.name.startswith(".")
    )
    if not found:
        raise InputError(
            f"{folder}: expected videos ({', '.join(VIDEOS)}), found none; name another folder"
        )
    # a.mp4 and a.mov are two videos: a stem names a video if it is no other's stem or name.
    names = Counter(name for path in found for name in (path.stem, path.name))
    return {str(path): path.stem if names[path.stem] == 1 else path.name for path in found}


def save(recording: Recording, folder: Path, name: str) -> Path:
    """Write the landmarks as a clip in the competition's format."""
    path = folder / f"{name}.parquet"
    return write_atomically(path, lambda temporary: write_clip(temporary, recording.xyz))
