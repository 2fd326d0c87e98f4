"""Does the competition's own runtime answer as today's interpreter does?

Submissions were run by tflite-runtime 2.9.1, which is much older than what converts here: a file
may hold an operation, or a version of one, that it lacks. So the file is loaded there, and every
output on a set of clips is compared.

Letters: **N** clips, **K** signs, **T** frames.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from src.common import environments
from src.common.errors import InputError
from src.common.paths import root
from src.tflite.interpreter import Interpreter
from src.tflite.scorer import LIMIT_MS

PYTHON = "3.9"  # the newest with a wheel of that runtime
REQUIREMENTS = Path(__file__).with_name("runtime-requirements.txt")
# Two runtimes add in another order, which moves a probability by 1e-6. With 8-bit weights a value
# between two of the 256 steps may then fall to the other one: by 4e-3 at most, measured on the mean
# of five random networks, one of every family; by up to five times that in a single one.
LARGEST_DIFFERENCE = {"float": 1e-4, "8 bits": 0.03}


@dataclass(frozen=True)
class Answers:
    """What one runtime answered.

    Args:
        runtime: its package and version.
        outputs: of every clip.
        milliseconds: of every clip, one thread.
    """

    runtime: str
    outputs: Float[np.ndarray, "N K"]
    milliseconds: Float[np.ndarray, "N"]


@dataclass(frozen=True)
class Comparison:
    """One file, two runtimes, the same clips.

    Args:
        clips: their names.
        scored: those among them that count for latency; the others are at the edges.
        today: the interpreter of the main environment.
        competition: the competition's.
        allowed: the largest difference that passes.
    """

    clips: tuple[str, ...]
    scored: tuple[str, ...]
    today: Answers
    competition: Answers
    allowed: float

    @property
    def difference(self) -> Float[np.ndarray, "N"]:
        """The largest difference of any output, by clip; infinite where one is not a number."""
        apart = np.abs(self.today.outputs - self.competition.outputs).max(1)
        return np.where(np.isfinite(apart), apart, np.inf)

    @property
    def same_sign(self) -> np.ndarray:
        """Whether the most likely sign is the same, by clip."""
        return self.today.outputs.argmax(1) == self.competition.outputs.argmax(1)

    def mean_ms(self, answers: Answers) -> float:
        """Mean latency on the clips that count."""
        counts = [name in self.scored for name in self.clips]
        return float(answers.milliseconds[counts].mean())

    @property
    def agrees(self) -> bool:
        """The same sign everywhere, and outputs close."""
        return bool(self.difference.max() <= self.allowed and self.same_sign.all())

    @property
    def passed(self) -> bool:
        """The runtimes agree, and the competition's is fast enough."""
        return self.agrees and self.mean_ms(self.competition) < LIMIT_MS

    def facts(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {
            "passed": self.passed,
            "runtimes": [self.competition.runtime, self.today.runtime],
            "clips": len(self.clips),
            "same_sign": float(self.same_sign.mean()),
            "difference": float(self.difference.max()),
            "mean_ms": {a.runtime: self.mean_ms(a) for a in (self.competition, self.today)},
        }

    def __str__(self) -> str:
        runtimes = (self.competition.runtime, self.today.runtime)
        head = f"{'clip':<32}{'difference':>12}{'same sign':>11}"
        rows = [head + "".join(f"{name + ', ms':>26}" for name in runtimes)]
        times = zip(self.competition.milliseconds, self.today.milliseconds, strict=True)
        for name, apart, same, ms in zip(
            self.clips, self.difference, self.same_sign, times, strict=True
        ):
            row = f"{name:<32}{apart:>12.1e}{'yes' if same else 'NO':>11}"
            rows.append(row + "".join(f"{value:>26.1f}" for value in ms))
        means = [self.mean_ms(a) for a in (self.competition, self.today)]
        row = f"{'largest, all, mean of held-out':<32}{self.difference.max():>12.1e}"
        rows.append(row + f"{self.same_sign.mean():>11.0%}" + "".join(f"{m:>26.1f}" for m in means))
        allowed = f"at most {self.allowed:g}, all clips, below {LIMIT_MS:g} ms"
        return "\n".join([*rows, f"{'pass' if self.passed else 'FAIL'} ({allowed})"])


def environment() -> Path:
    """The interpreter of the environment with the competition's runtime.

    Raises:
        Unavailable: there is no Python that it runs on, or no network to install it by.
    """
    folder = root() / ".venv-tflite29"
    return environments.make(environments.find_python(PYTHON), folder, REQUIREMENTS)


def compare(
    path: Path,
    clips: Mapping[str, Float[np.ndarray, "_ 543 3"]],
    scored: tuple[str, ...],
    competition: Path,
) -> Comparison:
    """Ask both runtimes for the answers to the same clips.

    Args:
        path: the `.tflite` file.
        clips: raw clips by name.
        scored: names of the clips whose latency counts.
        competition: what `environment` returned.

    Raises:
        InputError: a runtime cannot run the file; the message names the operation it lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "clips.npz"
        np.savez(packed, **clips)
        today, there = (ask(Path(p), path, packed) for p in (sys.executable, competition))
    return Comparison(tuple(clips), scored, today, there, LARGEST_DIFFERENCE[_weights(path)])


def _weights(path: Path) -> str:
    """Whether a file computes in floats, or with weights of 8 bits."""
    kinds = {tensor["dtype"] for tensor in Interpreter(str(path)).get_tensor_details()}
    return "8 bits" if np.int8 in kinds else "float"


def ask(python: Path, path: Path, clips: Path) -> Answers:
    """Run answers.py by another interpreter.

    Raises:
        InputError: its runtime cannot run the file.
    """
    answers = clips.with_name("answers.npz")
    # Its environment has not got this package: the module is found from the folder above it.
    command = [python, "-m", "src.tflite.answers", path.resolve(), clips, answers]
    root = Path(__file__).parents[2]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=root)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise InputError(
            f"{path}: expected a file that {python} can run, but: {reason}; export it with the "
            "operations in src/tflite/converter/ops_*.py only, and without newer versions of them"
        )
    with np.load(answers) as found:
        return Answers(str(found["runtime"]), found["outputs"], found["milliseconds"])
