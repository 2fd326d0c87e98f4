"""Attention over time and over joints against torch's own; its gradients against differences."""

import pytest
import torch
from torch.nn import functional as F

from src.motion.models import attention
from src.motion.models.attention import over_joints, over_time
from src.motion.models.dropout import Dropout

# bfloat16 has eight bits: sums of products of numbers around 1 differ by hundredths
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}


def torchs_over_time(qkv):
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def torchs_over_joints(q, k, v, heads):
    q, k, v = (part.unflatten(-1, (heads, -1)).permute(1, 2, 0, 3) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).permute(2, 0, 1, 3).flatten(2)


def same_as_in_float32(ours, theirs, inputs, dtype):
    """Output and gradients of ours in `dtype` are those of theirs in float32."""
    mine = [x.to(dtype).requires_grad_() for x in inputs]
    exact = [x.detach().float().requires_grad_() for x in mine]
    made, wanted = ours(*mine), theirs(*exact)
    weight = torch.randn(wanted.shape).to(dtype)
    made.backward(weight)
    wanted.backward(weight.float())
    assert wanted.abs().max() > 0.1
    pairs = [(made, wanted), *((a.grad, b.grad) for a, b in zip(mine, exact, strict=True))]
    for got, expected in pairs:
        assert got.dtype == dtype
        assert torch.allclose(got.float(), expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("frames", [1, 31, 32, 33, 70])
def test_over_time_is_torchs_on_both_sides_of_a_blocks_end(frames, dtype):
    same_as_in_float32(over_time, torchs_over_time, [torch.randn(3, frames, 3, 2, 8)], dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("joints", [1, 15, 16, 24])
def test_over_joints_is_torchs_with_and_without_padding(joints, dtype):
    same_as_in_float32(
        lambda q, k, v: over_joints(q, k, v, 2),
        lambda q, k, v: torchs_over_joints(q, k, v, 2),
        [torch.randn(joints, 7, 16) for _ in range(3)],
        dtype,
    )


def test_over_joints_is_torchs_elsewhere_than_on_a_cpu():
    q, k, v = (torch.randn(15, 7, 16) for _ in range(3))
    made = attention._plain_over_joints(q, k, v, 2)
    assert torch.allclose(made, torchs_over_joints(q, k, v, 2), atol=1e-6)


def test_gradients_are_differences(monkeypatch):
    """In float64, with blocks so short that there are several."""
    monkeypatch.setattr(attention, "BLOCK", 2)
    qkv = torch.randn(1, 5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(over_time, (qkv,))
    qkv = [torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: over_joints(q, k, v, 2), qkv)


def test_large_scores_stay_finite():
    qkv = (torch.randn(2, 40, 3, 2, 8) * 100).requires_grad_()
    out = over_time(qkv)
    out.sum().backward()
    assert out.isfinite().all() and qkv.grad.isfinite().all()


def test_a_sum_with_dropout_scales_what_is_kept_and_passes_the_same_on():
    x, y = torch.randn(2, 999), torch.randn(2, 999)
    x.requires_grad_()
    y.requires_grad_()
    dropout = Dropout(0.25).train()
    out = dropout.added(x, y)
    out.sum().backward()
    factor = y.grad
    assert factor.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.allclose(out, x + y * factor) and (x.grad == 1).all()
    assert torch.equal(dropout.eval().added(x, y), x + y)
    assert dropout.train().added(x, y.bfloat16()).dtype == torch.float32
