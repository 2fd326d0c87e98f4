"""The whole file as one TensorFlow function: raw frames in, one number per sign out.

- Members share whatever they begin with: the choice of points, then every step up to the first
  one that differs, is in the graph once.
- Lengths stay open from the first operation to the last. XNNPACK follows them, and a graph without
  padding, masks or branches is the fastest of those tried; tests/benchmarks/bench_latency.py shows
  its cost by length.

Letters: **T** frames, **L** points, **K** signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError
from src.landmarks import N_LANDMARKS
from src.tflite.converter.translate import Program, check, translate
from src.tflite.members import Blend, Member, Step, choose, shares
from src.tflite.scorer import INPUT, OUTPUT

Core = Callable[[tf.Tensor], tf.Tensor]  # (1, T, L, 3) -> (1, K)
_FRAMES = 7  # of the example clips that are traced; any number that is no size of a model will do


@dataclass(frozen=True)
class ChoosePoints:
    """The first stage of every member: its points out of raw frames."""

    sources: tuple[tuple[int, ...], ...]

    def __call__(self, frames: Float[Tensor, "T 543 3"]) -> Float[Tensor, "T L 3"]:
        """Apply the stage."""
        return choose(frames, self.sources)


@dataclass(frozen=True)
class Stage:
    """A translated step, and everything that leads to it.

    Args:
        prefix: the steps up to this one, by which members recognise what they share.
        program: this step.
        before: the number of the stage whose result it takes; None = the raw clip.
    """

    prefix: tuple[Step, ...]
    program: Program
    before: int | None


class Graph(tf.Module):
    """An ensemble as the competition calls it: `inputs` [None, 543, 3] -> `outputs` [K].

    Args:
        members: the ensemble.
        how: whether probabilities or logits are averaged.
        cores: each member's network in TensorFlow; default: translated from torch.

    Attributes:
        stages: every step that is in the graph, each after the one it continues.
        cores: the networks.

    Raises:
        InputError: a step or a network cannot be translated; the message names the member.
    """

    def __init__(
        self, members: Sequence[Member], how: Blend, cores: Sequence[Core] | None = None
    ) -> None:
        super().__init__()
        self._how = how
        self._shares = tuple(shares(members))
        stages: list[Stage] = []
        self._ends = tuple(_grow(stages, member) for member in members)
        self.stages = tuple(stages)
        self.cores = tuple(cores if cores is not None else (translated_core(m) for m in members))

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((None, N_LANDMARKS, 3), tf.float32, name=INPUT)],
    )
    def __call__(self, inputs):
        answers = []
        for core, xyz in zip(self.cores, self.prepared(inputs), strict=True):
            logits = core(xyz[None])[0]
            answers.append(tf.nn.softmax(logits) if self._how == "probabilities" else logits)
        blended = [w * a for w, a in zip(self._shares, answers, strict=True)]
        return {OUTPUT: tf.add_n(blended) if len(blended) > 1 else answers[0]}

    def prepared(self, frames: tf.Tensor) -> list[tf.Tensor]:
        """What each member's network gets to see of a raw clip: (T', L, 3)."""
        frames = _at_least_one(frames)
        results: list[tf.Tensor] = []
        for stage in self.stages:
            results.append(stage.program(frames if stage.before is None else results[stage.before]))
        return [results[end] for end in self._ends]


def _grow(stages: list[Stage], member: Member) -> int:
    """Append the stages that only this member has; return the number of its last one."""
    at, prefix = None, ()
    example = torch.zeros(_FRAMES, N_LANDMARKS, 3)
    for step in (ChoosePoints(member.sources), *member.steps):
        prefix = (*prefix, step)
        known = next((n for n, stage in enumerate(stages) if stage.prefix == prefix), None)
        if known is None:
            with _naming(member):
                stages.append(Stage(prefix, _translated_step(step, example, member), at))
            known = len(stages) - 1
        at = known
        example = torch.zeros(_FRAMES, *step(example).shape[1:])
    return at


def _translated_step(step: Step, example: Tensor, member: Member) -> Program:
    program = translate(step, example, 0)
    lengths = (1, 2, member.max_len + 1, 3 * member.max_len)
    check(program, step, (_probe(frames, example.shape[1]) for frames in lengths))
    return program


def translated_core(member: Member) -> Program:
    """The member's network in TensorFlow, at any length."""
    points = len(member.sources)
    with _naming(member):
        program = translate(member.core, torch.zeros(1, _FRAMES, points, 3), 1)
        lengths = {1, 2, member.max_len // 2 + 1, member.max_len}
        check(program, member.core, (_probe(frames, points)[None] for frames in sorted(lengths)))
    return program


def _probe(frames: int, points: int) -> Float[Tensor, "T L 3"]:
    """A clip to compare on: some points missing, some frames without any."""
    draw = torch.Generator().manual_seed(frames)
    xyz = torch.randn(frames, points, 3, generator=draw)
    missing = torch.rand(frames, points, 1, generator=draw) < torch.rand(
        frames, 1, 1, generator=draw
    )
    return xyz.masked_fill(missing, torch.nan)


def _at_least_one(frames: tf.Tensor) -> tf.Tensor:
    """A clip without frames becomes one frame in which nothing was detected."""
    nothing = tf.constant(np.full((1, N_LANDMARKS, 3), np.nan, np.float32))
    count = tf.maximum(tf.shape(frames)[0], 1)
    return tf.concat([frames, nothing], 0)[:count]


@contextmanager
def _naming(member: Member) -> Iterator[None]:
    """Say whose step or network it was that could not be translated."""
    try:
        yield
    except InputError as error:
        raise InputError(f"ensemble member {member.name}: {error}") from error
