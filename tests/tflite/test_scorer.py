"""The scorer: the public model's known score, hand-made files with known answers, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from src.common.errors import InputError
from src.tflite.converter.convert import convert
from src.tflite.scorer import load_frames, read_clips, read_signs, score
from tests.tflite.lengths import by_length

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_MODEL = ROOT / "../shared/models/encoder_transformer.tflite"


def file_of(answer, folder: Path, **signature) -> Path:
    """A .tflite file of a function of `inputs`."""
    spec = signature.get("spec", tf.TensorSpec((None, 543, 3), tf.float32, name="inputs"))

    class Module(tf.Module):
        @tf.function(autograph=False, input_signature=[spec])
        def __call__(self, inputs):
            return {signature.get("output", "outputs"): answer(inputs)}

    path = folder / "model.tflite"
    path.write_bytes(convert(Module(), "fp32"))
    return path


def lengths(data: Path, clips: pd.DataFrame) -> np.ndarray:
    return np.array([len(load_frames(data / path)) for path in clips.path])


@pytest.mark.reference
def test_the_public_model_has_its_known_score(reference):
    data = reference("asl_signs")
    result = score(PUBLIC_MODEL, data)
    assert (result.correct, result.clips) == (209, 229)
    assert result.passed
    assert result.size_mb == pytest.approx(4.1188)
    assert 0 < result.median_ms <= result.p95_ms < 100


def test_clips_are_loaded_as_the_competition_loads_them(sample):
    clips = read_clips(sample)
    path = sample / clips.path[0]
    by_hand = pd.read_parquet(path).sort_index()[["x", "y", "z"]].to_numpy(np.float32)
    frames = load_frames(path)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, by_hand.reshape(-1, 543, 3))
    assert np.isnan(frames).any()


def test_accuracy_is_the_share_of_right_signs(sample, tmp_path):
    clips = read_clips(sample)
    result = score(file_of(by_length, tmp_path), sample)
    number = clips.sign.map(read_signs(sample)).to_numpy()
    expected = lengths(sample, clips) % 4
    np.testing.assert_array_equal(result.predictions, expected)
    assert result.correct == (expected == number).sum()
    assert result.accuracy == result.correct / len(clips)
    assert len(result.latency_ms) == result.clips == len(clips)
    assert result.passed


def test_only_the_rows_asked_for_are_scored(sample, tmp_path):
    path, clips = file_of(by_length, tmp_path), read_clips(sample)
    some = clips[clips.participant_id == clips.participant_id.iloc[-1]]
    result = score(path, sample, some)
    np.testing.assert_array_equal(result.predictions, lengths(sample, some) % 4)
    assert score(path, sample, limit=3).clips == 3


def failed(path: Path, data: Path) -> list[str]:
    return [limit.name for limit in score(path, data, limit=4).limits if not limit.passed]


def test_an_answer_that_is_not_finite_fails(sample, tmp_path):
    # Not by dividing by zero: on some processors TFLite answers that with the largest number.
    broken = file_of(lambda x: tf.where(by_length(x) > 0, np.float32(np.nan), 0.0), tmp_path)
    assert failed(broken, sample) == ["finite"]


def test_an_answer_of_another_length_fails(sample, tmp_path):
    assert failed(file_of(lambda x: by_length(x)[:3], tmp_path), sample) == ["outputs"]


def test_a_file_over_the_limit_fails(sample, tmp_path):
    path = file_of(by_length, tmp_path)
    with path.open("ab") as file:
        file.truncate(40_000_000)
    assert failed(path, sample) == ["size"]


def test_the_report_says_everything_in_words(sample, tmp_path):
    lines = str(score(file_of(lambda x: by_length(x)[:3], tmp_path), sample, limit=4)).splitlines()
    assert [line.split()[0] for line in lines] == [
        "accuracy", "latency", "size", "time", "signature", "outputs", "finite",
    ]  # fmt: skip
    assert lines[5] == "outputs   FAIL: [3] numbers for 4 signs"
    assert "of 4 clips" in lines[0] and "p95" in lines[1]


def test_what_is_no_file_of_the_competition_is_refused(sample, tmp_path):
    with pytest.raises(InputError, match=r"none\.tflite: expected a \.tflite file, found none"):
        score(tmp_path / "none.tflite", sample)
    garbage = tmp_path / "garbage.tflite"
    garbage.write_bytes(b"not a model at all")
    with pytest.raises(InputError, match=r"garbage\.tflite: expected a TFLite file"):
        score(garbage, sample)
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(file_of(by_length, tmp_path).read_bytes()[:200])
    with pytest.raises(InputError, match=r"cut\.tflite: TFLite cannot read it"):
        score(cut, sample)


def test_another_signature_is_refused(sample, tmp_path):
    with pytest.raises(InputError, match=r"expected the signature .*found .*answers"):
        score(file_of(by_length, tmp_path, output="answers"), sample)
    points = tf.TensorSpec((None, 100, 3), tf.float32, name="inputs")
    with pytest.raises(InputError, match=r"\[None, 543, 3\] float32, found \[-1, 100, 3\]"):
        score(file_of(by_length, tmp_path, spec=points), sample)


def test_a_folder_that_is_no_competition_is_refused(sample, tmp_path):
    path = file_of(by_length, tmp_path)
    with pytest.raises(InputError, match=r"sign_to_prediction_index_map\.json: expected the map"):
        score(path, tmp_path)
    (tmp_path / "sign_to_prediction_index_map.json").write_text(json.dumps({"hello": 0}))
    with pytest.raises(InputError, match=r"train\.csv: expected the competition's table"):
        score(path, tmp_path)
    clips = read_clips(sample).assign(path="nowhere.parquet")
    with pytest.raises(InputError, match=r"nowhere\.parquet: expected a clip"):
        score(path, sample, clips)
    with pytest.raises(InputError, match="at least one clip"):
        score(path, sample, clips[:0])


def test_the_command_prints_the_report_and_needs_no_tensorflow(sample, tmp_path):
    path = file_of(by_length, tmp_path)
    code = (
        "import runpy, sys; sys.modules['tensorflow'] = None; "
        f"sys.argv = ['scorer', {str(path)!r}, {str(sample)!r}, '--limit', '2']; "
        "runpy.run_module('src.tflite.scorer', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "of 2 clips" in ran.stdout and "pass: [4] numbers for 4 signs" in ran.stdout


def test_the_command_ends_with_one_line_where_it_cannot_score(sample, tmp_path):
    command = [sys.executable, "-m", "src.tflite.scorer", str(tmp_path / "none"), str(sample)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode != 0
    assert ran.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in ran.stderr
