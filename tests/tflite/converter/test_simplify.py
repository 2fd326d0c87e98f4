"""Each rewrite takes out what it says, and changes no number and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.tflite.converter import simplify
from src.tflite.converter.translate import translate

ATEN = torch.ops.aten
NORM = ATEN._native_batch_norm_legit_no_training.default


def norm(width: int) -> nn.BatchNorm1d:
    module = nn.BatchNorm1d(width)
    for tensor in (module.weight.data, module.running_var):
        tensor.uniform_(0.5, 2)
    for tensor in (module.bias.data, module.running_mean):
        tensor.normal_()
    return module.eval()


def translated(module: Callable[[Tensor], Tensor], lengths=(1, 2, 11)) -> set:
    """The operators left of a module of (1, T, 4), once it agrees with torch at these lengths."""
    program = translate(module, torch.zeros(1, 5, 4), 1)
    for frames in lengths:
        x = torch.randn(1, frames, 4)
        with torch.no_grad():
            expected = module(x).numpy()
        got = program(tf.constant(x.numpy())).numpy()
        np.testing.assert_allclose(got, expected, 1e-5, 1e-5)
    return {node.target for node in program.nodes}


class LinearNorm(nn.Module):
    """A linear layer and a batch norm, over rows or, by transposing, over (B, C, T)."""

    def __init__(self, bias: bool, transpose: bool, also: Callable = lambda y: 0.0):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 6, bias=bias), norm(6)
        self.transpose, self.also = transpose, also

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if self.transpose:
            return self.norm(y.transpose(1, 2)).transpose(1, 2) + self.also(y)
        return self.norm(y.flatten(0, 1)).view_as(y) + self.also(y)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_batch_norm_disappears_into_the_linear_layer_before_it(bias, transpose, affine):
    module = LinearNorm(bias, transpose)
    if not affine:
        module.norm.weight = module.norm.bias = None
    assert NORM not in translated(module)


@pytest.mark.parametrize("bias", [False, True])
def test_a_batch_norm_disappears_into_the_convolution_before_it(bias):
    layers = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1, groups=2, bias=bias), norm(6))
    assert NORM not in translated(lambda x: layers(x.transpose(1, 2)))


def test_a_batch_norm_stays_where_something_else_reads_the_layer_or_no_layer_is_before_it():
    assert NORM in translated(LinearNorm(True, False, also=torch.sin))
    conv, after = nn.Conv1d(4, 6, 3, padding=1), norm(6)
    assert NORM in translated(lambda x: after(y := conv(x.transpose(1, 2))) + y)
    first = norm(4)
    assert NORM in translated(lambda x: first(x.transpose(1, 2)))


def test_a_batch_norm_over_as_many_rows_as_channels_stays():
    """Transposed, the dimension that is normalised is still not the layer's."""
    linear, over_rows = nn.Linear(4, 6), norm(6)
    points = lambda x: linear(x.expand(6, -1, 4).transpose(0, 1))  # noqa: E731 (T, 6 points, 6)
    assert NORM in translated(lambda x: over_rows(points(x).permute(2, 1, 0)))
    assert NORM not in translated(lambda x: over_rows(points(x).permute(0, 2, 1)))


def test_layers_on_rows_of_a_table_are_applied_to_the_table():
    table, layer_norm, linear = nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 3)

    def looked_up(x: Tensor) -> Tensor:
        rows = table(torch.arange(x.shape[1]) % 9)
        return linear(layer_norm(rows)) + x[0, :, :3]

    def over_both(x: Tensor) -> Tensor:
        rows = table((x[0, :3, 0] > 0).long())
        return F.layer_norm(rows, tuple(rows.shape)) + 0 * x.sum()

    operators = translated(looked_up)
    assert operators.isdisjoint({ATEN.linear.default, ATEN.layer_norm.default})
    assert ATEN.embedding.default in operators
    # ... but not a layer that mixes the rows.
    assert ATEN.layer_norm.default in translated(over_both, lengths=(3, 8))


@pytest.mark.parametrize("bias", [None, torch.randn(5)])
@pytest.mark.parametrize("step", [1, 2])
def test_a_linear_layer_on_windows_at_every_frame_becomes_a_convolution(bias, step):
    weight = torch.randn(5, 2 * 3)

    def windows(x: Tensor) -> Tensor:
        points = F.pad(x.view(1, -1, 2, 2), (0, 0, 0, 0, 1, 1))
        return F.linear(points.unfold(1, 3, step).flatten(-2), weight, bias)

    operators = translated(windows)
    assert (ATEN.conv2d.default in operators) == (step == 1)
    assert ({ATEN.unfold.default, ATEN.linear.default} <= operators) == (step != 1)


def test_windows_that_come_as_rows_leave_as_rows():
    def rows(x: Tensor) -> Tensor:
        points = F.pad(x.view(1, -1, 2, 2), (0, 0, 0, 0, 1, 1))
        return F.linear(points.unfold(1, 3, 1).reshape(-1, 6), torch.ones(5, 6))

    assert ATEN.linear.default in translated(rows)


def test_a_gather_with_the_same_indices_in_every_head_is_marked():
    index = torch.randint(0, 4, (11, 11))

    def by_head(x: Tensor) -> Tensor:
        heads = torch.stack([x, x.sin(), x.cos()], 1)  # (1, 3, T, 4)
        shared = index[: x.shape[1], : x.shape[1]]
        return heads.gather(-1, shared.expand(1, 3, -1, -1))

    def own(x: Tensor) -> Tensor:
        heads = torch.stack([x, x.sin()], 1)
        return heads.gather(-1, (heads > 0).long())

    operators = translated(by_head)
    assert simplify.gather_rows in operators and ATEN.gather.default not in operators
    assert simplify.gather_rows not in translated(own)
