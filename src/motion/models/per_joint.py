"""Linear maps with separate weights for every joint, computed as one batched product.

The original loops over joints in Python; here `torch.baddbmm` has the joints on its leading axis
(tests/benchmarks/bench_motion.py compares the two).

Letters: **J** joints, **N** = windows times frames, **D** width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PerJointLinear(nn.Module):
    """y_j = x_j W_j + b_j for every joint, Glorot-initialised, with zero biases.

    `fused` maps that read the same input, such as query, key and value, lie side by side, each with
    `outputs` channels.
    """

    def __init__(self, joints: int, inputs: int, outputs: int, fused: int = 1):
        super().__init__()
        bound = (6 / (inputs + outputs)) ** 0.5  # Glorot uniform of one map
        weight = torch.empty(joints, inputs, fused * outputs).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(joints, 1, fused * outputs))

    def forward(self, x: Float[Tensor, "J N _"]) -> Float[Tensor, "J N _"]:
        return torch.baddbmm(self.bias, x, self.weight)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A Glorot-initialised linear map with a zero bias, like TensorFlow's dense layer."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
