"""The parity ladder: does the file say what torch says, and if not, from which rung on?

    torch -> TensorFlow -> .tflite fp32 -> .tflite as shipped        the default route
    torch -> ONNX -> onnx2tf -> .tflite fp32                         the second, beside it

- Every rung is compared with torch on the same raw clips: largest difference of logits, share of
  clips with the same most likely sign.
- Preprocessing is compared on its own: a wrong frame can hide behind an insensitive network.
- Answers that are probabilities are compared by their logarithm, the scale of logits.

Letters: **T** frames, **K** signs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch
from jaxtyping import Float

from src.common.errors import InputError
from src.landmarks import LEFT_HAND, N_LANDMARKS, RIGHT_HAND
from src.tflite.converter.convert import Precision, convert
from src.tflite.export import Exported
from src.tflite.graph import Graph
from src.tflite.members import Blend, Member, answer, blended, prepare, shares
from src.tflite.scorer import OUTPUT, Model

Frames = Float[np.ndarray, "_ 543 3"]  # clips of a list differ in length
_SMALLEST = 1e-12  # a probability below it is rounding, and its logarithm says nothing


@dataclass(frozen=True)
class Allowed:
    """The largest difference and the smallest agreement that pass."""

    difference: float
    agreement: float


# float32 in another order of operations; half-precision weights move a logit by a thousandth of
# its size and flip a near tie at most; 8-bit weights and activations by a few hundredths.
ALLOWED = {
    "fp32": Allowed(1e-3, 1.0),
    "fp16": Allowed(5e-2, 0.98),
    "int8": Allowed(1.0, 0.9),
}
ALLOWED_PREPARED = Allowed(1e-4, 1.0)  # of normalised landmarks, of size 1


@dataclass(frozen=True)
class Rung:
    """One comparison with torch.

    Args:
        name: of what is compared.
        difference: the largest, of logits over all clips and signs.
        agreement: share of clips with the same most likely sign, 0 to 1.
        allowed: what still passes.
    """

    name: str
    difference: float
    agreement: float
    allowed: Allowed

    @property
    def passed(self) -> bool:
        """Close enough, and the same answer to enough clips."""
        close = self.difference <= self.allowed.difference
        return close and self.agreement >= self.allowed.agreement


@dataclass(frozen=True)
class Ladder:
    """All rungs, top to bottom.

    Args:
        rungs: compared on the same clips.
        clips: how many.
        no_second_route: why there are no rungs by ONNX; empty if there are, or none were asked for.
    """

    rungs: tuple[Rung, ...]
    clips: int
    no_second_route: str = ""

    @property
    def passed(self) -> bool:
        """True if every rung is."""
        return all(rung.passed for rung in self.rungs)

    def __str__(self) -> str:
        rows = [
            f"{r.name:<28}{r.difference:>12.1e}{r.allowed.difference:>10.0e}{r.agreement:>11.1%}"
            f"  {'pass' if r.passed else 'FAIL'}"
            for r in self.rungs
        ]
        head = f"{f'against torch, {self.clips} clips':<28}{'difference':>12}{'allowed':>10}"
        missing = [f"no rungs by ONNX: {self.no_second_route}"] if self.no_second_route else []
        return "\n".join([f"{head}{'same sign':>11}", *rows, *missing])


def ladder(exported: Exported, clips: Sequence[Frames], second_route: bool = False) -> Ladder:
    """Compare every rung of a written file with torch.

    Args:
        exported: what `write_tflite` returned.
        clips: raw clips; `edge_clips` belong to them.
        second_route: also go by ONNX; takes half a minute a member and bucket. Where onnx2tf has no
            right copy of a network (seen: the sample's `hand_bert`), the ladder ends without these
            rungs and says why: the file was compared with torch by then.
    """
    members, graph, how = exported.members, exported.graph, exported.options.blend
    top = [answer(members, torch.from_numpy(frames), how).numpy() for frames in clips]
    rungs = [preprocessing_rung(members, graph, clips)]

    def climb(name: str, by: Callable[[Frames], np.ndarray], precision: Precision) -> None:
        answers = [by(frames).ravel() for frames in clips]
        rungs.append(_rung(name, top, answers, how, ALLOWED[precision]))

    climb("TensorFlow", lambda x: graph(tf.constant(x))[OUTPUT].numpy(), "fp32")
    climb(".tflite fp32", _converted(graph), "fp32")
    precision = exported.options.precision
    climb(f".tflite {precision}, as shipped", Model(exported.path), precision)
    if not second_route:
        return Ladder(tuple(rungs), len(clips))
    from src.tflite.converter.onnx_route import OnnxCore  # onnx takes seconds to import

    try:
        cores = [OnnxCore(member) for member in members]
    except InputError as error:
        return Ladder(tuple(rungs), len(clips), str(error))
    climb("ONNX", lambda x: _by_onnx(members, cores, x, how), "fp32")
    climb("onnx2tf .tflite fp32", _converted(Graph(members, how, cores)), "fp32")
    return Ladder(tuple(rungs), len(clips))


def _converted(graph: Graph) -> Model:
    """The graph as a `.tflite` file with full-precision weights, opened."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(convert(graph, "fp32"))
        return Model(path)


def preprocessing_rung(members: Sequence[Member], graph: Graph, clips: Sequence[Frames]) -> Rung:
    """Compare what each network gets to see, torch and TensorFlow.

    `agreement` is the share of clips with the same frames and the same missing points.
    """
    worst, same = 0.0, []
    for frames in clips:
        prepared = graph.prepared(tf.constant(frames))
        for member, got in zip(members, (x.numpy() for x in prepared), strict=True):
            expected = prepare(member, torch.from_numpy(frames)).numpy()
            alike = got.shape == expected.shape and bool(
                (np.isnan(got) == np.isnan(expected)).all()
            )
            same.append(alike)
            if alike:
                worst = max(worst, float(np.nan_to_num(np.abs(got - expected)).max()))
    return Rung("preprocessing", worst, float(np.mean(same)), ALLOWED_PREPARED)


def edge_clips(max_len: int) -> dict[str, Frames]:
    """Raw clips at the edges of what the competition can send, by name; seeded, synthetic."""
    draw = np.random.default_rng(0)

    def clip(frames: int, missing: Sequence[int] = ()) -> Frames:
        xyz = draw.uniform(0.2, 0.8, (1, N_LANDMARKS, 3)) + draw.normal(
            0, 0.02, (frames, N_LANDMARKS, 3)
        )
        xyz[:, list(missing)] = np.nan
        return xyz.astype(np.float32)

    flickering = clip(max_len)
    flickering[::2, list(LEFT_HAND)] = np.nan
    flickering[::3, list(RIGHT_HAND)] = np.nan
    return {
        "no frames": clip(0),
        "one frame": clip(1),
        "two frames": clip(2),
        "no hand": clip(9, missing=(*LEFT_HAND, *RIGHT_HAND)),
        "one hand": clip(9, missing=LEFT_HAND),
        "nothing detected": clip(9, missing=range(N_LANDMARKS)),
        "one frame, nothing detected": clip(1, missing=range(N_LANDMARKS)),
        "hands come and go": flickering,
        "just fits": clip(max_len),
        "just too long": clip(max_len + 1),
        "longest": clip(10 * max_len + 3),
    }


def _rung(
    name: str,
    top: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    how: Blend,
    allowed: Allowed,
) -> Rung:
    expected, got = _logits(np.stack(top), how), _logits(np.stack(answers), how)
    same = (expected.argmax(1) == got.argmax(1)).mean()
    difference = np.abs(expected - got).max()
    return Rung(name, float(np.nan_to_num(difference, nan=np.inf)), float(same), allowed)


def _logits(answers: np.ndarray, how: Blend) -> np.ndarray:
    return np.log(np.maximum(answers, _SMALLEST)) if how == "probabilities" else answers


def _by_onnx(members: Sequence[Member], cores: Sequence, frames: Frames, how: Blend) -> np.ndarray:
    prepared = (prepare(member, torch.from_numpy(frames)).numpy() for member in members)
    logits = [
        torch.from_numpy(core.by_onnxruntime(xyz[None])[0])
        for core, xyz in zip(cores, prepared, strict=True)
    ]
    return blended(logits, shares(members), how).numpy()
