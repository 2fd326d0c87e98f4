"""Attention over time and over joints, computed by torch's own operations.

The joint axis leads, (J, B, T, D), so per-joint weights are applied in one batched product.

Letters: **J** joints, **B** windows, **T** frames, **D** width, **H** heads, **d** = D / H.
Source: Aksan et al., arXiv 2004.08692, equations 3 to 5.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from src.motion.models.per_joint import PerJointLinear, linear


class TimeAttention(nn.Module):
    """Causal attention over time: every frame attends to the frames up to its own.

    With `whole_pose` there is one attention map per head for all joints (study 08), whose scores
    are sums over joints, scaled by sqrt(J d); otherwise each joint has one per head (equation 5).
    """

    def __init__(self, joints: int, width: int, heads: int, whole_pose: bool):
        super().__init__()
        self.heads, self.whole_pose = heads, whole_pose
        self.query_key_value = PerJointLinear(joints, width, width, fused=3)
        self.output = PerJointLinear(joints, width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        joints, batch, frames, _ = x.shape
        qkv = self.query_key_value(x.flatten(1, 2))
        qkv = qkv.view(joints, batch, frames, 3, self.heads, -1).permute(3, 0, 1, 4, 2, 5)
        if self.whole_pose:  # each (B, H, T, J d)
            q, k, v = qkv.permute(0, 2, 3, 4, 1, 5).flatten(-2)
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            out = out.unflatten(-1, (joints, -1)).permute(3, 0, 2, 1, 4)  # (J, B, T, H, d)
        else:  # each (J B, H, T, d)
            q, k, v = qkv.flatten(1, 2)
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
        return self.output(out.reshape(joints, batch * frames, -1)).view_as(x)


class SpaceAttention(nn.Module):
    """Attention over the joints of a frame.

    If `shared`, all joints share one key map and one value map (equation 3); otherwise each joint
    has its own (equation 4).
    """

    def __init__(self, joints: int, width: int, heads: int, shared: bool):
        super().__init__()
        self.heads, self.shared = heads, shared
        if shared:
            self.query = PerJointLinear(joints, width, width)
            self.key, self.value = linear(width, width), linear(width, width)
        else:
            self.query_key_value = PerJointLinear(joints, width, width, fused=3)
        self.output = linear(width, width)

    def forward(self, x: Float[Tensor, "J B T D"]) -> Float[Tensor, "J B T D"]:
        flat = x.flatten(1, 2)
        if self.shared:
            parts = self.query(flat), self.key(flat), self.value(flat)
        else:
            parts = self.query_key_value(flat).chunk(3, -1)
        # Plain products: torch's fused kernels for GPUs refuse more than 65,535 frames.
        q, k, v = (part.unflatten(-1, (self.heads, -1)).permute(1, 2, 0, 3) for part in parts)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)  # (B T, H, J, J)
        out = (weights @ v).permute(2, 0, 1, 3).flatten(2)
        return self.output(out).view_as(x)
