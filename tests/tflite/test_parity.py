"""The ladder holds for what it should, and each rung finds a fault put in above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.common.errors import InputError
from src.landmarks import LEFT_HAND, RIGHT_HAND
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.members import Member
from src.tflite.parity import ALLOWED, Allowed, Ladder, Rung, edge_clips, ladder
from tests.tflite import toys


def clips():
    return [*edge_clips(13).values(), toys.raw_clip(7), toys.raw_clip(40)]


def by_name(result: Ladder) -> dict[str, Rung]:
    return {rung.name: rung for rung in result.rungs}


def test_every_rung_agrees_with_torch(exported):
    result = ladder(exported, clips())
    assert [rung.name for rung in result.rungs] == [
        "preprocessing",
        "TensorFlow",
        ".tflite fp32",
        ".tflite fp16, as shipped",
    ]
    assert result.passed and result.clips == 13
    assert all(rung.agreement == 1.0 for rung in result.rungs)
    # Full precision is float32's rounding away; half precision is more, and still small.
    assert all(rung.difference < 1e-4 for rung in result.rungs[:3])
    assert 1e-4 < result.rungs[3].difference < 2e-2


def test_a_file_of_other_weights_fails_at_the_last_rung_only(exported, tmp_path):
    other = write_tflite([toys.deberta(9, seed=7)], tmp_path / "other.tflite")
    rungs = by_name(ladder(replace(exported, path=other.path), clips()))
    failed = [name for name, rung in rungs.items() if not rung.passed]
    assert failed == [".tflite fp16, as shipped"]
    assert rungs[".tflite fp16, as shipped"].agreement < 1


def test_another_preprocessing_fails_at_the_first_rung(exported):
    nine, thirteen = exported.members
    # The graph strides clips to 9 frames; torch is told to let 10 through.
    hands, stride, normalise = nine.steps
    longer = replace(stride, step=replace(stride.step, max_len=10))
    changed = replace(nine, steps=(hands, longer, normalise))
    clip = np.nan_to_num(toys.raw_clip(38), nan=0.5)  # all 38 kept: every fifth, every fourth
    rungs = by_name(ladder(replace(exported, members=(changed, thirteen)), [clip]))
    assert rungs["preprocessing"].agreement == 0.5
    assert not rungs["preprocessing"].passed


def test_without_a_second_route_the_ladder_ends_and_says_why(exported, monkeypatch):
    def no_copy(member: Member) -> None:
        raise InputError(f"{member.name}: no copy")

    monkeypatch.setattr("src.tflite.converter.onnx_route.OnnxCore", no_copy)
    result = ladder(exported, [toys.raw_clip(5)], second_route=True)
    assert result.passed and len(result.rungs) == 4
    assert str(result).endswith(f"no rungs by ONNX: {exported.members[0].name}: no copy")


def test_answers_by_logits_are_compared_as_they_are(tmp_path):
    options = ExportOptions("fp32", blend="logits")
    written = write_tflite([toys.deberta(9)], tmp_path / "model.tflite", options)
    result = ladder(written, [toys.raw_clip(5)])
    assert result.passed
    shifted = replace(written, members=(replace(written.members[0], weight=3.0),))
    assert ladder(shifted, [toys.raw_clip(5)]).passed  # one member's weight is always all


@pytest.mark.parametrize(
    ("difference", "agreement", "passed"),
    [(1e-3, 1.0, True), (1.1e-3, 1.0, False), (0.0, 0.99, False), (np.inf, 1.0, False)],
)
def test_a_rung_passes_if_both_of_its_numbers_do(difference, agreement, passed):
    assert Rung("x", difference, agreement, ALLOWED["fp32"]).passed == passed


def test_the_table_says_which_rung_failed():
    good, bad = (Rung(n, d, 1.0, Allowed(1e-3, 1.0)) for n, d in (("one", 1e-6), ("two", 0.5)))
    first, second, third = str(Ladder((good, bad), 4)).splitlines()
    assert first.startswith("against torch, 4 clips")
    assert second.startswith("one") and second.endswith("pass") and "1.0e-06" in second
    assert third.startswith("two") and third.endswith("FAIL")


def test_edge_clips_are_what_their_names_say():
    clips = edge_clips(20)
    hands = [*LEFT_HAND, *RIGHT_HAND]
    assert {name: len(clip) for name, clip in clips.items()} == {
        "no frames": 0,
        "one frame": 1,
        "two frames": 2,
        "no hand": 9,
        "one hand": 9,
        "nothing detected": 9,
        "one frame, nothing detected": 1,
        "hands come and go": 20,
        "just fits": 20,
        "just too long": 21,
        "longest": 203,
    }
    assert np.isnan(clips["no hand"][:, hands]).all()
    assert not np.isnan(clips["no hand"][:, 0]).any()
    assert np.isnan(clips["one hand"][:, LEFT_HAND]).all()
    assert not np.isnan(clips["one hand"][:, RIGHT_HAND]).any()
    assert np.isnan(clips["nothing detected"]).all()
    assert 0 < np.isnan(clips["hands come and go"][:, hands]).mean() < 1
    assert all(clip.dtype == np.float32 for clip in clips.values())
