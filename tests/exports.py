"""A function as torch.export sees it: the graph that a .tflite file is made of."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn


class _Module(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def exported(function: Callable[[Tensor], Tensor], example: Tensor, axis: int) -> nn.Module:
    """The function, or module, exported from one example for every length along an axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 deprecates its own tree specs
        return torch.export.export(
            _Module(function),
            (example,),
            dynamic_shapes=({axis: torch.export.Dim.DYNAMIC},),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        ).module()
