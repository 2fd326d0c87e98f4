"""The ensemble's graph: what members share is there once, and what they answer is torch's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import Tensor

from src.common.errors import InputError
from src.tflite.graph import Graph
from src.tflite.members import answer, blended, check_members, prepare, shares
from tests.tflite import toys


@dataclass(frozen=True)
class Scale:
    by: float

    def __call__(self, xyz: Tensor) -> Tensor:
        return xyz * self.by


class Sum(torch.nn.Module):
    """Logits that say which points came through, and how large they are."""

    def forward(self, xyz: Tensor) -> Tensor:
        return xyz.nan_to_num().sum((1, 3))


def member(sources, *factors: float, **fields):
    base = toys.deberta(9)
    steps = tuple(Scale(f) for f in factors)
    return replace(
        base, sources=sources, steps=steps, core=Sum().eval(), **{"max_len": 20, **fields}
    )


POINTS = ((468,), (469, 470), (0,))


def stages(*members) -> int:
    return len(Graph(members, "logits", cores=()).stages)


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
    seen = Graph(members, "logits").prepared(tf.constant(frames))
    for one, xyz in zip(members, seen, strict=True):
        np.testing.assert_allclose(xyz, prepare(one, torch.from_numpy(frames)).numpy(), 1e-6)
    assert not np.allclose(seen[0], seen[1])


def test_a_point_of_several_landmarks_is_their_mean_and_order_is_kept():
    frames = toys.raw_clip(3)
    (seen,) = Graph([member(POINTS)], "logits").prepared(tf.constant(frames))
    by_hand = np.stack([frames[:, 468], frames[:, 469:471].mean(1), frames[:, 0]], 1)
    np.testing.assert_allclose(seen, by_hand, 1e-6)


@pytest.mark.parametrize("how", ["probabilities", "logits"])
def test_members_are_averaged_by_their_weights(how):
    frames = toys.raw_clip(4)
    members = [member(POINTS, 2.0, weight=3.0), member(POINTS, 0.5, weight=1.0)]
    outputs = Graph(members, how)(tf.constant(frames))["outputs"].numpy()

    a, b = (Sum()(prepare(m, torch.from_numpy(frames))[None])[0].numpy() for m in members)
    if how == "probabilities":
        a, b = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (a, b))
    np.testing.assert_allclose(outputs, 0.75 * a + 0.25 * b, 1e-5)
    np.testing.assert_allclose(
        outputs, answer(members, torch.from_numpy(frames), how).numpy(), 1e-5
    )


def test_a_clip_without_frames_is_one_frame_without_detections():
    nothing = np.full((1, 543, 3), np.nan, np.float32)
    members = [toys.deberta(9)]
    graph = Graph(members, "probabilities")
    outputs = graph(tf.constant(nothing[:0]))["outputs"].numpy()
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(outputs, graph(tf.constant(nothing))["outputs"].numpy())
    np.testing.assert_allclose(
        outputs, answer(members, torch.zeros(0, 543, 3), "probabilities").numpy(), 1e-5
    )


def test_shares_add_up_to_one():
    members = [member(POINTS, weight=w) for w in (1.0, 2.0, 5.0)]
    assert shares(members) == [0.125, 0.25, 0.625]
    ones = [torch.ones(4)] * 3
    torch.testing.assert_close(blended(ones, shares(members), "logits"), torch.ones(4))


def test_an_ensemble_that_cannot_be_one_is_refused():
    with pytest.raises(InputError, match="at least one member"):
        check_members([])
    with pytest.raises(InputError, match=r"deberta_9.*weight above 0, got 0"):
        check_members([replace(toys.deberta(9), weight=0.0)])
    in_training = toys.deberta(9)
    in_training.core.train()
    with pytest.raises(InputError, match=r"deberta_9.*training mode"):
        check_members([in_training])


def test_a_step_that_cannot_be_translated_is_named_with_its_member():
    @dataclass(frozen=True)
    class Halve:
        def __call__(self, xyz: Tensor) -> Tensor:
            return xyz[: int(xyz.shape[0] / 2) + 1]

    with pytest.raises(InputError, match=r"ensemble member second: .*Halve"):
        Graph([member(POINTS), replace(member(POINTS), name="second", steps=(Halve(),))], "logits")
