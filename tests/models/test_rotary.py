"""Rotary positions against complex numbers."""

import numpy as np
import pytest
import torch

from src.models.rotary import Rotary

T, D = 23, 12
# One turn is two products and a sum of float32 numbers near 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def turned_by_hand(x: np.ndarray, interleaved: bool) -> np.ndarray:
    """Each pair as a complex number, times e^(i position / 10000^(2 k / d))."""
    first, second = (x[..., ::2], x[..., 1::2]) if interleaved else np.split(x, 2, axis=-1)
    angle = np.arange(T)[:, None] / 10_000 ** (2 * np.arange(D // 2) / D)
    turned = (first + 1j * second) * np.exp(1j * angle)
    if interleaved:
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)
    return np.concatenate([turned.real, turned.imag], -1)


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_pair_turns_like_a_complex_number(interleaved):
    x = torch.randn(2, 3, T, D, generator=torch.Generator().manual_seed(0))
    out = Rotary(D, T, interleaved=interleaved)(x)
    expected = turned_by_hand(x.double().numpy(), interleaved)
    np.testing.assert_allclose(out.numpy(), expected, **CLOSE)
