"""What cannot be translated is refused by name; what does not depend on the input is computed."""

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
        return self.inner(x) + torch.special.i0(x)[:, :3]


def test_all_missing_operators_are_named_with_their_module_and_the_way_out():
    with pytest.raises(InputError) as refused:
        translate(Network(), EXAMPLE, 0)
    message = str(refused.value)
    assert "aten._fft_r2c.default" in message and "inner.1 (Spectrum)" in message
    assert "aten.i0.default" in message and "EXPORTER=onnx2tf" in message
    assert "(node i0, from the top: return self.inner(x) + torch.special.i0(x)" in message
    for path in ("src/tflite/converter/ops_nn.py", "tests/tflite/converter/test_ops.py"):
        assert path.replace("_nn", "_*") in message and (root() / path).is_file()


def test_a_python_branch_on_a_value_is_refused_with_its_line():
    def branch(x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    line = branch.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match=rf"cannot follow it .*test_translate.py:{line}\)\. Write"):
        translate(branch, EXAMPLE, 0)


class Recurrent(nn.RNN):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # torch's, of its own RNN
def test_a_recurrent_network_is_refused_as_the_loop_that_it_is():
    """torch.export writes as many steps as the example has frames; its error names no place."""
    with pytest.raises(InputError, match=r"tracing:\)\. Write .* no nn.GRU or nn.LSTM"):
        translate(Recurrent(4, 3, batch_first=True), torch.zeros(1, 5, 4), 1)


def first_half(x: Tensor) -> Tensor:
    """torch.export fixes its number without a word."""
    return x[: int(x.shape[0] / 2)]


@pytest.mark.parametrize(
    ("translated", "torchs", "example", "found"),
    [
        (first_half, first_half, torch.ones(8, 4), r"\(8, 4\).*fixed at export"),
        (lambda x: x * 1.01, lambda x: x, torch.ones(3, 4), r"to 0\.01.*Or a counterpart in src"),
        (lambda x: torch.where(x > 1, torch.nan, x), lambda x: x, 2 * torch.ones(3, 4), "to inf"),
    ],
    ids=["fixed number", "small difference", "missing points"],
)
def test_what_differs_from_torch_is_found_by_the_check(translated, torchs, example, found):
    program = translate(translated, EXAMPLE, 0)
    check(program, translated, [torch.ones(5, 4)])
    with pytest.raises(InputError, match=found):
        check(program, torchs, [example])


def double_in_place(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 0] * 2
    return x


def test_a_step_that_writes_into_its_input_is_translated():
    program = translate(double_in_place, EXAMPLE, 0)
    check(program, double_in_place, [torch.ones(3, 4)])
    np.testing.assert_array_equal(program(tf.ones((2, 4))).numpy(), [[2, 1, 1, 1]] * 2)


def test_what_a_counterpart_does_not_take_is_refused_by_name():
    def any_of(x: Tensor) -> Tensor:
        return (x > 0).amax(1)

    with pytest.raises(InputError, match=r"aten\.amax\.default \(node amax, from the top.*bool"):
        check(translate(any_of, EXAMPLE, 0), any_of, [EXAMPLE])


def test_what_does_not_depend_on_the_input_is_computed_by_torch():
    table, project = torch.randn(6, 4), nn.Linear(4, 4)

    def folded(x: Tensor) -> Tensor:
        return x + project(table).softmax(-1).mean(0)

    program = translate(folded, EXAMPLE, 0)
    assert [node.target for node in program.nodes] == [ATEN.add.Tensor]
    check(program, folded, [torch.ones(3, 4)])


def test_half_precision_weights_are_widened_exactly():
    weight = torch.randn(4, dtype=torch.bfloat16)
    program = translate(lambda x: x * weight, EXAMPLE, 0)
    got = program(tf.ones((2, 4))).numpy()
    np.testing.assert_array_equal(got, np.tile(weight.float().numpy(), (2, 1)))
    assert got.dtype == np.float32


def test_torch_can_compile_after_tensorflow_came():
    """Where torch has triton, TensorFlow before triton ends the process: one of its own here."""
    code = "import src.tflite.export, torch._dynamo"
    ended = subprocess.run([sys.executable, "-c", code], cwd=root(), capture_output=True)
    assert ended.returncode == 0, ended.stderr
