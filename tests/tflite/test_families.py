"""Every family of networks in one file: the table of operators is complete for them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch

from src.tflite.export import Exported
from src.tflite.members import answer, prepare
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
