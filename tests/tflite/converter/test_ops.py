"""Every operator of the table against torch, in one .tflite file that holds them all.

The input is (T, 6, 4) with T from 1 to 40; an operator's other operands are constants or made from
the input. Inputs are seeded normal numbers, with NaN where a case asks for them.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.tflite.converter.convert import convert
from src.tflite.converter.ops_elementwise import SCALAR_TABLE
from src.tflite.converter.translate import TABLE, Program, translate
from src.tflite.interpreter import SIGNATURE, Interpreter

ATEN = torch.ops.aten
LENGTHS = (1, 2, 7, 40)
# float32 through other kernels: sums of up to 240 numbers near 1 differ in the last bits, and exp
# and tanh are polynomials of their own in XNNPACK.
TOLERANCE = 2e-5

torch.manual_seed(0)
LINEAR = nn.Linear(4, 5)
CONV = nn.Conv1d(6, 9, 3, padding=1)
CAUSAL = nn.Conv1d(6, 6, 5, groups=6, bias=False)
GROUPED = nn.Conv1d(6, 4, 3, padding=2, dilation=2, groups=2)
SAME = nn.Conv1d(6, 6, 4, padding="same", dilation=2)
ACROSS = nn.Conv1d(1, 1, 5, padding=2, bias=False)  # efficient channel attention
LAYER_NORM = nn.LayerNorm(4)
RMS_NORM = nn.RMSNorm(4)
BATCH_NORM = nn.BatchNorm1d(6).eval()
EMBEDDING = nn.Embedding(7, 3)
for tensor in (*LAYER_NORM.parameters(), *RMS_NORM.parameters(), *BATCH_NORM.parameters()):
    nn.init.uniform_(tensor, 0.5, 2.0)
BATCH_NORM.running_mean.normal_()
BATCH_NORM.running_var.uniform_(0.5, 2.0)
WEIGHT = torch.randn(4, 4)
WINDOWS = torch.randn(3, 12)
SQUARE = torch.randn(5, 4, 2, 1)
ODD = torch.randn(5, 4, 3, 1)
DEPTHWISE = torch.randn(8, 1, 3, 1)
STRIDED = nn.Conv1d(6, 6, 3, groups=6, stride=2, padding=1)
DILATED = nn.Conv1d(6, 6, 2, groups=6, stride=2, dilation=2, padding=2)
MATRICES = torch.randn(6, 4, 4)
ORDER = torch.tensor([5, 0, 3])
TABLE_40 = torch.arange(1600).view(40, 40) % 7


def heads(x: Tensor) -> Tensor:
    """(T, 6, 4) -> (1, 2, T, 12): batch, heads, frames, width of a head."""
    return x.reshape(1, -1, 2, 12).transpose(1, 2)


def holes(x: Tensor) -> Tensor:
    """The input with NaN wherever it is above 1 (16 % of it)."""
    return torch.where(x > 1.0, torch.nan, x)


def write_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[1:, 2] = 0.5
    y[:, :, 1:3] = y[:, :, 0:2] * 2
    y[y > 1.5] = -1.0
    return y


def stride_by_length(x: Tensor) -> Tensor:
    """Every n-th frame, n by the length, as a recipe's stride does it."""
    return x[torch.arange(1, x.shape[0] + 1) % (1 + x.shape[0] // 9) == 0]


def where_none_is_the_largest(x: Tensor) -> Tensor:
    number = (5 * x).long().masked_fill(x > 0, torch.iinfo(torch.int64).max)
    return number.amin(2).clamp(-9, 9)


def keep_seen(x: Tensor) -> Tensor:
    """Frames with a positive point; all of them if there is none."""
    seen = (x[:, 0, 0] > 0.0) & ~x.isnan().all((1, 2))
    return x[seen | ~seen.any()]


def rotary(x: Tensor) -> Tensor:
    """Rotary positions over interleaved pairs (2i, 2i + 1) of a width of 4."""
    angle = torch.arange(x.shape[0])[:, None] * torch.tensor([1.0, 0.01])
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


CASES: dict[str, Callable[[Tensor], Tensor]] = {
    # one operand
    "neg": lambda x: -x,
    "abs_sign": lambda x: x.abs() * x.sign(),
    "exp_log": lambda x: (x.exp() + 1).log() + x.abs().log1p() + x.expm1(),
    "roots": lambda x: x.square().sqrt() + (x.square() + 1).rsqrt() + (x.abs() + 1).reciprocal(),
    "waves": lambda x: x.sin() + 2 * x.cos(),
    "rounding": lambda x: x.floor() + 10 * x.ceil() + 100 * x.round(),
    "tanh_sigmoid": lambda x: x.tanh() + 2 * x.sigmoid(),
    "relu": lambda x: F.relu(x) + F.relu6(9 * x) + F.leaky_relu(x, 0.1) + F.elu(x),
    "silu": F.silu,
    "mish": lambda x: F.mish(20 * x),
    "gelu": lambda x: F.gelu(x) + torch.erf(3 * x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hard": lambda x: F.hardswish(4 * x) + F.hardsigmoid(4 * x),
    "softplus": lambda x: F.softplus(5 * x),
    "glu": lambda x: F.glu(x, -1),
    "not": lambda x: (~(x > 0)) | torch.logical_not(x > 1),
    "isnan": lambda x: holes(x).isnan(),
    "isinf": lambda x: (x / F.relu(x)).isinf(),
    "nan_to_num": lambda x: (holes(x) / F.relu(x)).nan_to_num(0.25, 7.0, -7.0),
    "nan_to_zero": lambda x: holes(x).nan_to_num(),
    "copies": lambda x: F.dropout(torch.ops.aten.alias(x.clone()), 0.5, training=False).detach(),
    "casts": lambda x: (3 * x).to(torch.int64).to(torch.float32) + (x > 0).float(),
    # two operands
    "add_alpha": lambda x: torch.add(x, x.sin(), alpha=3) + torch.sub(x, WEIGHT[0], alpha=2),
    "scalars": lambda x: (2 - x) / 3 + 1 / (x.abs() + 1) + x / x.shape[0],
    "promotion": lambda x: torch.arange(x.shape[0])[:, None, None] * x + (x > 0),
    "integers": lambda x: (
        torch.arange(x.shape[0]) // 3 + torch.arange(x.shape[0]) % 4 - (torch.arange(4)[2] + 1)
    ),
    "integer_division": lambda x: torch.arange(x.shape[0]) / 3,
    "floor_division": lambda x: (
        (7 * x).div(2, rounding_mode="floor") + (x // 0.3) + x % 0.7 + x % WEIGHT[0]
    ),
    "trunc_division": lambda x: torch.div(7 * x, 2, rounding_mode="trunc"),
    "powers": lambda x: x**2 + (x.abs() + 0.1) ** 1.5 + 2.0**x + x.abs() ** x.cos(),
    "extremes": lambda x: torch.maximum(x, x.sin()) - torch.minimum(x, WEIGHT[0]),
    "comparisons": lambda x: torch.stack(
        [x > 0, x >= 0.3, x < 0.2, x <= 0.1, x.round() == 1, x.round() != 1]
    ),
    "comparisons_of_tensors": lambda x: torch.stack(
        [op(x.round(), WEIGHT[0].round()) for op in (ATEN.eq, ATEN.ne, ATEN.lt, ATEN.le)]
        + [x > WEIGHT[0], x >= x.sin()]
    ),
    "logic": lambda x: ((x > 0) & (x < 1)) | torch.logical_and(x > 0.5, x < 2) ^ (x > -1),
    "logical": lambda x: torch.logical_xor(x > 0, torch.logical_or(x > 1, x < -1)),
    "where": lambda x: torch.where(x > 0, x, 0.0) + torch.where(x > 1, 1.0, WEIGHT[0]),
    "logic_by_arithmetic": lambda x: (x > 0) * (x < 1) + (x > 2),
    "numbers_for_truth": lambda x: (
        torch.full((x.shape[0],), 1, dtype=torch.bool) & F.pad(x[:, 0] > 0, (1, 0), value=1)[:, 0]
    ),
    "floats_for_integers": lambda x: (5 * x).int().masked_fill(x > 1, 2.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, -9.0),
    "clamp": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp_max(0.2),
    "lerp": lambda x: torch.lerp(x, x.sin(), 0.3) + torch.addcmul(x, x, x.cos(), value=0.5),
    # reductions
    "sum": lambda x: x.sum() + x.sum((0, 2)) + x.sum(1, keepdim=True).mean(),
    "sum_of_bools": lambda x: (x > 0).sum((1, 2)),
    "mean": lambda x: x.mean((0, 1), keepdim=True) + x.mean(),
    "nansum_nanmean": lambda x: holes(x).nansum(0) + holes(x).nanmean((1, 2)).nansum(),
    "amax_amin": lambda x: x.amax((1, 2)) - x.amin(2).sum(1) + x.max() - x.min(),
    "max_and_index": lambda x: (
        x.max(1).values * x.max(1).indices + x.min(2, keepdim=True).values[:, 0]
    ),
    "argmax": lambda x: x.argmax(-1) + x.argmin(-1) + x.argmax(),
    "argmax_of_all": lambda x: x.argmax(keepdim=True),
    "none_is_the_largest": where_none_is_the_largest,
    "any_all": lambda x: (
        (x > 1).any((1, 2)) & ~(x > -1).all(2).all(1) | (x > 9).any() | (x > 1.5).any(2).any(1)
    ),
    "prod": lambda x: x.prod(2),
    "cumsum": lambda x: x.cumsum(0) + x.cumsum(2) + (x > 0).cumsum(0),
    "std": lambda x: (
        x.std((1, 2)) + x.var((0, 1, 2), correction=0) + x.std(2, unbiased=False)[:, 0]
    ),
    "norms": lambda x: (
        x.norm(dim=-1) + torch.linalg.vector_norm(x, 1, 2) + x.abs().norm(torch.inf, 2)
    ),
    "odd_norms": lambda x: (
        torch.linalg.vector_norm(F.relu(x), 0, 2) + torch.linalg.vector_norm(x, -torch.inf, 2)
    ),
    "cosine": lambda x: F.cosine_similarity(x[:, 0], x[:, 1], dim=-1),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "logsumexp": lambda x: x.logsumexp((1, 2)),
    "diff": lambda x: F.pad(x, (0, 0, 0, 0, 1, 0)).diff(dim=0),
    "cdist": lambda x: (x[:, :, None, :2] - x[:, None, :, :2]).square().sum(-1).sqrt(),
    # new tensors
    "new": lambda x: (
        torch.zeros(x.shape[0], 4) + torch.ones(4, x.shape[0]).T + torch.full((x.shape[0], 4), 2.5)
    ),
    "new_like": lambda x: torch.zeros_like(x) + torch.ones_like(x) + torch.full_like(x, 2.0),
    "aranges": lambda x: torch.arange(2, x.shape[0] + 5, 2) + torch.arange(1.0, 2.0),
    "nonzero": lambda x: (x > 0).nonzero(),
    "triangle": lambda x: torch.ones(x.shape[0], x.shape[0]).tril(),
    # shape
    "reshape": lambda x: x.reshape(-1, 24).view(-1, 4, 6).flatten().unflatten(0, (-1, 3)),
    "reshape_transposed": lambda x: x.transpose(1, 2).reshape(-1, 12),
    "permute": lambda x: x.permute(2, 0, 1).transpose(0, -1)[0].t(),
    "squeeze": lambda x: x[:, None].squeeze(1)[:, :1].squeeze(-2).unsqueeze(-1).squeeze((1, 2)),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1) + WEIGHT[0].expand(x.shape[0], 3, 4),
    "expand_frames": lambda x: x.mean(0).expand(x.shape[0], 6, 4).contiguous(),
    "repeat": lambda x: x.repeat(2, 1, 3) + x.repeat_interleave(3, 2).repeat(2, 1, 1),
    "slices": lambda x: torch.cat([x[:, 1:5:2], x[:, -3:], x[:, :-4]], 1),
    "slice_frames": lambda x: torch.cat([x[1:], x[:1], x[-1:], x[: x.shape[0] // 2]]),
    "select": lambda x: x[:, -1] + x[0, 2] + x[-1, 0],
    "splits": lambda x: x.split([1, 3], -1)[1] + x.split(3, -1)[0] + x.chunk(2, 1)[1].mean(),
    "unbind": lambda x: x.unbind(1)[2] - x.unbind(-1)[1].sum(1, keepdim=True),
    "index": lambda x: x[:, ORDER] + x.index_select(1, ORDER) + x[:, torch.tensor([-1, 0, -2])],
    "index_two": lambda x: x[:, ORDER, ORDER % 4],
    "index_frames": lambda x: x[(x[:, 0, 0] > 0).long() % x.shape[0]],
    "index_mask": lambda x: x[x[:, 0, 0] > 0],
    "index_mask_2d": lambda x: x[x[..., 0] > 0],
    "index_mask_constant": lambda x: x[:, torch.tensor([True, False, True, True, False, False])],
    "gather": lambda x: x.gather(2, (x > 0).long()),
    "gather_middle": lambda x: x.gather(1, (x[:, :3] > 0).long() * 2),
    "gather_frames_of_a_table": lambda x: (
        MATRICES[0, :2].repeat(20, 1).gather(1, (x[:, 0] > 0).long())
    ),
    "gather_relative": lambda x: x.flatten(1).gather(1, TABLE_40[: x.shape[0], : x.shape[0]]),
    "gather_relative_by_head": lambda x: (
        x.flatten(1).expand(3, 2, -1, -1) * torch.arange(1, 7).view(3, 2, 1, 1)
    ).gather(-1, TABLE_40[: x.shape[0], : x.shape[0]].expand(3, 2, -1, -1)),
    "take_along": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
    "unfold": lambda x: (
        F.pad(x, (0, 0, 0, 0, 2, 2)).unfold(0, 5, 1) + x.unfold(1, 4, 2)[:, :1, :, 0, None]
    ),
    "flip_roll": lambda x: x.flip(0) + x.flip((1, 2)) + x.roll(1, 1),
    "in_place": write_in_place,
    "scatter": lambda x: torch.select_scatter(x, x[:, 0] * 2, 1, -1),
    "cat": lambda x: torch.cat([x, x.sin(), torch.ones(1, 6, 4)], 0),
    "stack": lambda x: torch.stack([x, x.sin()], -2).flatten(1),
    "pad": lambda x: F.pad(x, (1, 0, 2, 1), value=7.0)[..., 1:] + F.pad(x, (0, 0, 1, 2)),
    "crop": lambda x: F.pad(x, (-1, -1, 2, 0)),
    "replicate": lambda x: F.pad(x, (2, 1), mode="replicate"),
    # layers
    "matmul": lambda x: x @ WEIGHT + (x @ WEIGHT[0])[..., None] + x @ x.transpose(1, 2) @ x,
    "matmul_repeated": lambda x: x[:, :, None] @ MATRICES + (x[:, :1] @ MATRICES[0])[:, None],
    "matmul_batch": lambda x: x[:, 0] @ MATRICES + (x @ MATRICES[:1]).mean(1),
    "matmul_batches": lambda x: x[:, None, None, :3] @ MATRICES.view(2, 3, 4, 4),
    "mm": lambda x: torch.mm(x[:, 0], WEIGHT) + torch.addmm(WEIGHT[0], x[:, 1], WEIGHT),
    "einsum": lambda x: (
        torch.einsum("tic,tjc->tij", x, x) + torch.einsum("tic,kc->tk", x, WEIGHT).sum()
    ),
    "linear_on_windows": lambda x: F.linear(
        F.pad(x, (0, 0, 0, 0, 1, 1))[None].unfold(1, 3, 1).flatten(-2), WINDOWS, WEIGHT[0, :3]
    ),
    "conv2d": lambda x: F.conv2d(x.permute(2, 1, 0)[None], SQUARE, padding=(1, 0), stride=(2, 1)),
    "conv2d_same": lambda x: F.conv2d(x.permute(2, 1, 0)[None], ODD, padding="same"),
    "conv2d_depthwise": lambda x: F.conv2d(x.permute(2, 1, 0)[None], DEPTHWISE, groups=4),
    "conv2d_depthwise_strided": lambda x: F.conv2d(
        x.permute(2, 1, 0)[None], DEPTHWISE, padding=(1, 0), stride=(2, 1), groups=4
    ),
    "linear": lambda x: LINEAR(x) + LINEAR(x[:, 0])[:, None] + F.linear(x[:1], LINEAR.weight),
    "embedding": lambda x: EMBEDDING((x > 0).long() * 3),
    "conv": lambda x: CONV(x.permute(2, 1, 0)),
    "conv_causal_depthwise": lambda x: CAUSAL(F.pad(x.permute(2, 1, 0), (4, 0))),
    "conv_grouped_dilated": lambda x: GROUPED(x.permute(2, 1, 0)),
    "conv_depthwise_strided": lambda x: STRIDED(x.permute(2, 1, 0)),
    "conv_depthwise_strided_dilated": lambda x: DILATED(x.permute(2, 1, 0)),
    "conv_without_batch": lambda x: STRIDED(x[:, :, 0].T) + CONV(x[..., 1].T)[:6, ::2],
    "conv_same": lambda x: SAME(x.permute(2, 1, 0)),
    "conv_channel_attention": lambda x: ACROSS(x.mean((0, 2))[None, None]).sigmoid() * x.mean(2),
    "layer_norm": LAYER_NORM,
    "layer_norm_2d": lambda x: F.layer_norm(x, (6, 4)),
    "rms_norm": lambda x: RMS_NORM(x) + F.rms_norm(x, (4,), eps=0.1),
    "batch_norm": BATCH_NORM,
    "softmax": lambda x: x.softmax(-1) + x.softmax(0) + x.log_softmax(1),
    "attention": lambda x: F.scaled_dot_product_attention(heads(x), heads(x.sin()), heads(x)),
    "attention_causal": lambda x: F.scaled_dot_product_attention(
        heads(x), heads(x), heads(x), is_causal=True, scale=0.3
    ),
    "attention_mask": lambda x: F.scaled_dot_product_attention(
        heads(x), heads(x), heads(x), TABLE_40[: x.shape[0], : x.shape[0]] < 4
    ),
    # numbers that depend on the length alone
    "length_integers": lambda x: (
        x * ((x.shape[0] - 1) // 2 + x.shape[0] % 3 * 2 - (-x.shape[0]) + x.shape[0] ** 2)
    ),
    "length_floats": lambda x: x * ((2 * x.shape[0]) / 3) + torch.sym_float(x.shape[0]),
    "length_rounded": lambda x: x * math.ceil(x.shape[0] / 3) + x * math.floor(x.shape[0] / 2),
    "length_limits": lambda x: x[: torch.sym_min(x.shape[0], 5)] * torch.sym_max(x.shape[0], 3),
    "length_tests": lambda x: (
        x * torch.sym_ite((x.shape[0] >= 5) & (x.shape[0] < 9), x.shape[0] - 1, 2 * x.shape[0])
        + torch.sym_ite(torch.sym_not(x.shape[0] == 7), 1, 0)
        + torch.sym_ite(x.shape[0] > 7, 2, 0)
        + torch.sym_ite(x.shape[0] <= 7, 4, 0)
    ),
    # what recipes are made of
    "stride_by_length": stride_by_length,
    "keep_seen": keep_seen,
    "rotary": rotary,
}


def clip(frames: int) -> np.ndarray:
    return np.random.default_rng(frames).standard_normal((frames, 6, 4), np.float32)


class AllCases(nn.Module):
    """Every case as one module: one export is a tenth of the time of a hundred."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(case(x) for case in CASES.values())


@pytest.fixture(scope="module")
def program() -> Program:
    return translate(AllCases(), torch.zeros(5, 6, 4), 0)


@pytest.fixture(scope="module")
def outputs(program, tmp_path_factory) -> dict[int, dict[str, np.ndarray]]:
    """What one .tflite file with an output per case answers, by number of frames."""

    class Module(tf.Module):
        @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, 6, 4), tf.float32)])
        def __call__(self, inputs):
            return dict(zip(CASES, program(inputs), strict=True))

    path = tmp_path_factory.mktemp("ops") / "ops.tflite"
    path.write_bytes(convert(Module(), "fp32"))
    runner = Interpreter(str(path), num_threads=1).get_signature_runner(SIGNATURE)
    return {frames: runner(inputs=clip(frames)) for frames in LENGTHS}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_torchs(outputs, name):
    for frames, answered in outputs.items():
        expected = CASES[name](torch.from_numpy(clip(frames))).detach().numpy()
        assert answered[name].shape == expected.shape
        np.testing.assert_allclose(answered[name], expected, TOLERANCE, TOLERANCE)


def test_every_entry_of_the_tables_is_tested(program):
    assert {**TABLE, **SCALAR_TABLE}.keys() - {node.target for node in program.nodes} == set()
