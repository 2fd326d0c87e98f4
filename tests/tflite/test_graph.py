"""The ensemble's graph: what members share is there once, and what they answer is torch's."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import Tensor, nn

from src.common.errors import InputError
from src.landmarks import FACE, LEFT_HAND, Layout
from src.models.llama import Config
from src.recipes.llama import SINGLE, THREE
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.graph import Graph
from src.tflite.members import Member, answer, prepare
from src.tflite.parity import edge_clips, ladder
from src.tflite.scorer import Model
from src.transforms.pipeline import BoundStep
from src.transforms.steps.frames import Subsample
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


@pytest.mark.parametrize(
    ("other", "stages"),
    [
        (member(POINTS, 2.0, 3.0), 3),
        (member(POINTS, 2.0), 3),
        (member(POINTS, 2.0, 5.0), 4),
        (member(POINTS, 5.0, 3.0), 5),  # an equal step after another one is not shared
        (member(POINTS[:2], 2.0, 3.0), 6),
    ],
)
def test_equal_beginnings_are_in_the_graph_once(other, stages):
    assert len(Graph([member(POINTS, 2.0, 3.0), other], cores=()).stages) == stages


def test_a_point_of_several_landmarks_is_their_mean_and_order_is_kept_shared_or_not():
    members = [member(POINTS, 2.0, 3.0), member(POINTS, 2.0, 5.0), member(POINTS[:2], 2.0)]
    frames = toys.raw_clip(6)
    (wrist,), pair, (face,) = POINTS
    by_hand = np.stack([frames[:, wrist], frames[:, pair].mean(1), frames[:, face]], 1)
    expected = (6 * by_hand, 10 * by_hand, 2 * by_hand[:, :2])
    seen = Graph(members).prepared(tf.constant(frames))
    for one, xyz, points in zip(members, seen, expected, strict=True):
        np.testing.assert_allclose(xyz, points, 1e-6)
        np.testing.assert_allclose(prepare(one, frames), points, 1e-6)


def test_probabilities_are_averaged_by_weight():
    frames = toys.raw_clip(4)
    members = [member(POINTS, 2.0, weight=3.0), member(POINTS, 0.5, weight=1.0)]
    outputs = Graph(members)(tf.constant(frames))["outputs"]

    a, b = (np.exp(Sum()(prepare(one, frames)[None])[0].numpy()) for one in members)
    by_hand = 0.75 * a / a.sum() + 0.25 * b / b.sum()
    np.testing.assert_allclose(outputs, by_hand, 1e-5)
    np.testing.assert_allclose(answer(members, frames), by_hand, 1e-5)


def test_logits_are_averaged_after_their_temperatures_where_that_is_asked_for(tmp_path):
    """The file against the networks by hand: softmax of the mean of logits / temperature."""
    members = [toys.deberta(9, seed=1), replace(toys.families()["llama"], weight=3.0)]
    frames = toys.raw_clip(7)
    with torch.no_grad():
        logits = [one.core(prepare(one, frames)[None])[0].numpy() for one in members]
    by_hand = np.exp(0.25 * logits[0] / 2 + 0.75 * logits[1])
    members[0].core.temperature = 2.0

    options = ExportOptions("fp32", pool="logits")
    exported = write_tflite(members, tmp_path / "model.tflite", options)
    np.testing.assert_allclose(Model(exported.path)(frames), by_hand / by_hand.sum(), 1e-4)
    assert ladder(exported, [frames, *edge_clips(9).values()]).passed


def test_a_step_that_cannot_be_translated_is_named_with_its_member():
    @dataclass(frozen=True)
    class Halve:
        def __call__(self, xyz: Tensor, layout: Layout | None = None) -> Tensor:
            return xyz[: int(xyz.shape[0] / 2) + 1]

    for step in (Halve(), BoundStep(Halve(), Layout({"hand": POINTS}))):
        halving = replace(member(POINTS, name="second"), steps=(step,))
        with pytest.raises(InputError, match=r"ensemble member second, clip step Halve: "):
            Graph([member(POINTS), halving])


def test_a_network_that_cannot_be_translated_is_named_with_its_member():
    class Hyperbolic(nn.Module):
        def forward(self, xyz: Tensor) -> Tensor:
            return xyz.sinh().mean((1, 2))

    curved = replace(member(POINTS), core=Hyperbolic().eval())
    with pytest.raises(InputError, match=r"sum, features and network: .*sinh.*xyz\.sinh\(\)"):
        Graph([curved])


TINY = Config(heads=2, depth=1, hidden=24, max_len=12, head_dim=8)


def llama(recipe) -> Member:
    """A small member with weights of its own."""
    return toys.trained(replace(recipe, model=TINY, max_len=TINY.max_len), seed=recipe.seed)


def test_the_26th_places_members_share_points_and_centring_and_answer_as_torch_does():
    """Also to clips longer than the table of positions, which the network itself cuts."""
    members, clips = [llama(recipe) for recipe in THREE], edge_clips(TINY.max_len)
    graph = Graph(members)
    first, second, third = graph.prepared(tf.constant(clips["one hand"]))
    assert first is second is third
    for name, frames in clips.items():
        ours = graph(tf.constant(frames))["outputs"]
        np.testing.assert_allclose(ours, answer(members, frames), 0, 1e-5, err_msg=name)


def test_the_file_of_the_26th_place_resizes_long_clips_and_says_what_torch_says():
    limit, frames = Subsample(TINY.max_len), edge_clips(TINY.max_len)["longest"]
    resizing = llama(replace(SINGLE, clip=replace(SINGLE.clip, limit=limit)))
    graph = Graph([resizing])
    assert graph.prepared(tf.constant(frames))[0].shape[0] == TINY.max_len
    ours = graph(tf.constant(frames))["outputs"]
    np.testing.assert_allclose(ours, answer([resizing], frames), 0, 1e-5)
    assert np.abs(ours - answer([llama(SINGLE)], frames).numpy()).max() > 1e-4
