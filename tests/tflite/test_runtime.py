"""The competition's own runtime against today's, and what counts as agreement."""

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
import torch
from tensorflow.lite.python import schema_py_generated as schema

from src.common.errors import InputError
from src.tflite.converter.convert import KNOWN, check_runtime, convert
from src.tflite.converter.translate import translate
from src.tflite.runtime import Answers, Comparison, ask
from src.tflite.scorer import LIMIT_MS
from tests.tflite import toys
from tests.tflite.lengths import SIGNS, by_length, module_of

ALLOWED = 0.01
HERE = Path(sys.executable)


def comparison(outputs=None, milliseconds=(1.0, 3.0, 500.0)) -> Comparison:
    """Three clips of two signs, the third at the edge; the competition's answers as given."""
    today = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    new = Answers("new 1", today, np.array([1.0, 2.0, 9.0]))
    there = today if outputs is None else np.array(outputs)
    old = Answers("old 2", there, np.array(milliseconds))
    return Comparison(("a", "b", "edge"), ("a", "b"), new, old, ALLOWED)


def test_equal_answers_pass_if_they_are_fast_and_edge_cases_do_not_count_for_latency():
    slow = comparison(milliseconds=(LIMIT_MS, LIMIT_MS + 1, 1.0))
    assert slow.agrees and not slow.passed
    assert comparison().passed
    assert comparison().facts() == {
        "passed": True,
        "runtimes": ["old 2", "new 1"],
        "clips": 3,
        "same_sign": 1.0,
        "difference": 0.0,
        "mean_ms": {"old 2": 2.0, "new 1": 1.5},
    }


FURTHER = 0.8 + 2 * ALLOWED
FAILS = {  # the competition's answers, the differences by clip, whether each sign is the same
    "another sign": ([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], [0, 0, 0.2], [True, True, False]),
    "too far apart": ([[0.9, 0.1], [0.2, FURTHER], [0.6, 0.4]], [0, 2 * ALLOWED, 0], [True] * 3),
    "not a number": ([[np.nan, 0.1], [0.2, 0.8], [0.6, 0.4]], [np.inf, 0, 0], [True] * 3),
    "infinite": ([[np.inf, 0.1], [0.2, 0.8], [0.6, 0.4]], [np.inf, 0, 0], [True] * 3),
}


@pytest.mark.parametrize("name", FAILS)
def test_other_answers_fail(name):
    outputs, difference, same_sign = FAILS[name]
    found = comparison(outputs)
    np.testing.assert_allclose(found.difference, difference)
    assert found.same_sign.tolist() == same_sign
    assert not found.agrees and not found.passed
    *_, edge, _, verdict = str(found).splitlines()
    assert ("NO" in edge) == (not same_sign[2])
    assert verdict.startswith("FAIL")


def test_the_answers_are_those_of_the_file_in_the_clips_order(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(module_of(by_length), "fp32"))
    clips = {name: toys.raw_clip(frames) for name, frames in zip("zay", (5, 2, 31), strict=True)}
    np.savez(tmp_path / "clips.npz", **clips)
    found = ask(HERE, path, tmp_path / "clips.npz")
    np.testing.assert_array_equal(found.outputs, np.eye(SIGNS)[[1, 2, 3]])
    assert found.runtime.startswith("ai-edge-litert ")
    assert (found.milliseconds > 0).all()


def test_products_with_many_matrices_in_8_bits_are_the_competitions_too(competition, tmp_path):
    """As one operation, whose matrices were repeated, they were off by all of their size there."""
    draw = torch.Generator().manual_seed(0)
    weight, clip = (torch.randn(*size, generator=draw) for size in ((6, 64, 64), (5, 543, 3)))

    def by_row(x: torch.Tensor) -> torch.Tensor:
        return (x[:, :384, 0].unflatten(1, (6, 1, 64)) @ weight).flatten()

    path = tmp_path / "model.tflite"
    path.write_bytes(convert(module_of(translate(by_row, torch.zeros(7, 543, 3), 0)), "int8"))
    np.savez(tmp_path / "clips.npz", clip=clip.numpy())
    found = ask(competition, path, tmp_path / "clips.npz").outputs[0]
    expected = by_row(clip).numpy()
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_an_operation_that_a_runtime_lacks_is_named(competition, tmp_path):
    """BITWISE_XOR came years after the competition's runtime."""

    def answer(inputs: tf.Tensor) -> tf.Tensor:
        frames = tf.shape(inputs)[0][None]
        return tf.cast(tf.bitwise.bitwise_xor(frames, frames), tf.float32)

    module, path = module_of(answer), tmp_path / "new.tflite"
    path.write_bytes(convert(module, "fp32"))
    with pytest.raises(InputError, match=r"found newer ones: BITWISE_XOR version 1; do without"):
        check_runtime(path.read_bytes(), "do without")
    np.savez(tmp_path / "clips.npz", clip=toys.raw_clip(2))
    with pytest.raises(InputError, match=r"new\.tflite: expected a file that .*can run, but"):
        ask(competition, path, tmp_path / "clips.npz")


TAKEN = """
import sys, numpy
from tflite_runtime.interpreter import Interpreter
for name, content in numpy.load(sys.argv[1]).items():
    try:
        Interpreter(model_content=content.tobytes())
        print(name)
    except ValueError:
        pass
"""


def file_that_names(code: int, version: int) -> np.ndarray:
    """A file that has an operation in its list, and computes nothing."""
    operation = schema.OperatorCodeT(min(code, 127), version=version, builtinCode=code)
    nothing = schema.SubGraphT([], [], [], [])
    model = schema.ModelT(3, [operation], [nothing], buffers=[schema.BufferT()])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return np.frombuffer(builder.Output(), np.uint8)


def test_the_table_of_operations_is_the_competitions(competition, tmp_path):
    codes = {k: v for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    files = {f"{k} {n}": file_that_names(v, n) for k, v in codes.items() for n in range(1, 13)}
    np.savez(tmp_path / "files.npz", **files)
    asked = [competition, "-c", TAKEN, tmp_path / "files.npz"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    newest = dict(line.split() for line in found.splitlines())
    assert newest == dict(line.split() for line in KNOWN.read_text().splitlines())
