"""Every family of networks in one file: the table of operators is complete for them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch

from src.dataset.clip_file import read_clip
from src.landmarks import HANDS, LEFT_SHOULDER, RIGHT_SHOULDER
from src.tflite.export import Exported, ExportOptions, write_tflite
from src.tflite.members import answer, prepare
from src.tflite.parity import edge_clips
from src.tflite.scorer import Model
from tests.tflite import toys

# float32 in another order of operations, in proportion to the largest logit.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def exported(families) -> Exported:
    return families


@pytest.fixture(scope="module")
def model(exported) -> Model:
    return Model(exported.path)


@pytest.mark.parametrize("frames", [1, 2, 3, 13, 14, 15, 60, 130, 600])
def test_one_file_of_all_families_answers_as_torch_does(exported, model, frames):
    clip = toys.raw_clip(frames)
    expected = answer(exported.members, torch.from_numpy(clip), "probabilities").numpy()
    np.testing.assert_allclose(model(clip), expected, 0, TOLERANCE)


def longest_clips() -> dict[str, np.ndarray]:
    """1,500 frames: of a body, of one that hides its hands, of nothing."""
    clip = toys.raw_clip(1500)
    no_hands = clip.copy()
    no_hands[:, list(HANDS)] = np.nan
    return {"seen": clip, "no hands": no_hands, "nothing": np.full_like(clip, np.nan)}


EDGES = edge_clips(149) | longest_clips()


@pytest.mark.parametrize("name", EDGES)
def test_no_clip_makes_any_family_answer_what_is_no_number(exported, model, name):
    clip = EDGES[name]
    expected = answer(exported.members, torch.from_numpy(clip), "probabilities").numpy()
    answered = model(clip)
    assert np.isfinite(answered).all()
    np.testing.assert_allclose(answered, expected, 0, TOLERANCE)


def test_the_clip_steps_for_few_clips_follow(tmp_path):
    """Shoulders, larger hands, no face: at every edge, and without any shoulder."""
    members = [*toys.families("cpu").values()]
    file = write_tflite(members, tmp_path / "model.tflite", ExportOptions("fp32"))
    model = Model(file.path)
    lost = toys.raw_clip(20)
    lost[:, [LEFT_SHOULDER, RIGHT_SHOULDER]] = np.nan
    for name, clip in (EDGES | {"no shoulders": lost, "usual": toys.raw_clip(30)}).items():
        expected = answer(members, torch.from_numpy(clip), "probabilities").numpy()
        np.testing.assert_allclose(model(clip), expected, 0, TOLERANCE, err_msg=name)


@pytest.mark.reference
@pytest.mark.parametrize("folder", ["asl_signs", "webcam34", "wlasl50"])
def test_genuine_clips_get_torchs_sign_of_every_family(exported, model, reference, folder):
    paths = sorted(reference(folder).glob("train_landmark_files/*/*.parquet"))
    for path in paths[:: max(1, len(paths) // 15)]:
        clip = read_clip(path)
        expected = answer(exported.members, torch.from_numpy(clip), "probabilities").numpy()
        answered = model(clip)
        assert answered.argmax() == expected.argmax(), path
        np.testing.assert_allclose(answered, expected, 0, TOLERANCE, err_msg=str(path))


@pytest.mark.parametrize("number", range(5), ids=toys.FAMILIES)
def test_every_network_is_torchs_in_tensorflow_at_every_length_of_a_short_clip(exported, number):
    member, core = exported.members[number], exported.graph.cores[number]
    for frames in range(1, 15):
        xyz = prepare(member, torch.from_numpy(toys.raw_clip(frames)))[None]
        with torch.no_grad():
            expected = member.core(xyz).numpy()
        got = core(tf.constant(xyz.numpy())).numpy()
        np.testing.assert_allclose(got, expected, 0, TOLERANCE * np.abs(expected).max())


def test_members_of_different_recipes_share_nothing_they_should_not(exported):
    clip = toys.raw_clip(20)
    prepared = exported.graph.prepared(tf.constant(clip))
    for member, xyz in zip(exported.members, prepared, strict=True):
        expected = prepare(member, torch.from_numpy(clip)).numpy()
        np.testing.assert_allclose(xyz, expected, 1e-5, 1e-5)
