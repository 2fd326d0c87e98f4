"""The whole file as one TensorFlow function: raw frames in, one probability per sign out.

- The first steps that members have in common, from the choice of points up to the first step that
  differs, are in the graph once.
- The number of frames is open from the first operation to the last. XNNPACK can handle that, and a
  graph without padding, masks or branches is the fastest of those tried;
  tests/benchmarks/bench_latency.py shows its cost by length.

Letters: **T** frames, **L** points, **K** signs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import tensorflow as tf
import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError
from src.landmarks import N_LANDMARKS, undetected
from src.recipes.base import Pool
from src.tflite.converter.translate import Program, check, translate
from src.tflite.interpreter import INPUT, OUTPUT
from src.tflite.members import Member, Step, shares

Core = Callable[[tf.Tensor], tf.Tensor]  # (1, T, L, 3) -> (1, K)
Steps = tuple[Step, ...]
_FRAMES = 7  # length of the traced example clips; any number that is not a size in a model works


class Graph(tf.Module):
    """An ensemble as the competition calls it: all landmarks of every frame -> `outputs` (K,).

    `cores` are the members' networks in TensorFlow, by default translated from torch; `pool` says
    what the ensemble averages.

    Raises:
        InputError: a step or a network cannot be translated; the message names the member.
    """

    def __init__(
        self,
        members: Sequence[Member],
        cores: Sequence[Core] | None = None,
        pool: Pool = "probabilities",
    ) -> None:
        super().__init__()
        self._pool = pool
        self._shares = tuple(shares(members))
        self._ends = tuple(member.all_steps for member in members)
        self.stages = tuple(_stages(members).items())
        self.cores = tuple(cores if cores is not None else map(_translated_core, members))

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((None, N_LANDMARKS, 3), tf.float32, name=INPUT)],
    )
    def __call__(self, inputs):
        answers = [
            core(xyz[None])[0] for core, xyz in zip(self.cores, self.prepared(inputs), strict=True)
        ]
        of_logits = self._pool == "logits"
        if not of_logits:
            answers = [tf.nn.softmax(logits) for logits in answers]
        if len(answers) > 1:
            weighted = [w * a for w, a in zip(self._shares, answers, strict=True)]
            answers = [tf.add_n(weighted)]
        return {OUTPUT: tf.nn.softmax(answers[0]) if of_logits else answers[0]}

    def prepared(self, frames: tf.Tensor) -> list[tf.Tensor]:
        """The input of each member's network, (T', L, 3)."""
        # A clip without frames becomes one frame in which nothing was detected.
        count = tf.maximum(tf.shape(frames)[0], 1)
        frames = tf.concat([frames, tf.constant(undetected(1))], 0)[:count]
        results: dict[Steps, tf.Tensor] = {(): frames}
        for steps, last in self.stages:
            results[steps] = last(results[steps[:-1]])
        return [results[steps] for steps in self._ends]


def _stages(members: Sequence[Member]) -> dict[Steps, Program]:
    """Translate all members' steps: each sequence of first steps -> the program of its last step.

    Members with the same first steps share them; a sequence comes after the one that it extends.
    """
    stages = {}
    for member in members:
        example = torch.zeros(_FRAMES, N_LANDMARKS, 3)
        for count, step in enumerate(member.all_steps, 1):
            if (beginning := member.all_steps[:count]) not in stages:
                kind = type(getattr(step, "step", step)).__name__  # a BoundStep wraps a step
                with _naming(member, f"clip step {kind}"):
                    stages[beginning] = _translated_step(step, example.shape[1], member.max_len)
            # A step may drop frames, so the next one is traced at the example's full length again.
            example = torch.zeros(_FRAMES, *step(example).shape[1:])
    return stages


@cache  # the files of a run have many steps in common
def _translated_step(step: Step, points: int, max_len: int) -> Program:
    program = translate(step, torch.zeros(_FRAMES, points, 3), 0)
    lengths = (1, 2, max_len + 1, 3 * max_len)
    check(program, step, (_probe(frames, points) for frames in lengths))
    return program


def _translated_core(member: Member) -> Program:
    """Translate the member's network to TensorFlow, for clips of any length."""
    points = len(member.sources)
    with _naming(member, "features and network"):
        program = translate(member.core, torch.zeros(1, _FRAMES, points, 3), 1)
        lengths = {1, 2, member.max_len // 2 + 1, member.max_len}
        check(program, member.core, (_probe(frames, points)[None] for frames in sorted(lengths)))
    return program


def _probe(frames: int, points: int) -> Float[Tensor, "T L 3"]:
    """A random clip to compare on, with missing points and frames without any points."""
    draw = torch.Generator().manual_seed(frames)
    xyz = torch.randn(frames, points, 3, generator=draw)
    share_missing = torch.rand(frames, 1, 1, generator=draw)
    missing = torch.rand(frames, points, 1, generator=draw) < share_missing
    return xyz.masked_fill(missing, torch.nan)


@contextmanager
def _naming(member: Member, what: str) -> Iterator[None]:
    """Name the member in an error, and the part of it that could not be translated."""
    try:
        yield
    except InputError as error:
        raise InputError(f"ensemble member {member.name}, {what}: {error}") from error
