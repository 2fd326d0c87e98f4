"""Losses against torch's and scipy's own, against sorting by hand, and in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from torch.nn import functional as F

from src.losses import (
    CrossEntropy,
    FocalWithAuxiliary,
    WithNextFrame,
    consistency,
    contrast,
    cross_entropy,
    distillation,
    focal,
    pairwise_margin,
    smoothed,
    without_largest,
)

B, K = 8, 250
# Float32 sums over 250 signs: a few units in the last place of a value near 6.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
START, HALF = torch.zeros(()), torch.tensor(0.5)  # of the training


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(B, K, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def label() -> torch.Tensor:
    return torch.randint(K, (B,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mixed(label) -> torch.Tensor:
    """Soft targets as mixup makes them."""
    share = torch.linspace(0.1, 0.9, B)[:, None]
    target = F.one_hot(label, K).float()
    return share * target + (1 - share) * target.roll(1, 0)


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_smoothing_among_all_is_torchs_of_mixed_targets(logits, mixed, eps):
    ours = cross_entropy(logits, smoothed(mixed, eps, "all"))
    theirs = F.cross_entropy(logits, mixed, label_smoothing=eps, reduction="none")
    torch.testing.assert_close(ours, theirs, **CLOSE)


def test_smoothing_among_others_is_the_6th_places_formula(logits, mixed):
    """recognition.md 3.5: t (1 - eps) + (1 - t) eps / (C - 1), by hand in float64."""
    eps, t = 0.3, mixed.double().numpy()
    soft = t * (1 - eps) + (1 - t) * eps / (K - 1)
    log_p = log_softmax(logits.double().numpy(), axis=1)
    ours = cross_entropy(logits, smoothed(mixed, eps, "others"))
    np.testing.assert_allclose(ours.numpy(), -(soft * log_p).sum(1), rtol=1e-5)


def test_smallest_possible_loss_is_the_entropy_of_the_smoothed_label(label):
    """recognition.md 3.3 sees it in the logs: 2.266 for 250 signs and 0.3."""
    target = smoothed(F.one_hot(label, K).float(), 0.3, "others")
    assert cross_entropy(target.log(), target).mean().item() == pytest.approx(2.266, abs=2e-3)


def test_half_precision_logits_are_summed_in_float32(logits, mixed):
    rounded = logits.bfloat16()
    ours = cross_entropy(rounded, mixed)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, cross_entropy(rounded.float(), mixed), rtol=0, atol=0)


@pytest.mark.parametrize("n", [1, 7, 10, 11, 31, 32, 33, 64, 75, 256])
def test_ousm_is_the_mean_without_the_largest_of_each_group(n):
    """Each group has clips of all lengths, as a process has. What is dropped gets no gradient."""
    losses = torch.rand(n, generator=torch.Generator().manual_seed(n)).requires_grad_()
    kept, n_groups = [], math.ceil(n / 32)
    for first in range(n_groups):  # as Processes.share deals clips
        group = sorted(range(first, n, n_groups), key=losses.tolist().__getitem__)
        kept += group[: len(group) - math.floor(3 * len(group) / 32)]
    ours = without_largest(losses, drop=3, per=32)
    ours.backward()
    assert ours.item() == pytest.approx(losses[kept].mean().item(), rel=1e-6)
    torch.testing.assert_close(losses.grad[kept], torch.full((len(kept),), 1 / len(kept)))
    assert (losses.grad != 0).sum() == len(kept)


def test_consistency_of_two_signs_in_closed_form():
    """p and q of the first of two signs: 2 (p - q)^2; the teacher gets no gradient."""
    p, q = 0.8, 0.3
    student, teacher = (
        torch.tensor([[math.log(x / (1 - x)), 0.0]], requires_grad=True) for x in (p, q)
    )
    loss = consistency(student, teacher)
    assert loss.item() == pytest.approx(2 * (p - q) ** 2, rel=1e-6)
    loss.backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_distillation_is_the_divergence_times_the_squared_temperature(logits, temperature):
    p = (logits.roll(1, 0) / temperature).softmax(-1)
    q = softmax(logits.double().numpy() / temperature, axis=1)
    divergence = entropy(p.double().numpy(), q, axis=1).mean()
    ours = distillation(logits, p, temperature).item()
    assert ours == pytest.approx(temperature**2 * divergence, rel=1e-5)


def test_cross_entropy_with_options_is_smoothing_then_ousm(logits, mixed):
    loss = CrossEntropy(smoothing=0.3, among="others", drop=2, drop_per=B)
    by_clip = cross_entropy(logits, mixed * 0.7 + (1 - mixed) * 0.3 / (K - 1))
    expected = by_clip.sort().values[:-2].mean()
    torch.testing.assert_close(loss({"logits": logits}, mixed, START), expected, **CLOSE)


@pytest.fixture
def predicted() -> dict[str, torch.Tensor]:
    """Two clips of three frames and two points, one of them unknown in a frame."""
    generator = torch.Generator().manual_seed(2)
    predicted, true = 2 * torch.randn(2, 2, 3, 2, 2, generator=generator)
    known = torch.ones(2, 3, 2, dtype=torch.bool)
    known[1, 2] = known[0, 1, 0] = False
    return {"next_frame": predicted, "next_frame_true": true, "next_frame_mask": known}


def test_predicted_frames_cost_their_smooth_l1_distance_where_known(logits, mixed, predicted):
    x, known = predicted["next_frame"].requires_grad_(), predicted["next_frame_mask"]
    distance = F.smooth_l1_loss(x[known], predicted["next_frame_true"][known])
    signs = CrossEntropy(smoothing=0.1)({"logits": logits}, mixed, START)
    loss = WithNextFrame(smoothing=0.1, next_frame=3.0)
    ours = loss({"logits": logits} | predicted, mixed, START)
    torch.testing.assert_close(ours, signs + 3 * distance, **CLOSE)
    ours.backward()
    assert torch.equal((x.grad != 0).any(-1), known)


def test_with_nothing_known_the_distance_is_0(logits, mixed, predicted):
    predicted["next_frame_mask"] = torch.zeros(2, 3, 2, dtype=torch.bool)
    ours = WithNextFrame()({"logits": logits} | predicted, mixed, START)
    assert torch.equal(ours, CrossEntropy()({"logits": logits}, mixed, START))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_by_hand(logits, mixed, gamma):
    """recognition.md 4.4: - sum_c (1 - p_c)^gamma q_c log p_c, in float64."""
    p = softmax(logits.double().numpy(), axis=1)
    expected = -((1 - p) ** gamma * mixed.double().numpy() * np.log(p)).sum(1)
    np.testing.assert_allclose(focal(logits, mixed, gamma).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_certain_predictions_has_finite_gradients(gamma):
    x = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    for target in torch.eye(3):
        (gradient,) = torch.autograd.grad(focal(x, target[None], gamma).sum(), x)
        assert gradient.isfinite().all()


def outputs(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a network with three auxiliary classifiers returns."""
    generator = torch.Generator().manual_seed(3)
    return {
        "logits": logits,
        "auxiliary": torch.randn(3, B, K, generator=generator),
        "parts": torch.randn(B, 4, 6, generator=generator),
    }


def test_focal_with_auxiliary_is_the_sum_of_its_parts(logits, mixed):
    """recognition.md 4.4: auxiliary ones by 0.2 x 0.5^(2 - i), that is .05, .1, .2."""
    out, soft = outputs(logits), 0.9 * mixed + 0.1 / K
    of_signs = [focal(x, soft, 2.0).mean() for x in (logits, *out["auxiliary"])]
    expected = of_signs[0] + 0.05 * of_signs[1] + 0.1 * of_signs[2] + 0.2 * of_signs[3]
    torch.testing.assert_close(FocalWithAuxiliary()(out, mixed, HALF), expected, **CLOSE)
    apart = FocalWithAuxiliary(margin_weight=0.3, margin=2.0, rivals=4)(out, mixed, HALF)
    margin = 0.3 * pairwise_margin(logits, mixed, 2.0, 4)
    torch.testing.assert_close(apart, expected + margin, **CLOSE)
    lips, left, right, pose = out["parts"].unbind(1)
    modal = FocalWithAuxiliary(cross_modal=0.2)(out, mixed, HALF)
    views = 0.2 * contrast(left + right, lips + pose)
    torch.testing.assert_close(modal, expected + views, **CLOSE)


def test_the_curriculum_raises_gamma_over_the_training(logits, mixed):
    rising = FocalWithAuxiliary(gamma=3.0, gamma_at_start=1.0)
    for progress, gamma in ((0.0, 1.0), (0.25, 1.5), (1.0, 3.0)):
        ours = rising(outputs(logits), mixed, torch.tensor(progress))
        expected = FocalWithAuxiliary(gamma=gamma)(outputs(logits), mixed, HALF)
        torch.testing.assert_close(ours, expected, **CLOSE)


def test_pairwise_margin_by_hand(logits, mixed):
    """Each sign of a clip against the three nearest that are not the clip's."""
    expected = 0.0
    for x, t in zip(logits.tolist(), mixed.tolist(), strict=True):
        rivals = sorted((v for v, share in zip(x, t, strict=True) if not share), reverse=True)[:3]
        for value, share in zip(x, t, strict=True):
            gaps = [max(0.0, 2.0 - (value - rival)) for rival in rivals]
            expected += share * sum(gaps) / 3 / B
    assert pairwise_margin(logits, mixed, 2.0, 3).item() == pytest.approx(expected, rel=1e-5)


def test_pairwise_margin_of_a_sign_far_above_and_with_fewer_signs_than_rivals():
    far = torch.tensor([[5.0, 0.0, 0.0]])
    assert pairwise_margin(far, torch.eye(3)[:1], margin=1.0, rivals=2).item() == 0
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = pairwise_margin(x, torch.tensor([[1.0, 0.0]]), margin=1.0, rivals=3)
    assert loss.item() == 2.0
    both = pairwise_margin(x, torch.tensor([[0.5, 0.5]]), margin=1.0, rivals=3)
    assert both.item() == 0.0  # a clip of every sign has no rival
    (loss + both).backward()
    assert x.grad.isfinite().all()


def test_contrast_by_hand():
    one, other = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(4))
    scores = (1 - cdist(one, other, "cosine")) / 0.1
    of_one, of_other = (-log_softmax(scores, axis).diagonal().mean() for axis in (1, 0))
    assert contrast(one, other).item() == pytest.approx((of_one + of_other) / 2, rel=1e-4)
    assert contrast(7 * one, other).item() == pytest.approx(contrast(one, other).item(), rel=1e-5)
    assert contrast(one[:1], other[:1]).item() == 0  # alone in the batch, nothing to mistake
