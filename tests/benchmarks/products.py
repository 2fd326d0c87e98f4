"""The matrix products of a computation: counted, and repeated bare.

What is left when everything else costs nothing: the physical limit of a network on a machine.
"""

import math
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# operation -> the positions of the two factors among its arguments
FACTORS = {
    aten.mm.default: (0, 1),
    aten.bmm.default: (0, 1),
    aten.addmm.default: (1, 2),
    aten.baddbmm.default: (1, 2),
}

Product = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, tuple[bool, bool]]


class Recorder(TorchDispatchMode):
    """Notes every matrix product that is computed inside the block, in training backward too."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()
        self.in_order: list[tuple[tuple[int, ...], tuple[int, ...]]] = []  # their factors' shapes
        self.convolved = 0  # multiply-adds of convolutions

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Note, then compute."""
        out = func(*args, **(kwargs or {}))
        if func in FACTORS:
            a, b = (args[i] for i in FACTORS[func])
            self.in_order.append((tuple(a.shape), tuple(b.shape)))
            turned = tuple(x.stride(-1) != 1 for x in (a, b))
            self.products[tuple(a.shape), tuple(b.shape), a.dtype, turned] += 1
        elif func is aten.convolution.default:
            self.convolved += out.numel() * args[1][0].numel()
        elif func is aten.convolution_backward.default:
            self.convolved += 2 * args[0].numel() * args[2][0].numel()
        return out

    @property
    def flops(self) -> int:
        """Floating-point operations of all products and convolutions."""
        products = sum(2 * n * math.prod(a) * b[-1] for (a, b, *_), n in self.products.items())
        return products + 2 * self.convolved


def bare(products: Counter[Product], device: torch.device | str) -> Callable[[], None]:
    """A function that computes these products, on any numbers, and nothing else."""
    sizes: dict[tuple[torch.dtype, int], int] = {}
    for *shapes, dtype, _ in products:
        for side, shape in enumerate(shapes):  # one pool for all left factors, one for all right
            sizes[dtype, side] = max(math.prod(shape), sizes.get((dtype, side), 0))
    draw = torch.Generator().manual_seed(0)
    pools = {key: torch.randn(n, generator=draw).to(device, key[0]) for key, n in sizes.items()}
    calls = [
        (*(_factor(pools[dtype, k], (a, b)[k], turned[k]) for k in (0, 1)), n)
        for (a, b, dtype, turned), n in products.items()
    ]

    def run() -> None:
        for a, b, n in calls:
            for _ in range(n):
                torch.matmul(a, b)

    return run


def _factor(pool: Tensor, shape: tuple[int, ...], turned: bool) -> Tensor:
    flat = pool[: math.prod(shape)]
    if not turned:
        return flat.view(shape)
    *rest, rows, columns = shape
    return flat.view(*rest, columns, rows).transpose(-1, -2)
