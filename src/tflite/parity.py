"""The parity ladder: does the file say what torch says, and if not, from which rung on?

    torch -> TensorFlow -> .tflite fp32 -> .tflite as shipped        the default route
    torch -> ONNX -> onnx2tf -> .tflite fp32                         the second route

- Every rung is compared with torch on the same raw clips: the largest difference of logits, and the
  share of clips whose most likely sign is torch's, or one that torch finds just as likely.
- Preprocessing is compared separately: a wrong frame can hide behind an insensitive network.
- Answers are probabilities; they are compared by their logarithm, which has the scale of logits.

Letters: **N** clips, **K** signs.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import tensorflow as tf
import torch
from jaxtyping import Float
from torch import Tensor

from src.clips import RawClip
from src.common.errors import InputError, check_choice
from src.common.news import say
from src.landmarks import HANDS, LEFT_HAND, N_LANDMARKS, RIGHT_HAND
from src.recipes.base import Pool
from src.tflite.converter.convert import Precision, convert
from src.tflite.export import Exported
from src.tflite.graph import Graph
from src.tflite.interpreter import OUTPUT
from src.tflite.members import Member, answer, blended, prepare
from src.tflite.scorer import Model

SecondRoute = Literal["none", "one", "all"]
Answers = Callable[[RawClip], np.ndarray | Tensor]  # a raw clip -> K probabilities
_SMALLEST = 1e-12  # smaller probabilities are rounding errors, so their logarithms mean nothing


@dataclass(frozen=True)
class Allowed:
    """The largest difference and the smallest agreement that pass."""

    difference: float
    agreement: float
    tie: float = 0.0  # signs whose logits differ by no more are equally likely


# fp32: the same operations in another order. fp16: half-precision weights move a logit by a
# thousandth of its size, and change the answer only in a near tie. int8: weights and activations of
# 8 bits move a logit by a few hundredths of its size.
# A barely trained network finds several signs equally likely; rounding may then pick another one.
ALLOWED = {
    "fp32": Allowed(1e-3, 1.0, tie=1e-4),
    "fp16": Allowed(5e-2, 0.98, tie=1e-2),
    "int8": Allowed(1.0, 0.9, tie=1e-2),
}
ALLOWED_PREPARED = Allowed(1e-4, 1.0)  # relative for landmarks larger than 1


@dataclass(frozen=True)
class Rung:
    """One comparison with torch."""

    name: str
    difference: float  # the largest of any logit, over clips and signs
    agreement: float  # share of clips with the same most likely sign, or a tied one, 0 to 1
    allowed: Allowed

    @property
    def passed(self) -> bool:
        """Whether the logits are close enough and enough clips get the same answer."""
        close = self.difference <= self.allowed.difference
        return close and self.agreement >= self.allowed.agreement


@dataclass(frozen=True)
class Ladder:
    """All rungs, top to bottom, compared on the same clips."""

    rungs: tuple[Rung, ...]
    clips: int
    no_second_route: str = ""  # why rungs by ONNX are missing although they were asked for

    @property
    def passed(self) -> bool:
        """Whether every rung passes."""
        return all(rung.passed for rung in self.rungs)

    def __str__(self) -> str:
        title = f"against torch, {self.clips} clips"
        width = max(len(name) for name in (title, *(rung.name for rung in self.rungs))) + 2
        rows = [
            f"{r.name:<{width}}{r.difference:>12.1e}{r.allowed.difference:>10.0e}{r.agreement:>11.1%}"
            f"  {'pass' if r.passed else 'FAIL'}"
            for r in self.rungs
        ]
        head = f"{title:<{width}}{'difference':>12}{'allowed':>10}{'same sign':>11}"
        missing = [f"no rungs by ONNX: {self.no_second_route}"] if self.no_second_route else []
        return "\n".join([head, *rows, *missing])


def ladder(
    exported: Exported, clips: Sequence[RawClip], second_route: SecondRoute = "none"
) -> Ladder:
    """Compare every rung of a written file with torch.

    Args:
        exported: what `write_tflite` returned.
        clips: raw clips; `edge_clips` should be among them.
        second_route: go by ONNX as well: "all" members, at half a minute per member and bucket of
            lengths, or "one", the first member at its longest length only. onnx2tf converts some
            networks wrongly; the ladder then ends without these rungs and says why.

    Raises:
        InputError: torch cannot write a network as ONNX, or its ONNX copy differs from torch.
    """
    check_choice("SECOND_ROUTE", second_route, get_args(SecondRoute))
    members, graph, pool = exported.members, exported.graph, exported.options.pool
    expected = _logarithms(partial(answer, members, pool=pool), clips)
    rungs = [_preprocessing(members, graph, clips)]

    def climb(name: str, model: Answers, precision: Precision) -> None:
        say(f"parity on {len(clips)} clips: {name}")
        rungs.append(_rung(name, _logarithms(model, clips), expected, ALLOWED[precision]))

    # Each rung adds one source of error to the one above it: the translation of the operators, the
    # conversion to TFLite, the precision of the stored weights. The first rung that fails names
    # the step that is wrong.
    climb("TensorFlow", lambda x: graph(tf.constant(x))[OUTPUT].numpy(), "fp32")
    climb(".tflite fp32", _converted(graph), "fp32")
    precision = exported.options.precision
    climb(f".tflite {precision}, as shipped", Model(exported.path), precision)
    missing = ""
    if second_route != "none":
        from src.tflite.converter.onnx_route import NotConverted  # onnx takes seconds to import

        # The shipped file is proven by the rungs above, so onnx2tf's failure is only reported.
        try:
            rungs += _second_route(members, clips, pool, second_route == "all")
        except NotConverted as error:
            missing = str(error)
    return Ladder(tuple(rungs), len(clips), missing)


def _second_route(
    members: Sequence[Member], clips: Sequence[RawClip], pool: Pool, every_one: bool
) -> list[Rung]:
    """The rungs by ONNX, for all members or for the first one at its longest length."""
    from src.tflite.converter.onnx_route import NotConverted, OnnxCore

    cores = []
    members = members if every_one else members[:1]
    for member in members:
        say(f"parity: {member.name} by ONNX and onnx2tf")
        cores.append(OnnxCore(member, every_one))
    which = "" if every_one else f", {members[0].name} at {cores[0].buckets[-1]} frames"
    expected = _logarithms(partial(answer, members, pool=pool), clips)
    say(f"parity on {len(clips)} clips: ONNX, and onnx2tf's .tflite")
    by_onnx = _logarithms(partial(_by_onnx, members, cores, pool), clips)
    try:
        copy = _converted(Graph(members, cores, pool))
    except InputError as error:  # the ONNX copies are right, only onnx2tf's fail
        names = ", ".join(member.name for member in members)
        raise NotConverted(f"onnx2tf's copy of {names}: {error}") from error
    by_onnx2tf = _logarithms(copy, clips)
    return [
        _rung(f"ONNX{which}", by_onnx, expected, ALLOWED["fp32"]),
        _rung(f"onnx2tf .tflite fp32{which}", by_onnx2tf, expected, ALLOWED["fp32"]),
    ]


def _logarithms(model: Answers, clips: Sequence[RawClip]) -> Float[np.ndarray, "N K"]:
    answers = np.stack([np.ravel(model(frames)) for frames in clips])
    return np.log(np.maximum(answers, _SMALLEST))


def _rung(
    name: str, got: Float[np.ndarray, "N K"], expected: Float[np.ndarray, "N K"], allowed: Allowed
) -> Rung:
    chosen = np.take_along_axis(expected, got.argmax(1)[:, None], 1)[:, 0]
    same = (chosen >= expected.max(1) - allowed.tie).mean()
    difference = np.nan_to_num(np.abs(got - expected).max(), nan=np.inf)
    return Rung(name, float(difference), float(same), allowed)


def _converted(graph: Graph) -> Model:
    """The graph as a `.tflite` file with full-precision weights, opened."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(convert(graph, "fp32"))
        return Model(path)


def _preprocessing(members: Sequence[Member], graph: Graph, clips: Sequence[RawClip]) -> Rung:
    """Compare the networks' inputs, which agree if frames and missing points are the same."""
    worst, same = 0.0, []
    for frames in clips:
        prepared = graph.prepared(tf.constant(frames))
        for member, got in zip(members, (x.numpy() for x in prepared), strict=True):
            expected = prepare(member, frames).numpy()
            same.append(np.array_equal(np.isnan(got), np.isnan(expected)))
            if same[-1]:
                # Landmarks are usually of size 1; larger ones have larger rounding errors.
                apart = np.abs(got - expected) / np.maximum(np.abs(expected), 1)
                worst = max(worst, float(np.nan_to_num(apart).max()))
    return Rung("preprocessing", worst, float(np.mean(same)), ALLOWED_PREPARED)


def edge_clips(max_len: int) -> dict[str, RawClip]:
    """Edge cases of what the competition can send, by name: raw synthetic clips, seeded."""
    draw = np.random.default_rng(0)

    def clip(frames: int, missing: Sequence[int] = ()) -> RawClip:
        body = draw.uniform(0.2, 0.8, (1, N_LANDMARKS, 3))
        xyz = body + draw.normal(0, 0.02, (frames, N_LANDMARKS, 3))
        xyz[:, list(missing)] = np.nan
        return xyz.astype(np.float32)

    flickering = clip(max_len)
    flickering[::2, LEFT_HAND] = flickering[::3, RIGHT_HAND] = np.nan
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


def _by_onnx(members: Sequence[Member], cores: Sequence, pool: Pool, frames: RawClip) -> np.ndarray:
    """The ensemble's probabilities, (K,), from the ONNX files alone."""
    logits = [
        torch.from_numpy(core.by_onnxruntime(prepare(member, frames)[None].numpy())[0])
        for member, core in zip(members, cores, strict=True)
    ]
    return blended(members, logits, pool).numpy()
