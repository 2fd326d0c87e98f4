"""What cannot be translated is refused by name; what does not depend on the input is computed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import Tensor, nn

from src.common.errors import InputError
from src.common.paths import root
from src.tflite.converter.translate import check, translate

EXAMPLE = torch.zeros(5, 4)
ATEN = torch.ops.aten


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x, dim=-1).abs()


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), Spectrum())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_an_operator_that_is_missing_is_named_with_its_module_and_the_way_out():
    with pytest.raises(InputError) as refused:
        translate(Network(), EXAMPLE, 0)
    message = str(refused.value)
    assert "aten._fft_r2c.default" in message
    assert "inner.1 (Spectrum)" in message
    assert 'route="onnx2tf"' in message
    for path in ("src/tflite/converter/ops_nn.py", "tests/tflite/converter/test_ops.py"):
        assert path.replace("_nn", "_*") in message and (root() / path).is_file()


def test_every_missing_operator_is_named_at_once():
    with pytest.raises(InputError) as refused:
        translate(lambda x: torch.fft.rfft(x).abs() + torch.special.i0(x)[:, :3], EXAMPLE, 0)
    assert "aten._fft_r2c.default" in str(refused.value)
    assert "aten.i0.default" in str(refused.value)


def test_a_python_branch_on_a_value_is_refused_in_one_sentence():
    def branch(x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match=r"branch.*torch.export cannot follow it"):
        translate(branch, EXAMPLE, 0)


def test_a_number_that_export_fixed_without_a_word_is_found_by_the_check():
    def first_half(x: Tensor) -> Tensor:
        return x[: int(x.shape[0] / 2)]

    program = translate(first_half, EXAMPLE, 0)
    check(program, first_half, [torch.ones(5, 4)])
    with pytest.raises(InputError, match=r"first_half.*\(8, 4\).*fixed at export"):
        check(program, first_half, [torch.ones(8, 4)])


def test_a_small_difference_of_values_is_found_by_the_check():
    program = translate(lambda x: x * 1.01, EXAMPLE, 0)
    check(program, lambda x: x * 1.01, [torch.ones(3, 4)])
    with pytest.raises(InputError, match=r"off by up to 0\.01"):
        check(program, lambda x: x, [torch.ones(3, 4)])


def test_missing_points_in_other_places_are_found_by_the_check():
    program = translate(lambda x: torch.where(x > 1, torch.nan, x), EXAMPLE, 0)
    with pytest.raises(InputError, match="differs from torch"):
        check(program, lambda x: x, [torch.full((3, 4), 2.0)])


def test_what_does_not_depend_on_the_input_is_computed_by_torch():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(6, 4))
            self.project = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.project(self.table).softmax(-1).mean(0)

    module = Folded()
    program = translate(module, EXAMPLE, 0)
    assert [node.target for node in program.nodes] == [ATEN.add.Tensor]
    check(program, module, [torch.ones(3, 4)])


def test_half_precision_weights_are_widened_exactly():
    weight = torch.randn(4, dtype=torch.bfloat16)
    program = translate(lambda x: x * weight, EXAMPLE, 0)
    got = program(tf.ones((2, 4))).numpy()
    np.testing.assert_array_equal(got, np.tile(weight.float().numpy(), (2, 1)))
    assert got.dtype == np.float32


def test_torch_can_compile_after_tensorflow_came():
    """Where torch has triton, TensorFlow before triton ends the process: one of its own here."""
    code = "import src.tflite.export, torch._dynamo"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root(), capture_output=True)
