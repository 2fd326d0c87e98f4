"""The competition's scorer: one file, one clip at a time, one thread.

    python -m src.tflite.scorer model.tflite DATA_FOLDER [--limit N] [--participants ID ...]

- A clip is fed to the model exactly as in the competition: pandas reads columns x, y, z of the
  parquet file, as float32 with NaN kept; the signature is `serving_default`, `inputs` -> `outputs`;
  the answer is the sign whose number is the argmax.
- Any file with that signature can be scored, without importing TensorFlow or torch.
- The first call, in which the runtime allocates its memory, is timed separately: it would make up a
  tenth of the mean over a few hundred clips, but next to nothing over the competition's 40,000.

Letters: **T** frames, **N** clips, **K** signs.
"""

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from jaxtyping import Float, Int

from src.common.errors import InputError, refusing, reporting
from src.dataset.competition import read_index, read_signs
from src.landmarks import N_LANDMARKS, rows_of_file
from src.tflite.interpreter import INPUT, OUTPUT, SIGNATURE, Interpreter

LIMIT_MB = 40.0  # of the file, in 10^6 bytes
LIMIT_MS = 100.0  # mean per clip
_AGAIN = "fetch it again"

Frames = Float[np.ndarray, f"T {N_LANDMARKS} 3"]  # clips.RawClip, without importing torch


@dataclass(frozen=True)
class Limit:
    """One of the competition's limits: what it limits, whether it is met, what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Score:
    """The result of scoring a file."""

    clips: int  # how many were scored
    correct: int  # how many of them were answered with the right sign
    latency_ms: Float[np.ndarray, "N"]  # without the first call
    first_call_ms: float
    size_mb: float  # of the file, in 10^6 bytes
    predictions: Int[np.ndarray, "N"]  # the label answered for each clip, in the table's order
    limits: tuple[Limit, ...]

    @property
    def accuracy(self) -> float:
        """Share of clips answered with the right sign, 0 to 1."""
        return self.correct / self.clips

    @property
    def latencies(self) -> dict[str, float]:
        """Mean, median and 95th percentile, in milliseconds."""
        ms = self.latency_ms
        return {
            "mean": float(ms.mean()),
            "median": float(np.median(ms)),
            "p95": float(np.percentile(ms, 95)),
        }

    @property
    def passed(self) -> bool:
        """Whether every limit is met."""
        return all(limit.passed for limit in self.limits)

    def __str__(self) -> str:
        ms = self.latencies
        lines = [
            f"accuracy  {self.accuracy:.2%}, {self.correct} of {self.clips} clips",
            f"latency   mean {ms['mean']:.2f} ms, median {ms['median']:.2f}, p95 {ms['p95']:.2f} "
            f"(first call {self.first_call_ms:.0f}), one thread",
            *(f"{x.name:<10}{'pass' if x.passed else 'FAIL'}: {x.found}" for x in self.limits),
        ]
        return "\n".join(lines)


class Model:
    """A `.tflite` file as the competition calls it.

    Raises:
        InputError: no such file, not a TFLite file, or not the competition's signature.
    """

    def __init__(self, path: Path) -> None:
        with refusing(path, "a TFLite file", "export it, as notebook 04 does"):
            interpreter = Interpreter(str(path), num_threads=1)
        self.path, self._runner = path, _runner(path, interpreter)
        self.size_mb = path.stat().st_size / 1e6

    def __call__(self, frames: Frames) -> Float[np.ndarray, "..."]:
        """The file's answer to one raw clip: (K,) from a file that meets the limits.

        Raises:
            InputError: the runtime cannot run the file.
        """
        try:
            return self._runner(inputs=np.asarray(frames, np.float32))[OUTPUT]
        except (RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            node = re.search(r"Node number \d+ \((\w+)\)", text)
            found = f"operation {node[1]}, which it cannot" if node else f"an error: {text[:200]}"
            raise InputError(
                f"{self.path}: expected a file that TFLite can run, found {found}; "
                "export it with TFLite's own operations"
            ) from error


def score(
    path: Path, data: Path, clips: pd.DataFrame | None = None, limit: int | None = None
) -> Score:
    """Score a file on clips of a competition folder.

    `clips` are the rows of `read_index` to score, by default all; `limit` is how many of them.

    Raises:
        InputError: the file or the folder is not in the competition's format, or has no clips.
    """
    if limit is not None and limit < 1:
        raise InputError(
            f"limit: expected 1 clip or more, found {limit}; leave it out to score all"
        )
    model = Model(path)
    signs = read_signs(data)
    clips = (read_index(data, signs) if clips is None else clips)[:limit]
    if clips.empty:
        raise InputError(
            f"{data}: expected at least one clip to score, found none; check the participants"
        )
    first_call_ms = timed(model, load_frames(Path(clips.path.iloc[0])))[1]
    answers, latency = zip(
        *(timed(model, load_frames(Path(clip_path))) for clip_path in clips.path), strict=True
    )
    # An answer without any numbers is wrong, whatever the clip's sign.
    predictions = np.array([int(np.argmax(answer)) if answer.size else -1 for answer in answers])
    return Score(
        clips=len(clips),
        correct=int((predictions == clips.label.to_numpy()).sum()),
        latency_ms=np.array(latency),
        first_call_ms=first_call_ms,
        size_mb=model.size_mb,
        predictions=predictions,
        limits=_limits(model, answers, float(np.mean(latency)), len(signs)),
    )


def load_frames(path: Path) -> Frames:
    """One clip as the competition loads it, float32, NaN = not detected.

    Irises, in a file that has them, are left out: see clip_file.py.

    Raises:
        InputError: there is no such file, or it does not hold whole frames in order.
    """
    with refusing(path, "a clip with numbers as columns x, y, z, landmark_index", _AGAIN):
        table = pd.read_parquet(path, columns=["x", "y", "z", "landmark_index"])
        rows = rows_of_file(int(table.landmark_index.max()))
        with np.errstate(over="ignore"):  # numbers too big become infinity; models must bear that
            xyz = table[["x", "y", "z"]].to_numpy().astype(np.float32)
    if len(table) % len(rows):
        raise InputError(
            f"{path}: expected a multiple of {len(rows)} rows, found {len(table)}; {_AGAIN}"
        )
    index = table.landmark_index.to_numpy().reshape(-1, len(rows))
    if (index != rows.index).any():  # the competition would score them all the same
        row = int(np.argmax(index != rows.index))
        raise InputError(
            f"{path}: expected landmark_index {rows.index[row % len(rows)]} in row {row}, found "
            f"{index.flat[row]}; sort each frame's rows by face, left_hand, pose and right_hand"
        )
    return xyz.reshape(-1, len(rows), 3)[:, rows.landmarks]


def timed(model: Model, frames: Frames) -> tuple[Float[np.ndarray, "..."], float]:
    """The answer to one raw clip, and the milliseconds it took."""
    start = time.perf_counter()
    answer = model(frames)
    return answer, (time.perf_counter() - start) * 1e3


def _limits(
    model: Model, answers: Sequence[np.ndarray], mean_ms: float, signs: int
) -> tuple[Limit, ...]:
    lengths = sorted({answer.size for answer in answers})
    broken = sum(not np.isfinite(answer).all() for answer in answers)
    return (
        Limit("size", model.size_mb < LIMIT_MB, f"{model.size_mb:.2f} of {LIMIT_MB:g} MB"),
        Limit("time", mean_ms < LIMIT_MS, f"{mean_ms:.2f} of {LIMIT_MS:g} ms mean"),
        Limit("signature", True, f"{SIGNATURE}, {INPUT} [None, {N_LANDMARKS}, 3] -> {OUTPUT}"),
        Limit("outputs", lengths == [signs], f"{lengths} numbers for {signs} signs"),
        Limit("finite", broken == 0, f"{broken} clips with NaN or infinity in the answer"),
    )


def _runner(path: Path, interpreter: Interpreter):
    found = interpreter.get_signature_list()
    names = found.get(SIGNATURE)
    if names is None or list(names["inputs"]) != [INPUT] or OUTPUT not in names["outputs"]:
        raise InputError(
            f"{path}: expected the signature {SIGNATURE} with {INPUT} -> {OUTPUT}, found "
            f"{found or 'none'}; export it with signatures={{'{SIGNATURE}': ...}}"
        )
    runner = interpreter.get_signature_runner(SIGNATURE)
    details = runner.get_input_details()[INPUT]
    shape, kind = details["shape_signature"].tolist(), np.dtype(details["dtype"])
    if shape != [-1, N_LANDMARKS, 3] or kind != np.float32:
        raise InputError(
            f"{path}: expected {INPUT} [None, {N_LANDMARKS}, 3] float32, found {shape} {kind}; "
            "export it with that input"
        )
    kind = np.dtype(runner.get_output_details()[OUTPUT]["dtype"])
    if kind.kind not in "fiub":
        raise InputError(
            f"{path}: expected {OUTPUT} that are numbers, found {kind}; make the model return some"
        )
    return runner


def main(
    model: tyro.conf.Positional[Path],
    data: tyro.conf.Positional[Path],
    limit: int | None = None,
    participants: tuple[str, ...] = (),
) -> bool:
    """Score a .tflite file as the competition does, and say whether it meets every limit.

    Args:
        model: the .tflite file.
        data: a competition folder.
        limit: how many clips to score, from the first on; by default all.
        participants: score only these signers' clips.
    """
    clips = read_index(data)
    if unknown := {*participants} - {*clips.participant}:
        raise InputError(
            f"{data}: expected participants of this folder, found {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted({*clips.participant}))}"
        )
    if participants:
        clips = clips[clips.participant.isin(participants)]
    result = score(model, data, clips, limit)
    print(f"{model} on {data}")
    print(result)
    return result.passed


if __name__ == "__main__":
    with reporting():
        sys.exit(not tyro.cli(main))
