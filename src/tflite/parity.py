"""The parity ladder: does the file say what torch says, and if not, from which rung on?

    torch -> TensorFlow -> .tflite fp32 -> .tflite as shipped        the default route
    torch -> ONNX -> onnx2tf -> .tflite fp32                         the second route

- Every rung is compared with torch on the same raw clips: largest difference of logits, share of
  clips with the same most likely sign.
- Preprocessing is compared on its own: a wrong frame can hide behind an insensitive network.
- Answers are probabilities; they are compared by their logarithm, which has the scale of logits.

Letters: **N** clips, **K** signs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch

from src.clips import RawClip
from src.common.errors import InputError
from src.landmarks import HANDS, LEFT_HAND, N_LANDMARKS, RIGHT_HAND
from src.tflite.converter.convert import Precision, convert
from src.tflite.export import Exported
from src.tflite.graph import Graph
from src.tflite.interpreter import OUTPUT
from src.tflite.members import Member, answer, blended, prepare
from src.tflite.scorer import Model

_SMALLEST = 1e-12  # a probability below it is rounding, and its logarithm says nothing


@dataclass(frozen=True)
class Allowed:
    """The largest difference and the smallest agreement that pass."""

    difference: float
    agreement: float


# fp32: the same operations in another order. fp16: half-precision weights move a logit by a
# thousandth of its size, and turn the sign of a near tie at most. int8: weights and activations of
# 8 bits move a logit by a few hundredths of its size.
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
        name: what is compared.
        difference: the largest difference of logits, over all clips and signs.
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
        clips: number of clips.
        no_second_route: why there are no rungs by ONNX; empty if there are, or none were asked for.
    """

    rungs: tuple[Rung, ...]
    clips: int
    no_second_route: str = ""

    @property
    def passed(self) -> bool:
        """True if every rung passes."""
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


def ladder(exported: Exported, clips: Sequence[RawClip], second_route: bool = False) -> Ladder:
    """Compare every rung of a written file with torch.

    Args:
        exported: what `write_tflite` returned.
        clips: raw clips; `edge_clips` should be among them.
        second_route: also go by ONNX, which takes half a minute per member and bucket. onnx2tf
            converts some networks wrongly (seen: the sample's `hand_bert`); the ladder then ends
            without these rungs and says why.
    """
    members, graph = exported.members, exported.graph
    expected = [answer(members, frames).numpy() for frames in clips]
    rungs = [preprocessing_rung(members, graph, clips)]

    def climb(name: str, model: Callable[[RawClip], np.ndarray], precision: Precision) -> None:
        answers = [model(frames).ravel() for frames in clips]
        rungs.append(_rung(name, expected, answers, ALLOWED[precision]))

    # Each rung adds one source of error to the one above it: the translation of the operators, the
    # conversion to TFLite, the precision of the stored weights. The first rung that fails names
    # the step that is wrong.
    climb("TensorFlow", lambda x: graph(tf.constant(x))[OUTPUT].numpy(), "fp32")
    climb(".tflite fp32", _converted(graph), "fp32")
    precision = exported.options.precision
    climb(f".tflite {precision}, as shipped", Model(exported.path), precision)
    if not second_route:
        return Ladder(tuple(rungs), len(clips))
    from src.tflite.converter.onnx_route import OnnxCore  # onnx takes seconds to import

    # The second route shares torch with the first and nothing else. If it cannot be built, the
    # shipped file is still proven by the rungs above, so this is reported and fails nothing.
    try:
        cores = [OnnxCore(member) for member in members]
    except InputError as error:
        return Ladder(tuple(rungs), len(clips), str(error))
    climb("ONNX", lambda x: _by_onnx(members, cores, x), "fp32")
    climb("onnx2tf .tflite fp32", _converted(Graph(members, cores)), "fp32")
    return Ladder(tuple(rungs), len(clips))


def _converted(graph: Graph) -> Model:
    """The graph as a `.tflite` file with full-precision weights, opened."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(convert(graph, "fp32"))
        return Model(path)


def preprocessing_rung(members: Sequence[Member], graph: Graph, clips: Sequence[RawClip]) -> Rung:
    """Compare what each network gets to see, torch and TensorFlow.

    `agreement` is the share of clips with the same frames and the same missing points.
    """
    worst, same = 0.0, []
    for frames in clips:
        prepared = graph.prepared(tf.constant(frames))
        for member, got in zip(members, (x.numpy() for x in prepared), strict=True):
            expected = prepare(member, frames).numpy()
            same.append(
                got.shape == expected.shape and bool((np.isnan(got) == np.isnan(expected)).all())
            )
            if same[-1]:
                worst = max(worst, float(np.nan_to_num(np.abs(got - expected)).max()))
    return Rung("preprocessing", worst, float(np.mean(same)), ALLOWED_PREPARED)


def edge_clips(max_len: int) -> dict[str, RawClip]:
    """Edge cases of what the competition can send, by name: raw synthetic clips, seeded."""
    draw = np.random.default_rng(0)

    def clip(frames: int, missing: Sequence[int] = ()) -> RawClip:
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
        "no hand": clip(9, missing=HANDS),
        "one hand": clip(9, missing=LEFT_HAND),
        "nothing detected": clip(9, missing=range(N_LANDMARKS)),
        "one frame, nothing detected": clip(1, missing=range(N_LANDMARKS)),
        "hands come and go": flickering,
        "just fits": clip(max_len),
        "just too long": clip(max_len + 1),
        "longest": clip(10 * max_len + 3),
    }


def _rung(
    name: str, expected: Sequence[np.ndarray], answers: Sequence[np.ndarray], allowed: Allowed
) -> Rung:
    """Compare probabilities, N of (K,) each, by their logarithm."""
    want, got = (np.log(np.maximum(np.stack(x), _SMALLEST)) for x in (expected, answers))
    same = (want.argmax(1) == got.argmax(1)).mean()
    difference = np.nan_to_num(np.abs(want - got).max(), nan=np.inf)
    return Rung(name, float(difference), float(same), allowed)


def _by_onnx(members: Sequence[Member], cores: Sequence, frames: RawClip) -> np.ndarray:
    """The ensemble's probabilities, (K,), by the ONNX files alone."""
    logits = [
        torch.from_numpy(core.by_onnxruntime(prepare(member, frames)[None].numpy())[0])
        for member, core in zip(members, cores, strict=True)
    ]
    return blended(members, logits).numpy()
