"""The competition's own runtime against today's, and what counts as agreement."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from src.common.environments import Unavailable
from src.common.errors import InputError
from src.recipes import SOLUTIONS
from src.tflite.converter.convert import convert
from src.tflite.parity import edge_clips
from src.tflite.runtime import LARGEST_DIFFERENCE, Answers, Comparison, ask, compare, environment
from src.tflite.scorer import LIMIT_MS, Model
from tests.tflite import toys

NAMES = ("a", "b", "edge")
ALLOWED = 0.01
HERE = Path(sys.executable)


@pytest.fixture(scope="session")
def competition() -> Path:
    """The interpreter of the competition's environment, which needs Python 3.9 and its packages."""
    try:
        return environment()
    except Unavailable as reason:
        pytest.skip(str(reason))


def comparison(outputs=None, milliseconds=(1.0, 3.0, 500.0)) -> Comparison:
    """Three clips of two signs, the third at the edge; the competition's answers as given."""
    today = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    there = today if outputs is None else np.array(outputs)
    return Comparison(
        NAMES,
        NAMES[:2],
        Answers("new 1", today, np.array([1.0, 2.0, 9.0])),
        Answers("old 2", there, np.array(milliseconds)),
        ALLOWED,
    )


def test_equal_answers_pass_and_edges_do_not_count_for_latency():
    found = comparison()
    assert found.passed
    assert found.mean_ms(found.competition) == 2.0
    assert found.facts() == {
        "passed": True,
        "runtimes": ["old 2", "new 1"],
        "clips": 3,
        "same_sign": 1.0,
        "difference": 0.0,
        "mean_ms": {"old 2": 2.0, "new 1": 1.5},
    }


def test_one_clip_with_another_sign_fails():
    found = comparison([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert found.same_sign.tolist() == [True, True, False]
    assert not found.passed
    assert "NO" in str(found).splitlines()[3]


def test_answers_too_far_apart_fail():
    further = 2 * ALLOWED
    found = comparison([[0.9, 0.1], [0.2, 0.8 + further], [0.6, 0.4]])
    np.testing.assert_allclose(found.difference, [0, further, 0])
    assert found.same_sign.all() and not found.agrees and not found.passed
    assert str(found).splitlines()[-1].startswith("FAIL")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_fails(value):
    found = comparison([[0.9, value], [0.2, 0.8], [0.6, 0.4]])
    assert found.difference[0] == np.inf
    assert not found.passed


def test_too_slow_there_fails():
    found = comparison(milliseconds=(LIMIT_MS, LIMIT_MS + 1, 1.0))
    assert found.agrees and not found.passed


def test_the_answers_are_those_of_the_file_in_the_clips_order(exported, tmp_path):
    clips = {name: toys.raw_clip(frames) for name, frames in zip("zay", (5, 1, 30), strict=True)}
    np.savez(tmp_path / "clips.npz", **clips)
    found = ask(HERE, exported.path, tmp_path / "clips.npz")
    model = Model(exported.path)
    expected = np.stack([model(clip).ravel() for clip in clips.values()])
    np.testing.assert_array_equal(found.outputs, expected)
    assert found.runtime.startswith("ai-edge-litert ")
    assert (found.milliseconds > 0).all()


def test_an_operation_that_a_runtime_lacks_is_named(competition, tmp_path):
    """BITWISE_XOR came years after the competition's runtime."""

    @tf.function(input_signature=[tf.TensorSpec((None, 543, 3), tf.float32, name="inputs")])
    def answer(inputs):
        frames = tf.shape(inputs)[0][None]
        return {"outputs": tf.cast(tf.bitwise.bitwise_xor(frames, frames), tf.float32)}

    module = tf.Module()
    module.answer = answer
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [answer.get_concrete_function()], module
    )
    path = tmp_path / "new.tflite"
    path.write_bytes(converter.convert())
    np.savez(tmp_path / "clips.npz", clip=toys.raw_clip(2))
    with pytest.raises(
        InputError, match=r"new\.tflite: expected a file that .*python can run, but"
    ):
        ask(competition, path, tmp_path / "clips.npz")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "weights"), [("fp16", "float"), ("int8", "8 bits")])
def test_the_competitions_runtime_answers_as_todays_for_every_family(
    competition, families, tmp_path, precision, weights
):
    """One file with a member of every solution; usual clips and those at the edges."""
    recipes = [recipe for solution in SOLUTIONS.values() for recipe in solution.full]
    found = {type(member.core.recipe.model) for member in families.members}
    assert found == {type(recipe.model) for recipe in recipes}

    path = tmp_path / "model.tflite"
    path.write_bytes(convert(families.graph, precision))
    usual = {f"{frames} frames": toys.raw_clip(frames) for frames in (4, 18, 31, 90)}
    compared = compare(path, {**usual, **edge_clips(60)}, tuple(usual), competition)
    assert compared.competition.runtime == "tflite-runtime 2.9.1"
    assert compared.allowed == LARGEST_DIFFERENCE[weights]
    # How fast is no matter here: the machine may be busy.
    assert compared.agrees, str(compared)
