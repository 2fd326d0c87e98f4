"""The file: what it answers, what it weighs, and that there is none where it must not be."""

import zipfile
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from src.common.errors import InputError
from src.tflite import export
from src.tflite.converter import onnx_route
from src.tflite.converter.convert import convert
from src.tflite.export import ExportOptions, write_tflite, write_zip
from src.tflite.scorer import Model
from tests.tflite import toys

# Half-precision weights are off by 2^-11 of their size each; probabilities of ten signs by less.
TOLERANCE = 2e-3


def test_an_answer_is_probabilities_and_does_not_depend_on_the_clips_before(exported):
    model = Model(exported.path)
    short, long = toys.raw_clip(2), toys.raw_clip(90)
    first = model(short).copy()
    assert first.shape == (toys.SIGNS,) and first.dtype == np.float32
    np.testing.assert_allclose(first.sum(), 1, rtol=1e-5)
    assert np.abs(model(long) - first).max() > 10 * TOLERANCE
    np.testing.assert_array_equal(model(short), first)


def test_weights_are_stored_in_the_bits_asked_for(exported):
    weights = sum(member.parameters for member in exported.members)
    size = {p: len(convert(exported.graph, p)) for p in ("fp32", "fp16", "int8")}
    assert size["fp16"] == exported.path.stat().st_size == round(exported.size_mb * 1e6)
    # A step to half the bits saves two bytes, then one, of all but small tensors.
    assert 1.5 * weights < size["fp32"] - size["fp16"] < 2.5 * weights
    assert 0.5 * weights < size["fp16"] - size["int8"] < 1.5 * weights


def test_a_file_over_the_limit_is_refused_and_not_written(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LIMIT_MB", exported.size_mb)
    monkeypatch.setattr(export, "build_graph", lambda *_: exported.graph)
    costs = ", ".join(rf"{m.name} {2e-6 * m.parameters:.1f} MB" for m in exported.members)
    with pytest.raises(InputError, match=rf"{exported.size_mb:.1f} MB, the competition .*{costs}"):
        write_tflite(exported.members, tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


def test_the_submission_is_the_file_at_the_top_of_a_zip(exported, tmp_path):
    path = tmp_path / "new" / "submission.zip"
    write_zip(exported.path, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["model.tflite"]
        assert archive.read("model.tflite") == exported.path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_what_onnx2tf_cannot_export_the_table_may(tmp_path, monkeypatch, runtime_without):
    """Both where it has no right copy and where its copy is too new for the competition."""
    runtime_without("SOFTMAX")
    by_table = r"; export by the table of operators \(EXPORTER=table\)"
    member = replace(toys.deberta(7), core=toys.Normed().eval())
    path = tmp_path / "model.tflite"
    with pytest.raises(InputError, match=r"newer ones: SOFTMAX version \d" + by_table):
        write_tflite([member], path, ExportOptions(route="onnx2tf"))
    monkeypatch.setattr(onnx_route, "OnnxCore", Mock(side_effect=InputError("no copy")))
    with pytest.raises(InputError, match="^no copy" + by_table):
        write_tflite([member], path, ExportOptions(route="onnx2tf"))
    with pytest.raises(InputError, match=r"newer ones: SOFTMAX .*older ones in src/tflite"):
        write_tflite([member], path)
    assert not path.exists()
