"""The ensemble's graph: what members share is there once, and what they answer is torch's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf
from torch import Tensor, nn

from src.common.errors import InputError
from src.landmarks import FACE, LEFT_HAND, undetected
from src.tflite.graph import Graph
from src.tflite.members import Member, answer, check_members, prepare
from tests.tflite import toys

POINTS = ((LEFT_HAND[0],), LEFT_HAND[1:3], (FACE[0],))


@dataclass(frozen=True)
class Scale:
    by: float

    def __call__(self, xyz: Tensor) -> Tensor:
        return xyz * self.by


class Sum(nn.Module):
    """Logits that say which points came through, and how large they are."""

    def forward(self, xyz: Tensor) -> Tensor:
        return xyz.nan_to_num().sum((1, 3))


def member(sources, *factors: float, name: str = "sum", weight: float = 1.0) -> Member:
    steps = tuple(Scale(factor) for factor in factors)
    return Member(name, sources, steps, Sum().eval(), 20, weight)


def stages(*members: Member) -> int:
    return len(Graph(members, cores=()).stages)


def test_equal_beginnings_are_in_the_graph_once():
    two_factors = member(POINTS, 2.0, 3.0)
    assert stages(two_factors) == 3
    assert stages(two_factors, member(POINTS, 2.0, 3.0)) == 3
    assert stages(two_factors, member(POINTS, 2.0, 5.0)) == 4
    assert stages(two_factors, member(POINTS, 2.0)) == 3


def test_equal_steps_after_another_beginning_are_not_shared():
    assert stages(member(POINTS, 2.0, 3.0), member(POINTS, 5.0, 3.0)) == 5
    assert stages(member(POINTS, 2.0), member(POINTS[:2], 2.0)) == 4


def test_shared_or_not_every_member_sees_what_torch_shows_it():
    members = [member(POINTS, 2.0, 3.0), member(POINTS, 2.0, 5.0), member(POINTS[:2], 2.0)]
    frames = toys.raw_clip(6)
    seen = Graph(members).prepared(tf.constant(frames))
    for one, xyz in zip(members, seen, strict=True):
        np.testing.assert_allclose(xyz, prepare(one, frames), 1e-6)
    assert not np.allclose(seen[0], seen[1])


def test_a_point_of_several_landmarks_is_their_mean_and_order_is_kept():
    frames = toys.raw_clip(3)
    (seen,) = Graph([member(POINTS)]).prepared(tf.constant(frames))
    (wrist,), pair, (face,) = POINTS
    by_hand = np.stack([frames[:, wrist], frames[:, pair].mean(1), frames[:, face]], 1)
    np.testing.assert_allclose(seen, by_hand, 1e-6)


def test_probabilities_are_averaged_by_weight():
    frames = toys.raw_clip(4)
    members = [member(POINTS, 2.0, weight=3.0), member(POINTS, 0.5, weight=1.0)]
    outputs = Graph(members)(tf.constant(frames))["outputs"]

    a, b = (np.exp(Sum()(prepare(one, frames)[None])[0].numpy()) for one in members)
    by_hand = 0.75 * a / a.sum() + 0.25 * b / b.sum()
    np.testing.assert_allclose(outputs, by_hand, 1e-5)
    np.testing.assert_allclose(answer(members, frames), by_hand, 1e-5)


def test_a_clip_without_frames_is_one_frame_without_detections():
    nothing = undetected(1)
    members = [toys.deberta(9)]
    graph = Graph(members)
    outputs = graph(tf.constant(nothing[:0]))["outputs"].numpy()
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(outputs, graph(tf.constant(nothing))["outputs"])
    np.testing.assert_allclose(outputs, answer(members, nothing[:0]), 1e-5)


def test_an_ensemble_that_cannot_be_one_is_refused():
    with pytest.raises(InputError, match="at least one member"):
        check_members([])
    with pytest.raises(InputError, match=r"sum.*weight above 0, got 0"):
        check_members([member(POINTS, weight=0.0)])
    in_training = member(POINTS)
    in_training.core.train()
    with pytest.raises(InputError, match=r"sum.*training mode"):
        check_members([in_training])


def test_a_step_that_cannot_be_translated_is_named_with_its_member():
    @dataclass(frozen=True)
    class Halve:
        def __call__(self, xyz: Tensor) -> Tensor:
            return xyz[: int(xyz.shape[0] / 2) + 1]

    halving = replace(member(POINTS, name="second"), steps=(Halve(),))
    with pytest.raises(InputError, match=r"ensemble member second: .*Halve"):
        Graph([member(POINTS), halving])
