"""The process with mediapipe: started, asked, and started again when it has ended."""

import subprocess
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from src.common.environments import Unavailable
from src.common.errors import InputError
from src.common.paths import root
from src.landmarks import N_LANDMARKS
from src.video.environment import interpreter, quiet
from src.video.recording import Recording, is_webcam

STARTS = 60.0  # seconds for a start; it takes three on two idle cores
ANSWERS = 10.0  # seconds for an answer; a picture takes 0.04


class MediaPipe:
    """A process with mediapipe, for videos or for the pictures of one signer, one by one.

    If the process ends or hangs, a new one is started for the next request.

    Args:
        live: warm up for single pictures; otherwise the first would take seconds.

    Raises:
        Unavailable: here or later: there is no environment with mediapipe, or it does not start.
    """

    def __init__(self, live: bool = False) -> None:
        self._words = [str(interpreter()), "-m", "src.video.worker"]
        self._first = "warm_up" if live else "check_order"
        try:
            self._start()
        except Unavailable:
            self.close()
            raise

    def recording(self, source: str, mirrored: bool, seconds: float = 3.0) -> Recording:
        """A video with its landmarks.

        Args:
            source: a video, a .pose file, `webcam`, or `webcam:1` for the second webcam.
            mirrored: True for a picture as in a mirror: the signer's right is on the right.
            seconds: how long a webcam records where there is no display to press keys at.

        Raises:
            InputError: the source cannot be read or has no frames, or it ended the process.
        """
        if not (is_webcam(source) or Path(source).is_file()):
            raise InputError(f"{source}: expected a video, found none; name a file, or `webcam`")
        path = source if is_webcam(source) else str(Path(source).resolve())
        try:
            xyz, pictures, fps = self._ask(None, "of_source", path, mirrored, seconds)
        except Unavailable:
            raise
        except InputError as error:
            raise InputError(f"{source}: {error}") from error
        # A single picture for all frames is sent once, and takes the memory of one.
        return Recording(xyz, np.broadcast_to(pictures, (len(xyz), *pictures.shape[1:])), fps)

    def landmarks(self, jpeg: bytes) -> Float[np.ndarray, f"{N_LANDMARKS} 3"]:
        """The landmarks in the next picture, NaN = not detected.

        Raises:
            InputError: the picture cannot be decoded, or the process ended or hung.
        """
        return self._ask(ANSWERS, "of_jpeg", jpeg)

    def save_video(self, path: Path, jpegs: Sequence[bytes], fps: float) -> None:
        """Write pictures as an mp4 file.

        Raises:
            InputError: the process ended or hung.
        """
        self._ask(ANSWERS, "write_video", str(path), list(jpegs), fps)

    def close(self) -> None:
        """End the process; a thread that waits for its answer gets `Unavailable`."""
        self._pipe.close()
        self.process.kill()
        self.process.wait()
        self._errors.close()

    def _start(self) -> None:
        self._pipe, its_end = Pipe()
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (see close)
        with its_end:
            number = its_end.fileno()
            self.process = subprocess.Popen(
                [*self._words, str(number)],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                stdout=self._errors,
                cwd=root(),  # this project is not installed in that environment
                env=quiet(),
            )
        try:
            self._answer(STARTS, self._first)
        except (EOFError, OSError) as error:
            why = self._last_words()
            raise Unavailable(f"{self._words[0]}: mediapipe {why}; run `make video-env`") from error

    def _ask(self, seconds: float | None, *request: Any) -> Any:
        """The process's answer, awaited for so many seconds; None = however long it takes."""
        try:
            is_answer, answer = self._answer(seconds, *request)
        except (EOFError, OSError) as error:
            if self._pipe.closed:  # by `close`, while this thread waited
                raise Unavailable("the process with mediapipe was closed") from error
            why = self._last_words()
            self.close()
            self._start()
            raise InputError(f"the process with mediapipe {why}; it was started again") from error
        if not is_answer:
            raise InputError(answer)
        return answer

    def _answer(self, seconds: float | None, *request: Any) -> tuple[bool, Any]:
        self._pipe.send(request)
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv()

    def _last_words(self) -> str:
        """Why the process does not answer, in a few words."""
        try:
            code = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "gave no answer"
        if code < 0:
            return f"was ended by signal {-code}"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()] or ["no word"]
        return f"ended with code {code}: {lines[-1][:200]}"
