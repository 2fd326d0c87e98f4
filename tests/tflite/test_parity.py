"""The ladder holds for what it should, and each rung finds a fault put in above it."""

from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
import torch

from src.common.errors import InputError
from src.landmarks import HANDS, LEFT_HAND, RIGHT_HAND
from src.tflite.converter.onnx_route import NotConverted
from src.tflite.export import write_tflite
from src.tflite.graph import Graph
from src.tflite.members import Member, answer, prepare
from src.tflite.parity import (
    ALLOWED,
    Allowed,
    Ladder,
    Rung,
    _preprocessing,
    _rung,
    edge_clips,
    ladder,
)
from src.tflite.scorer import Model
from tests.tflite import toys

CORE = "src.tflite.converter.onnx_route.OnnxCore"
CLIPS = [*edge_clips(13).values(), toys.raw_clip(7), toys.raw_clip(40)]
SHIPPED = ".tflite fp16, as shipped"


def failed(result: Ladder) -> list[str]:
    return [rung.name for rung in result.rungs if not rung.passed]


def test_every_rung_agrees_with_torch(exported):
    result = ladder(exported, CLIPS)
    names = [rung.name for rung in result.rungs]
    assert names == ["preprocessing", "TensorFlow", ".tflite fp32", SHIPPED]
    assert result.passed and all(rung.agreement == 1.0 for rung in result.rungs)
    # Full precision is float32's rounding away; half precision is more, and still small.
    assert all(rung.difference < 1e-4 for rung in result.rungs[:3])
    assert 1e-4 < result.rungs[3].difference < 2e-2


def test_a_file_of_other_weights_fails_at_the_last_rung_only(exported, tmp_path):
    other = write_tflite([toys.deberta(9, seed=7)], tmp_path / "other.tflite")
    result = ladder(replace(exported, path=other.path), CLIPS)
    assert failed(result) == [SHIPPED] and result.rungs[-1].agreement < 1


def test_another_preprocessing_fails_at_the_first_rung(exported):
    nine, thirteen = exported.members
    # The graph strides clips to 9 frames; torch is told to let 10 through.
    hands, stride, normalise = nine.steps
    longer = replace(stride, step=replace(stride.step, max_len=10))
    changed = replace(nine, steps=(hands, longer, normalise))
    clip = np.nan_to_num(toys.raw_clip(38), nan=0.5)  # all 38 kept: every fifth, every fourth
    result = ladder(replace(exported, members=(changed, thirteen)), [clip])
    assert failed(result)[0] == "preprocessing" and result.rungs[0].agreement == 0.5


def test_rounding_is_larger_where_landmarks_are(exported):
    """In pixels, with no step that normalises, float32 is exact to a ten-thousandth."""
    member = replace(exported.members[0], steps=exported.members[0].steps[:2])

    def rung(share):
        near = [tf.constant(prepare(member, 2000 * clip).numpy() * (1 + share))]
        return _preprocessing([member], Mock(Graph, prepared=lambda frames: near), [2000 * clip])

    clip = toys.raw_clip(5)
    assert rung(1e-6).passed and not rung(1e-3).passed


def test_other_weights_of_the_members_fail_after_the_preprocessing(exported):
    nine, thirteen = exported.members
    changed = (replace(nine, weight=9.0), thirteen)
    result = ladder(replace(exported, members=changed), CLIPS)
    assert failed(result) == ["TensorFlow", ".tflite fp32", SHIPPED]


def test_where_onnx2tf_fails_the_ladder_ends_and_says_why(exported, monkeypatch):
    monkeypatch.setattr(CORE, Mock(side_effect=NotConverted("no copy")))
    result = ladder(exported, [toys.raw_clip(5)], "all")
    assert result.passed and len(result.rungs) == 4
    assert result.no_second_route == "no copy"
    assert str(result).endswith("no rungs by ONNX: no copy")


@pytest.mark.slow
def test_the_second_routes_copy_may_need_a_newer_runtime_than_the_file(tmp_path, runtime_without):
    """onnx2tf's copies of hand_bert and llama do: no notebook 04 of these alone came to its end."""
    runtime_without("PACK")  # which the file does without
    member = replace(toys.deberta(7), core=toys.Normed().eval())
    clip = np.nan_to_num(toys.raw_clip(7), nan=0.5)  # none of its frames is dropped, none padded
    result = ladder(write_tflite([member], tmp_path / "model.tflite"), [clip], "one")
    assert result.passed and len(result.rungs) == 6, result


def test_a_copy_that_tflite_cannot_hold_is_onnx2tfs_failure(exported, monkeypatch):
    def converted(graph):
        if graph is not exported.graph:
            raise InputError("TFLite cannot hold this graph")
        return Model(exported.path)

    for name in (CORE, "src.tflite.parity.Graph", "src.tflite.parity._by_onnx"):
        monkeypatch.setattr(name, Mock(return_value=np.ones(1)))
    monkeypatch.setattr("src.tflite.parity._converted", converted)
    result = ladder(exported, [toys.raw_clip(5)], "all")
    assert result.no_second_route.endswith("TFLite cannot hold this graph")


def test_where_onnx_itself_fails_that_is_an_error(exported, monkeypatch):
    monkeypatch.setattr(CORE, Mock(side_effect=InputError("its ONNX copy differs")))
    with pytest.raises(InputError, match="its ONNX copy differs"):
        ladder(exported, [toys.raw_clip(5)], "all")


@pytest.mark.parametrize(("route", "climbers"), [("one", 1), ("all", 2)])
def test_one_member_or_all_climb_by_onnx(exported, monkeypatch, route, climbers):
    """With torch's own answers in the place of the copies, the rungs agree with torch."""
    asked = []

    class Core:
        buckets = (13,)

        def __init__(self, member: Member, every_bucket: bool) -> None:
            self.member = member
            asked.append((member.name, every_bucket))

        def by_onnxruntime(self, xyz):
            with torch.no_grad():
                return self.member.core(torch.from_numpy(xyz)).numpy()

    monkeypatch.setattr(CORE, Core)
    monkeypatch.setattr("src.tflite.parity.Graph", lambda members, cores, pool: members)
    monkeypatch.setattr(
        "src.tflite.parity._converted",
        lambda graph: Model(exported.path) if graph is exported.graph else partial(answer, graph),
    )
    result = ladder(exported, [toys.raw_clip(5), toys.raw_clip(20)], route)
    assert [name for name, _ in asked] == [m.name for m in exported.members[:climbers]]
    assert {every for _, every in asked} == {route == "all"}
    assert [rung.difference < 1e-5 for rung in result.rungs[4:]] == [True, True]
    assert ("at 13 frames" in result.rungs[4].name) == (route == "one")


@pytest.mark.parametrize(
    ("difference", "agreement", "passed"),
    [(1e-3, 1.0, True), (1.1e-3, 1.0, False), (0.0, 0.99, False), (np.inf, 1.0, False)],
)
def test_a_rung_passes_if_both_of_its_numbers_do(difference, agreement, passed):
    assert Rung("x", difference, agreement, ALLOWED["fp32"]).passed == passed


@pytest.mark.parametrize(
    ("precision", "apart", "agreement"),
    [("fp16", 0.0, 1.0), ("fp16", 0.005, 1.0), ("fp16", 0.02, 0.5), ("fp32", 0.0005, 0.5)],
)
def test_signs_that_are_as_likely_may_change_places(precision, apart, agreement):
    expected = np.array([[-1.0, -1.0 - apart, -3.0], [-2.0, -1.0, -4.0]])
    got = expected - np.array([[0.03, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert _rung("x", got, expected, ALLOWED[precision]).agreement == agreement


LONG = "onnx2tf .tflite fp32, frame_deberta_a at 25 frames"


def test_the_table_says_which_rung_failed():
    good, bad = (Rung(n, d, 1.0, Allowed(1e-3, 1.0)) for n, d in (("one", 1e-6), (LONG, 0.5)))
    first, second, third = str(Ladder((good, bad), 4)).splitlines()
    assert first.startswith("against torch, 4 clips")
    assert second.startswith("one") and second.endswith("pass") and "1.0e-06" in second
    assert third.startswith(LONG) and third.endswith("FAIL")
    assert second.index("pass") == third.index("FAIL") == len(first) + 2


def test_edge_clips_are_what_their_names_say():
    clips = edge_clips(20)
    missing = {name: np.isnan(clip).any(2) for name, clip in clips.items()}
    length = {"no frames": 0, "one frame": 1, "two frames": 2, "just fits": 20, "just too long": 21}
    assert length.items() <= {name: len(clip) for name, clip in clips.items()}.items()
    assert len(clips["longest"]) > 200
    assert missing["no hand"][:, HANDS].all() and not missing["no hand"][:, 0].any()
    assert missing["one hand"][:, LEFT_HAND].all() and not missing["one hand"][:, RIGHT_HAND].any()
    assert missing["nothing detected"].all() and missing["one frame, nothing detected"].all()
    assert 0 < missing["hands come and go"][:, HANDS].mean() < 1
    assert not missing["just fits"].any()
