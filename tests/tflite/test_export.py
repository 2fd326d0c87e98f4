"""The file: what it answers, what it weighs, and that there is none where it must not be."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src.common.errors import InputError
from src.tflite.converter.convert import RUNTIME, convert, oldest_runtime
from src.tflite.export import ExportOptions, write_tflite, write_zip
from src.tflite.members import answer
from src.tflite.parity import edge_clips
from src.tflite.scorer import Model
from tests.tflite import toys

# Half-precision weights are off by 2^-11 of their size each; probabilities of ten signs by less.
TOLERANCE = 2e-3
LONGEST = 13  # frames that the member with the longer clips of `exported` reads
CLIPS = {str(n): toys.raw_clip(n) for n in (*range(1, LONGEST + 2), 3 * LONGEST, 200)}


def test_the_file_answers_as_torch_does_at_every_length_and_at_the_edges(exported):
    model = Model(exported.path)
    for name, clip in (CLIPS | edge_clips(LONGEST)).items():
        expected = answer(exported.members, clip)
        np.testing.assert_allclose(model(clip), expected, 0, TOLERANCE, err_msg=name)


def test_answers_depend_on_the_clip_and_not_on_the_clips_before(exported):
    model = Model(exported.path)
    short, long = toys.raw_clip(2), toys.raw_clip(90)
    first = model(short).copy()
    assert np.abs(model(long) - first).max() > 10 * TOLERANCE
    np.testing.assert_array_equal(model(short), first)


def test_the_answer_is_one_probability_per_sign(exported):
    outputs = Model(exported.path)(toys.raw_clip(5))
    assert outputs.shape == (toys.SIGNS,) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(), 1, rtol=1e-5)


def test_the_file_needs_no_newer_runtime_than_the_competitions(exported):
    assert () < oldest_runtime(exported.path.read_bytes()) <= RUNTIME


def test_weights_are_stored_in_the_bits_asked_for(exported):
    weights = sum(member.parameters for member in exported.members)
    size = {p: len(convert(exported.graph, p)) for p in ("fp32", "fp16", "int8")}
    assert size["fp16"] == exported.path.stat().st_size == round(exported.size_mb * 1e6)
    # A step to half the bits saves two bytes, then one, of all but small tensors.
    assert 1.5 * weights < size["fp32"] - size["fp16"] < 2.5 * weights
    assert 0.5 * weights < size["fp16"] - size["int8"] < 1.5 * weights


class Heavy(nn.Module):
    """Logits from 11 million random weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2_750_000)

    def forward(self, xyz: torch.Tensor) -> torch.Tensor:
        return self.linear(xyz.nan_to_num().mean((1, 2))).unflatten(1, (toys.SIGNS, -1)).mean(2)


def test_a_file_over_the_limit_is_refused_and_not_written(exported, tmp_path):
    heavy = replace(exported.members[0], name="heavy", core=Heavy().eval())
    with pytest.raises(InputError, match=r"less than 40 MB.*heavy 44\.0 MB, deberta_9 0\.3"):
        write_tflite([heavy, exported.members[0]], tmp_path / "model.tflite", ExportOptions("fp32"))
    assert list(tmp_path.iterdir()) == []


def test_the_submission_is_the_file_at_the_top_of_a_zip(exported, tmp_path):
    path = tmp_path / "new" / "submission.zip"
    write_zip(exported.path, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["model.tflite"]
        assert archive.read("model.tflite") == exported.path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_submission_of_nothing_or_too_much_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        write_zip(tmp_path / "model.tflite", tmp_path / "submission.zip")
    large = tmp_path / "large.tflite"
    with large.open("wb") as file:
        file.truncate(40_000_000)
    with pytest.raises(InputError, match=r"40\.0 MB; the competition takes less than 40 MB"):
        write_zip(large, tmp_path / "submission.zip")
    assert [*tmp_path.iterdir()] == [large]
