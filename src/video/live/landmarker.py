"""The process with mediapipe: started, asked, and started again when it has ended."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path

import numpy as np

from src.common.errors import InputError
from src.common.paths import root
from src.landmarks import N_LANDMARKS
from src.video.environment import interpreter, quiet
from src.video.live.session import Frame

STARTS = 60.0  # seconds; three on two idle cores
ANSWERS = 10.0  # seconds; a picture takes 0.04


class Lost(InputError):
    """The process ended or hung; a new one is there, unless the text says that it is not."""


class Landmarker:
    """A process with mediapipe that follows one signer from picture to picture.

    Raises:
        Unavailable: there is no environment with mediapipe.
        Lost: it cannot be started.
    """

    def __init__(self) -> None:
        self._words = [str(interpreter()), "-m", "src.video.live.worker"]
        self._start()

    def __call__(self, jpeg: bytes) -> Frame:
        """The landmarks in a picture.

        Raises:
            InputError: the picture cannot be decoded.
            Lost: see the class.
        """
        frame = np.frombuffer(self._ask(b"L" + jpeg), np.float32)
        return frame.reshape(N_LANDMARKS, 3)

    def save_video(self, path: Path, jpegs: Sequence[bytes], fps: float) -> None:
        """Write pictures as an mp4 file.

        Raises:
            Lost: see the class.
        """
        about = {"path": str(path), "fps": fps, "sizes": [len(jpeg) for jpeg in jpegs]}
        self._ask(b"V" + json.dumps(about).encode() + b"\n" + b"".join(jpegs))

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._errors.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def _start(self) -> None:
        self._pipe, its_end = Pipe()
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (see close)
        with its_end:
            number = its_end.fileno()
            self._process = subprocess.Popen(
                [*self._words, str(number)],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stderr=self._errors,
                stdout=self._errors,
                cwd=root(),  # this project is not installed in that environment
                env=quiet(),
            )
        try:
            self._answer(STARTS)
        except (EOFError, OSError) as error:
            raise Lost(f"mediapipe cannot be started: {self._last_words()}") from error

    def _ask(self, request: bytes) -> bytes:
        try:
            self._pipe.send_bytes(request)
            answer = self._answer(ANSWERS)
        except (EOFError, OSError) as error:
            why = self._last_words()
            self.close()
            self._start()
            raise Lost(f"the process with mediapipe {why}; it was started again") from error
        if answer[:1] == b"-":
            raise InputError(answer[1:].decode())
        return answer[1:]

    def _answer(self, seconds: float) -> bytes:
        if not self._pipe.poll(seconds):
            raise TimeoutError
        return self._pipe.recv_bytes()

    def _last_words(self) -> str:
        """Why it does not answer, in a few words."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "gave no answer"
        if code < 0:
            return f"was ended by signal {-code}"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()] or ["no word"]
        return f"ended with code {code}: {lines[-1][:200]}"
