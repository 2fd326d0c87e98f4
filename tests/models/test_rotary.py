"""Rotary positions against complex numbers, transformers' own, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from src.models.rotary import Rotary

T, D = 23, 12
# One turn is two products and a sum of float32 numbers near 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, T, D, generator=torch.Generator().manual_seed(0))


def turned_by_hand(x: np.ndarray, interleaved: bool) -> np.ndarray:
    """Each pair as a complex number, times e^(i position / 10000^(2 k / d))."""
    first, second = (x[..., ::2], x[..., 1::2]) if interleaved else np.split(x, 2, axis=-1)
    angle = np.arange(T)[:, None] / 10_000 ** (2 * np.arange(D // 2) / D)
    turned = (first + 1j * second) * np.exp(1j * angle)
    if interleaved:
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    return np.concatenate([turned.real, turned.imag], -1)


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_pair_turns_like_a_complex_number(x, interleaved):
    out = Rotary(D, T, interleaved=interleaved)(x)
    expected = turned_by_hand(x.double().numpy(), interleaved)
    np.testing.assert_allclose(out.numpy(), expected, **CLOSE)


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_depend_on_the_distance_alone(x, interleaved):
    rotary = Rotary(D, T, interleaved=interleaved)
    q, k = (y[0, 0, :1].expand(T, D) for y in (x, x.flip(-1)))
    products = rotary(q) @ rotary(k).T
    for distance in range(-T + 1, T):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), **CLOSE)
