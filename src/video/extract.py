"""The landmarks of videos, found in the environment with mediapipe.

Letters: **T** frames.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from src.clips import RawClip
from src.common.environments import Unavailable
from src.common.errors import InputError
from src.common.files import write_atomically
from src.common.paths import root
from src.dataset.sample.writer import write_clip
from src.landmarks import PARTS, rows_of
from src.video.environment import interpreter, quiet

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".pose")


Extract = Callable[..., "Recording"]


@dataclass(frozen=True)
class Recording:
    """A video with its landmarks.

    Args:
        xyz: the landmarks, NaN = not detected.
        pictures: the video, scaled down, in red, green, blue; of one black pixel for a .pose file.
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


def is_webcam(source: str) -> bool:
    """True for `webcam` and `webcam:1`, unless a file has that very name."""
    return bool(re.fullmatch(r"webcam(:\d+)?", source)) and not Path(source).exists()


@contextmanager
def holistic() -> Iterator[Extract]:
    """A process with mediapipe, as a function: (source, mirrored, seconds) -> Recording.

    - source: a video, a .pose file, `webcam`, or `webcam:1` for the second webcam.
    - mirrored: True for a picture as in a mirror, in which the signer's right is on the right.
    - seconds: how long a webcam records where there is no display to press keys at.

    Raises:
        Unavailable: there is no environment with mediapipe, or it does not start.
        InputError: by the function: the source cannot be read, or has no frames.
    """
    with ExitStack() as stack:
        yield partial(_extract, _Process(stack))


class _Process:
    """The process with mediapipe; one that a video has ended is started again for the next."""

    def __init__(self, stack: ExitStack) -> None:
        self._words = [str(interpreter()), "-m", "src.video.holistic"]
        self._stack = stack
        self._start()

    def _start(self) -> None:
        errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (the stack closes it)
        self._errors = self._stack.enter_context(errors)
        # This project is not installed in that environment: the module is found by `cwd`.
        options = {"text": True, "cwd": root(), "env": quiet(), "stderr": self._errors}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(self._words, **pipes, **options)
        self._stack.callback(self._end, self.process)
        if not self.process.stdout.readline():  # it says when it is ready
            raise Unavailable(f"{self._words[0]}: {self._last_words()}; run `make video-env`")

    @staticmethod
    def _end(process: subprocess.Popen) -> None:
        process.kill()
        process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):  # of words that a dead process has not read
            process.stdin.close()

    def ask(self, request: dict) -> dict:
        """Its answer, or why there is none."""
        if self.process.poll() is not None:
            self._start()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):  # the process has ended
            return {"error": self._last_words()}

    def _last_words(self) -> str:
        code = self.process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()] or ["no word"]
        return f"mediapipe ended with code {code}: {lines[-1]}"


def _extract(process: _Process, source: str, mirrored: bool, seconds: float = 3.0) -> Recording:
    if not is_webcam(source) and not Path(source).is_file():
        raise InputError(f"{source}: expected a video, found none; name a file, or `webcam`")
    path = source if is_webcam(source) else str(Path(source).resolve())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        request = {"source": path, "out": str(out), "view": view(mirrored), "seconds": seconds}
        if why := process.ask(request).get("error"):
            raise InputError(f"{source}: {why}")
        with np.load(out) as arrays:
            return Recording(arrays["xyz"], arrays["pictures"], float(arrays["fps"]))


def videos(source: str) -> dict[str, str]:
    """The videos of a source, and what their files are called: a folder's, in order, or itself.

    Raises:
        InputError: the folder has no videos.
    """
    folder = Path(source)
    if not folder.is_dir():
        return {source: source.replace(":", "-") if is_webcam(source) else folder.stem}
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS)
    if not found:
        raise InputError(
            f"{folder}: expected videos ({', '.join(VIDEOS)}), found none; name another folder"
        )
    # a.mp4 and a.mov are two videos: where one stem is not enough, the ending is added.
    stems = [path.stem for path in found]
    return {
        str(path): path.stem if stems.count(path.stem) == 1 else path.name.replace(".", "-")
        for path in found
    }


def save(recording: Recording, folder: Path, name: str) -> Path:
    """Write the landmarks as a clip in the competition's format."""
    path = folder / f"{name}.parquet"
    return write_atomically(path, lambda temporary: write_clip(temporary, recording.xyz))
