"""Shared layers: attention, means, norms and late dropout against torch's and by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.models.blocks import (
    LateDropout,
    MaskedBatchNorm,
    RmsNorm,
    attend,
    masked_mean,
    set_progress,
)
from tests.models.conftest import randomised

WIDTH = 6
# Sums over some 30 rows in another order than torch's.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def pair() -> tuple[MaskedBatchNorm, nn.BatchNorm1d]:
    """Ours and torch's with the same weights and running statistics."""
    ours, theirs = MaskedBatchNorm(WIDTH), randomised(nn.BatchNorm1d(WIDTH))
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def rows_of(mask: Tensor, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*mask.shape, WIDTH, generator=generator) + 3


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_attention_is_softmax_of_products_and_so_are_its_gradients(half):
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, 9, 4, generator=draw).requires_grad_() for _ in range(3))
    sees = torch.rand(3, 1, 9, 9, generator=draw) < 0.7
    sees[..., 0] = True
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        ours = attend(q, k, v, sees)
    scores = (q @ k.transpose(-1, -2) / 2).masked_fill(~sees, -torch.inf)
    expected = scores.softmax(-1) @ v
    # bfloat16 keeps eight bits.
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if half else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(ours.float(), expected, **tolerance)
    slope = torch.randn(ours.shape, generator=draw)
    found = torch.autograd.grad((ours.float() * slope).sum(), (q, k, v))
    right = torch.autograd.grad((expected * slope).sum(), (q, k, v))
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.mark.parametrize("rest", [(), (4,), (3, 2)])
def test_masked_mean_is_numpys_over_the_real_frames(mask, rest):
    x = torch.randn(*mask.shape, *rest, generator=torch.Generator().manual_seed(0))
    ours = masked_mean(x, mask)
    for k in range(len(mask)):
        expected = np.mean(x[k, mask[k]].double().numpy(), axis=0)
        np.testing.assert_allclose(ours[k].numpy(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(masked_mean(x, None), masked_mean(x, torch.ones_like(mask)))


def test_training_is_torchs_on_the_packed_rows(mask):
    """Outputs, running statistics, and gradients, over several steps."""
    ours, theirs = pair()
    for step in range(4):
        x = rows_of(mask, seed=step).requires_grad_()
        packed = x.detach()[mask].requires_grad_()
        weight = torch.randn(packed.shape, generator=torch.Generator().manual_seed(step + 9))
        a, b = ours(x, mask), theirs(packed)
        torch.testing.assert_close(a[mask], b, **CLOSE)
        (a[mask] * weight).sum().backward()
        (b * weight).sum().backward()
        torch.testing.assert_close(x.grad[mask], packed.grad, **CLOSE)
        assert (x.grad[~mask] == 0).all()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **CLOSE)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, **CLOSE)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, **CLOSE)


@pytest.mark.parametrize("training", [True, False])
def test_without_a_mask_every_row_is_real(training):
    ours, theirs = (norm.train(training) for norm in pair())
    x = rows_of(torch.ones(9, dtype=torch.bool))
    torch.testing.assert_close(ours(x), theirs(x), **CLOSE)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **CLOSE)
    if not training:
        mask = torch.tensor([True] * 4 + [False] * 5)
        torch.testing.assert_close(ours(x, mask), theirs(x), **CLOSE)
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_one_real_row_is_finite():
    """torch's own refuses it; a batch of one clip of one frame may come last in an epoch."""
    ours, _ = pair()
    out = ours(rows_of(torch.ones(1, 1, dtype=torch.bool)), torch.ones(1, 1, dtype=torch.bool))
    # The row is its own mean: float32 leaves 1e-7 of it, times 1 / sqrt(eps) = 316.
    torch.testing.assert_close(out[0, 0], ours.bias, rtol=0, atol=5e-4)
    assert ours.running_var.isfinite().all()


def test_norms_are_torchs_in_float32_under_autocast(mask):
    batch, theirs = pair()
    rms, other = RmsNorm(WIDTH), nn.RMSNorm(WIDTH, eps=1e-12)
    nn.init.normal_(rms.weight)
    other.load_state_dict(rms.state_dict())
    x = rows_of(mask).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out, of_rms = batch(x, mask), rms(x)
    assert out.dtype == of_rms.dtype == torch.float32
    torch.testing.assert_close(out[mask], theirs(x[mask].float()), **CLOSE)
    assert torch.equal(of_rms, other(x.float()))


def test_late_dropout_begins_at_its_share_of_the_training():
    model = nn.Sequential(nn.Identity(), nn.ModuleDict({"late": LateDropout(0.5, start=0.3)}))
    layer = model[1]["late"]
    x = torch.ones(2000, 2)
    torch.manual_seed(0)
    for progress, drops in ((0.0, False), (0.299, False), (0.3, True), (1.0, True)):
        set_progress(model, progress)
        assert (layer.train()(x) == 0).any() == drops
        assert torch.equal(layer.eval()(x), x)
    kept = layer.train()(x)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert kept.mean().item() == pytest.approx(1, abs=4 * 4000**-0.5)
