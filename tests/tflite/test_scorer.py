"""The scorer: the public model's known score, hand-made files with known answers, refusals."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from src.common.errors import InputError
from src.dataset.clip_file import read_clip
from src.dataset.competition import read_index
from src.landmarks import PARTS, WITH_IRISES, rows_of
from src.tflite.converter.convert import convert
from src.tflite.interpreter import SIGNATURE
from src.tflite.scorer import Model, load_frames, main, score
from tests.tflite.lengths import RAW, by_length, module_of

ROOT = Path(__file__).resolve().parents[2]
PUBLIC_MODEL = ROOT / "../shared/models/encoder_transformer.tflite"


def file_of(answer, folder: Path, **signature) -> Path:
    """A .tflite file of a function of `inputs`."""
    path = folder / "model.tflite"
    path.write_bytes(convert(module_of(answer, **signature), "fp32"))
    return path


@pytest.fixture(scope="module")
def counting(tmp_path_factory) -> Path:
    """A file that answers every clip by its number of frames."""
    return file_of(by_length, tmp_path_factory.mktemp("counting"))


@pytest.mark.reference
def test_the_public_model_has_its_known_score(reference):
    result = score(PUBLIC_MODEL, reference("asl_signs"))
    assert (result.correct, result.clips) == (209, 229)
    assert result.passed
    assert result.size_mb == pytest.approx(4.1188)
    assert 0 < result.latencies["median"] <= result.latencies["p95"] < 100


def test_clips_are_loaded_as_the_competition_loads_them_without_irises(sample, tmp_path):
    path = Path(read_index(sample).path[0])
    table, expected = pd.read_parquet(path), load_frames(path)
    by_hand = table.sort_index()[["x", "y", "z"]].to_numpy(np.float32)
    assert expected.dtype == np.float32 and np.isnan(expected).any()
    np.testing.assert_array_equal(expected, by_hand.reshape(expected.shape))
    eyes = pd.DataFrame({"type": "face", "landmark_index": range(PARTS["face"], 478)})
    wider = [
        pd.concat([part.iloc[rows_of("face")], eyes.assign(frame=frame), part.iloc[468:]])
        for frame, part in table.groupby("frame")
    ]
    assert len(wider[0]) == len(WITH_IRISES)
    types, path = {"frame": "int16", "landmark_index": "int16"}, tmp_path / "clip.parquet"
    pd.concat(wider).astype(types).to_parquet(path)
    np.testing.assert_array_equal(load_frames(path), expected)
    np.testing.assert_array_equal(read_clip(path), expected)


def test_a_clip_whose_rows_are_in_another_order_is_refused(sample, tmp_path):
    table = pd.read_parquet(read_index(sample).path[0])
    table.sort_values(["frame", "type", "landmark_index"]).iloc[::-1].to_parquet(
        path := tmp_path / "clip.parquet"
    )
    with pytest.raises(InputError, match=r"expected landmark_index 0 in row 0, found 20; sort"):
        load_frames(path)


def test_accuracy_is_the_share_of_right_signs_among_the_rows_asked_for(sample, counting):
    clips = read_index(sample)
    answers = np.array([len(read_clip(path)) % 4 for path in clips.path])
    result = score(counting, sample)
    np.testing.assert_array_equal(result.predictions, answers)
    assert result.accuracy == (answers == clips.label).mean()
    assert len(result.latency_ms) == result.clips == len(clips)
    assert result.passed
    last = clips.participant == clips.participant.iloc[-1]
    np.testing.assert_array_equal(score(counting, sample, clips[last]).predictions, answers[last])
    assert score(counting, sample, limit=3).clips == 3


# Not by dividing by zero: on some processors TFLite answers that with the largest number.
NOT_FINITE = lambda x: tf.where(by_length(x) > 0, np.float32(np.nan), 0.0)  # noqa: E731
FAILS = {
    "finite": (NOT_FINITE, 0, "FAIL: 4 clips with NaN or infinity in the answer"),
    "outputs": (lambda x: by_length(x)[:3], 0, "FAIL: [3] numbers for 4 signs"),
    "size": (by_length, 40_000_000, "FAIL: 40.00 of 40 MB"),
}


@pytest.mark.parametrize("limit", FAILS)
def test_a_file_beyond_a_limit_fails_there_and_says_so(sample, tmp_path, limit):
    answer, size, found = FAILS[limit]
    path = file_of(answer, tmp_path)
    with path.open("ab") as file:
        file.truncate(max(size, path.stat().st_size))
    result = score(path, sample, limit=4)
    assert [x.name for x in result.limits if not x.passed] == [limit]
    lines = str(result).splitlines()
    named = "accuracy latency size time signature outputs finite"
    assert [line.split()[0] for line in lines] == named.split()
    assert f"{limit:<10}{found}" in lines and "of 4 clips" in lines[0]


def test_what_is_no_file_of_the_competition_is_refused(sample, counting, tmp_path):
    garbage, cut = tmp_path / "garbage.tflite", tmp_path / "cut.tflite"
    garbage.write_bytes(b"not a model at all")
    cut.write_bytes(counting.read_bytes()[:200])
    for path, found in (
        (tmp_path / "none.tflite", r"none\.tflite: expected a TFLite file, found Could not open"),
        (tmp_path, "expected a TFLite file"),
        (garbage, r"garbage\.tflite: expected a TFLite file"),
        (cut, r"cut\.tflite: expected a TFLite file"),
        (file_of(by_length, tmp_path, output="other"), "expected the signature .*found .*other"),
    ):
        with pytest.raises(InputError, match=found):
            score(path, sample)
    points = tf.TensorSpec((None, 100, 3), tf.float32, name="inputs")
    found = rf"{RAW.shape[1]}, 3\] float32, found \[-1, 100, 3\]"
    with pytest.raises(InputError, match=found):
        score(file_of(by_length, tmp_path, spec=points), sample)


def test_answers_that_are_no_numbers_are_refused_and_empty_ones_are_wrong(sample, tmp_path):
    path = tmp_path / "names.tflite"
    with tempfile.TemporaryDirectory() as folder:
        module = module_of(lambda _: tf.fill([4], "name"))
        tf.saved_model.save(module, folder, signatures={SIGNATURE: module.__call__})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter.target_spec.supported_ops = ops
        path.write_bytes(converter.convert())
    with pytest.raises(InputError, match=r"names\.tflite: expected outputs that are numbers"):
        score(path, sample)
    result = score(file_of(lambda x: x[:0, 0, 0], tmp_path), sample, limit=2)
    assert result.correct == 0 and result.predictions.tolist() == [-1, -1]
    assert [x.found for x in result.limits if not x.passed] == ["[0] numbers for 4 signs"]


def test_a_clip_in_float64_is_fed_as_float32(counting):
    np.testing.assert_array_equal(Model(counting)(np.zeros((5, RAW.shape[1], 3))), np.eye(4)[1])


def test_a_limit_below_one_and_participants_of_elsewhere_are_refused(sample, counting):
    for limit in (0, -3):
        with pytest.raises(InputError, match=f"limit: expected 1 clip or more, found {limit}"):
            score(counting, sample, limit=limit)
    known = read_index(sample).participant[0]
    with pytest.raises(InputError, match=f"found nobody; there are .*{known}"):
        main(counting, sample, participants=(known, "nobody"))


def test_a_folder_that_is_no_competition_and_no_clips_are_refused(sample, counting, tmp_path):
    with pytest.raises(InputError, match=r"sign_to_prediction_index_map\.json: expected"):
        score(counting, tmp_path)
    with pytest.raises(InputError, match="at least one clip"):
        score(counting, sample, read_index(sample)[:0])


def command(*arguments: object) -> subprocess.CompletedProcess:
    called = [sys.executable, "-X", "importtime", "-m", "src.tflite.scorer", *map(str, arguments)]
    return subprocess.run(called, capture_output=True, text=True, cwd=ROOT)


def test_the_command_prints_the_report_and_needs_neither_tensorflow_nor_torch(sample, counting):
    ran = command(counting, sample, "--limit", 2)
    assert ran.returncode == 0, ran.stderr
    assert "of 2 clips" in ran.stdout and "pass: [4] numbers for 4 signs" in ran.stdout
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "pandas" in imported and imported.isdisjoint({"tensorflow", "torch"})


def test_the_command_ends_with_one_line_where_it_cannot_score(sample, tmp_path):
    ran = command(tmp_path / "none", sample)
    assert ran.returncode != 0
    assert ran.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in ran.stderr
