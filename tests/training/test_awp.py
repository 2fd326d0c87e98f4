"""Adversarial weight perturbation: how far each tensor moves, where to, and all the way back."""

import pytest
import torch
from torch import nn

from src.training.awp import perturbed


def bits(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone().view(torch.int32) for p in model.parameters()]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    model(torch.randn(7, 5)).square().sum().backward()
    return model


@pytest.mark.parametrize("delta", [0.2, 1e-3])
def test_each_tensor_moves_delta_along_its_own_gradient(model, delta):
    before = [p.detach().clone() for p in model.parameters()]
    with perturbed([model], delta):
        for parameter, old in zip(model.parameters(), before, strict=True):
            move = parameter.detach() - old
            # Float32 of the weights, which are up to 1.
            torch.testing.assert_close(move.norm(), torch.tensor(delta), rtol=1e-3, atol=0)
            direction = parameter.grad / parameter.grad.norm()
            torch.testing.assert_close(move / delta, direction, rtol=0, atol=1e-3)


def test_the_weights_come_back_to_the_bit_and_gradients_taken_there_stay(model):
    """Adding and subtracting again, as the authors do, loses the last bits."""
    before = bits(model)
    with perturbed([model], 0.2):
        assert not any(torch.equal(a, b) for a, b in zip(bits(model), before, strict=True))
        model.zero_grad()
        model(torch.ones(2, 5)).sum().backward()
        inside = [p.grad.clone() for p in model.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(bits(model), before, strict=True))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), inside, strict=True))


@pytest.mark.parametrize("wrong", [float("inf"), float("-inf"), float("nan")])
def test_a_gradient_that_overflowed_moves_nothing(model, wrong):
    """fp16's first gradients do: weights of NaN would spoil the batch norms for good."""
    model[0].weight.grad[1, 2] = wrong
    before = bits(model)
    with perturbed([model], 0.2):
        inside = bits(model)
        assert all(p.isfinite().all() for p in model.parameters())
    assert torch.equal(inside[0], before[0])
    assert not any(torch.equal(a, b) for a, b in zip(inside[1:], before[1:], strict=True))


def test_tensors_without_a_gradient_or_with_one_of_zero_stay(model):
    first, last = model[0], model[2]
    first.weight.grad.zero_()
    first.bias.grad = None
    before = bits(model)
    with perturbed([model], 0.2):
        inside = bits(model)
    assert torch.equal(inside[0], before[0]) and torch.equal(inside[1], before[1])
    assert not torch.equal(inside[2], before[2]) and last.weight.isfinite().all()
