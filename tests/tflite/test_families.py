"""Every family of networks in one file: the table of operators is complete for them."""

import numpy as np
import pytest
import tensorflow as tf
import torch

from src.dataset.clip_file import read_clip
from src.landmarks import HANDS, LEFT_SHOULDER, RIGHT_SHOULDER, undetected
from src.tflite.converter.convert import convert
from src.tflite.export import ExportOptions, write_tflite
from src.tflite.members import answer, prepare
from src.tflite.parity import edge_clips
from src.tflite.runtime import LARGEST_DIFFERENCE, compare
from src.tflite.scorer import Model
from tests.tflite import toys

# float32 in another order of operations, in proportion to the largest logit.
TOLERANCE = 1e-4


def without(clip: np.ndarray, landmarks) -> np.ndarray:
    """The clip with these landmarks not detected."""
    clip = clip.copy()
    clip[:, list(landmarks)] = np.nan
    return clip


LENGTHS = (1, 2, 3, 13, 14, 15, 60, 130, 1500)
CLIPS = {
    **{f"{frames} frames": toys.raw_clip(frames) for frames in LENGTHS},
    **edge_clips(149),
    "1500 frames without hands": without(toys.raw_clip(1500), HANDS),
    "1500 frames of nothing": undetected(1500),
    "no shoulders": without(toys.raw_clip(20), (LEFT_SHOULDER, RIGHT_SHOULDER)),
}


@pytest.fixture(scope="module")
def model(families) -> Model:
    return Model(families.path)


@pytest.mark.parametrize("name", CLIPS)
def test_one_file_of_all_families_answers_as_torch_does(families, model, name):
    answered = model(CLIPS[name])
    assert np.isfinite(answered).all()
    np.testing.assert_allclose(answered, answer(families.members, CLIPS[name]), 0, TOLERANCE)


OTHERS = {
    "clip steps for few clips": lambda: [*toys.families("cpu").values()],
    "forms of the frame encoder": lambda: [
        toys.deberta(13, 1, norm_rows="padded"),
        toys.deberta(14, 2, norm_rows="seen"),
    ],
}


@pytest.mark.parametrize("made", OTHERS.values(), ids=OTHERS)
def test_other_members_of_the_families_follow(made, tmp_path):
    """In half precision, too: there an epsilon of 1e-12 is 0, and a missing hand was NaN."""
    members = made()
    exact = write_tflite(members, tmp_path / "exact.tflite", ExportOptions("fp32"))
    half = tmp_path / "half.tflite"
    half.write_bytes(convert(exact.graph, "fp16"))
    models = {Model(exact.path): TOLERANCE, Model(half): 1e-2}
    for name, clip in CLIPS.items():
        expected = answer(members, clip)
        for model, tolerance in models.items():
            np.testing.assert_allclose(model(clip), expected, 0, tolerance, err_msg=name)


@pytest.mark.reference
@pytest.mark.parametrize("folder", ["asl_signs", "webcam34", "wlasl50"])
def test_genuine_clips_get_torchs_sign_of_every_family(families, model, reference, folder):
    paths = sorted(reference(folder).glob("train_landmark_files/*/*.parquet"))
    for path in paths[:: max(1, len(paths) // 15)]:
        clip = read_clip(path)
        expected, answered = answer(families.members, clip).numpy(), model(clip)
        assert answered.argmax() == expected.argmax(), path
        np.testing.assert_allclose(answered, expected, 0, TOLERANCE, err_msg=str(path))


@pytest.mark.parametrize("number", range(len(toys.FAMILIES)), ids=toys.FAMILIES)
def test_every_network_sees_and_answers_the_same_in_tensorflow(families, number):
    """At every length of a short clip, which the blend of all networks might hide."""
    member, core = families.members[number], families.graph.cores[number]
    for frames in range(1, 15):
        clip = toys.raw_clip(frames)
        xyz = prepare(member, clip)[None]
        seen = families.graph.prepared(tf.constant(clip))[number]
        np.testing.assert_allclose(seen, xyz[0], 1e-5, 1e-5)
        with torch.no_grad():
            expected = member.core(xyz).numpy()
        got = core(tf.constant(xyz.numpy())).numpy()
        np.testing.assert_allclose(got, expected, 0, TOLERANCE * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "weights"), [("fp16", "float"), ("int8", "8 bits")])
def test_the_competitions_runtime_answers_as_todays_for_every_family(
    competition, families, tmp_path, precision, weights
):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(families.graph, precision))
    usual = {f"{frames} frames": toys.raw_clip(frames) for frames in (4, 18, 31, 90)}
    compared = compare(path, {**usual, **edge_clips(60)}, tuple(usual), competition)
    assert compared.competition.runtime == "tflite-runtime 2.9.1"
    assert compared.allowed == LARGEST_DIFFERENCE[weights]
    # How fast is no matter here: the machine may be busy.
    assert compared.agrees, str(compared)
