"""Does the competition's own runtime answer as today's interpreter does?

Submissions were run by tflite-runtime 2.9.1, which is much older than the converter used here and
may lack an operation. So both runtimes answer the same clips, and every output is compared.

Letters: **N** clips, **K** signs.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from src.clips import RawClip
from src.common import environments
from src.common.errors import InputError
from src.common.paths import root
from src.tflite.interpreter import Interpreter
from src.tflite.scorer import LIMIT_MS

PYTHON = "3.9"  # the newest with a wheel of that runtime
REQUIREMENTS = Path(__file__).with_name("runtime-requirements.txt")
# The runtimes add in different orders, which moves a probability by 1e-6. With 8-bit weights this
# may round a value up instead of down, by one step of 256. Measured on five random networks, one
# per family: their mean moves by at most 4e-3, a single network by up to five times that.
LARGEST_DIFFERENCE = {"float": 1e-4, "8 bits": 0.03}


@dataclass(frozen=True)
class Answers:
    """What one runtime answered."""

    runtime: str  # its package and version
    outputs: Float[np.ndarray, "N K"]
    milliseconds: Float[np.ndarray, "N"]  # latency of each clip, one thread


@dataclass(frozen=True)
class Comparison:
    """One file, two runtimes, the same clips."""

    clips: tuple[str, ...]  # their names
    scored: tuple[str, ...]  # those whose latency counts; the others are edge cases
    today: Answers  # of the main environment's interpreter
    competition: Answers
    allowed: float  # the largest difference that passes

    @property
    def difference(self) -> Float[np.ndarray, "N"]:
        """The largest difference of any output, by clip; infinite where an output is not finite."""
        apart = np.abs(self.today.outputs - self.competition.outputs).max(1)
        return np.where(np.isfinite(apart), apart, np.inf)

    @property
    def same_sign(self) -> Bool[np.ndarray, "N"]:
        """Whether the most likely sign is the same, by clip."""
        return self.today.outputs.argmax(1) == self.competition.outputs.argmax(1)

    def mean_ms(self, answers: Answers) -> float:
        """Mean latency on the scored clips, in milliseconds."""
        return float(answers.milliseconds[np.isin(self.clips, self.scored)].mean())

    @property
    def agrees(self) -> bool:
        """Whether every clip gets the same sign and all outputs are close."""
        return bool(self.difference.max() <= self.allowed and self.same_sign.all())

    @property
    def passed(self) -> bool:
        """Whether the runtimes agree and the competition's is fast enough."""
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
        both = (self.competition, self.today)
        table = pd.DataFrame(
            {
                "difference": [f"{value:.1e}" for value in self.difference],
                "same sign": np.where(self.same_sign, "yes", "NO"),
                **{f"{a.runtime}, ms": [f"{ms:.1f}" for ms in a.milliseconds] for a in both},
            },
            index=self.clips,
        )
        means = ", ".join(f"{a.runtime} {self.mean_ms(a):.1f} ms" for a in both)
        return (
            f"{table.to_string()}\n"
            f"mean of the held-out clips: {means} (below {LIMIT_MS:g})\n"
            f"{'pass' if self.passed else 'FAIL'}: the same sign for {self.same_sign.mean():.0%} "
            f"of the clips, largest difference {self.difference.max():.1e} (limit {self.allowed:g})"
        )


def environment() -> Path:
    """The Python of the environment with the competition's runtime, which it installs if missing.

    Raises:
        Unavailable: there is no Python 3.9, or no network to install from.
    """
    folder = root() / ".venv-tflite29"
    return environments.make(environments.find_python(PYTHON), folder, REQUIREMENTS)


def compare(
    path: Path, clips: Mapping[str, RawClip], scored: tuple[str, ...], competition: Path
) -> Comparison:
    """Compare both runtimes on these clips; `competition` is the Python that `environment` found.

    Raises:
        InputError: a runtime cannot run the file; the message names the operation it lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "clips.npz"
        np.savez(packed, **clips)
        answers = [ask(Path(python), path, packed) for python in (sys.executable, competition)]
    kinds = {tensor["dtype"] for tensor in Interpreter(str(path)).get_tensor_details()}
    allowed = LARGEST_DIFFERENCE["8 bits" if np.int8 in kinds else "float"]
    return Comparison(tuple(clips), scored, *answers, allowed)


def ask(python: Path, path: Path, clips: Path) -> Answers:
    """Run interpreter.py with another environment's Python; `clips` is an .npz file of raw clips.

    Raises:
        InputError: the environment's runtime cannot run the file.
    """
    answers = clips.with_name("answers.npz")
    command = [python, "-m", "src.tflite.interpreter", path.resolve(), clips, answers]
    # `src` is not installed in that environment: Python finds it in the folder where it runs.
    project = Path(__file__).parents[2]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=project)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise InputError(
            f"{path}: expected a file that {python} can run, but: {reason}; export it with the "
            "operations of src/tflite/converter/ops_*.py only"
        )
    with np.load(answers) as found:
        return Answers(str(found["runtime"]), found["outputs"], found["milliseconds"])
