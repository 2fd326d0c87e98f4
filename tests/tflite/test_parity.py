"""The ladder holds for what it should, and each rung finds a fault put in above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from src.common.errors import InputError
from src.landmarks import HANDS, LEFT_HAND, RIGHT_HAND
from src.tflite.export import write_tflite
from src.tflite.members import Member
from src.tflite.parity import ALLOWED, Allowed, Ladder, Rung, edge_clips, ladder
from tests.tflite import toys

CLIPS = [*edge_clips(13).values(), toys.raw_clip(7), toys.raw_clip(40)]
SHIPPED = ".tflite fp16, as shipped"


def by_name(result: Ladder) -> dict[str, Rung]:
    return {rung.name: rung for rung in result.rungs}


def test_every_rung_agrees_with_torch(exported):
    result = ladder(exported, CLIPS)
    names = [rung.name for rung in result.rungs]
    assert names == ["preprocessing", "TensorFlow", ".tflite fp32", SHIPPED]
    assert result.passed and result.clips == len(CLIPS)
    assert all(rung.agreement == 1.0 for rung in result.rungs)
    # Full precision is float32's rounding away; half precision is more, and still small.
    assert all(rung.difference < 1e-4 for rung in result.rungs[:3])
    assert 1e-4 < result.rungs[3].difference < 2e-2


def test_a_file_of_other_weights_fails_at_the_last_rung_only(exported, tmp_path):
    other = write_tflite([toys.deberta(9, seed=7)], tmp_path / "other.tflite")
    rungs = by_name(ladder(replace(exported, path=other.path), CLIPS))
    assert [name for name, rung in rungs.items() if not rung.passed] == [SHIPPED]
    assert rungs[SHIPPED].agreement < 1


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


def test_other_weights_of_the_members_fail_after_the_preprocessing(exported):
    nine, thirteen = exported.members
    changed = (replace(nine, weight=9.0), thirteen)
    rungs = by_name(ladder(replace(exported, members=changed), CLIPS))
    failed = [name for name, rung in rungs.items() if not rung.passed]
    assert failed == ["TensorFlow", ".tflite fp32", SHIPPED]


def test_without_a_second_route_the_ladder_ends_and_says_why(exported, monkeypatch):
    def no_copy(member: Member) -> None:
        raise InputError(f"{member.name}: no copy")

    monkeypatch.setattr("src.tflite.converter.onnx_route.OnnxCore", no_copy)
    result = ladder(exported, [toys.raw_clip(5)], second_route=True)
    assert result.passed and len(result.rungs) == 4
    assert str(result).endswith(f"no rungs by ONNX: {exported.members[0].name}: no copy")


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
    missing = {name: np.isnan(clip).any(2) for name, clip in clips.items()}
    length = {"no frames": 0, "one frame": 1, "two frames": 2, "just fits": 20, "just too long": 21}
    assert length.items() <= {name: len(clip) for name, clip in clips.items()}.items()
    assert len(clips["longest"]) > 200
    assert missing["no hand"][:, HANDS].all() and not missing["no hand"][:, 0].any()
    assert missing["one hand"][:, LEFT_HAND].all() and not missing["one hand"][:, RIGHT_HAND].any()
    assert missing["nothing detected"].all() and missing["one frame, nothing detected"].all()
    assert 0 < missing["hands come and go"][:, HANDS].mean() < 1
    assert not missing["just fits"].any()
