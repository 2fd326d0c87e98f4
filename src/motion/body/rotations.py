"""Rotations as matrices and quaternions, and measures of them.

- Every function on quaternions is told their order, "wxyz" or "xyzw".
- q and -q are the same rotation: `continuous` picks the sign nearer to the frame before, as
  motion-transformer does (fairmotion does not).
- Conversions are roma's (differentiable, batched); this file fixes the conventions. Axis-angle
  vectors, which have one convention only, are roma's rotvec.

Letters: any leading shape `...`; **T** frames, **J** joints.
"""

from typing import Literal

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from src.common.errors import InputError

QuaternionOrder = Literal["wxyz", "xyzw"]


def matrix_to_quaternion(
    matrix: Float[Tensor, "*n 3 3"], order: QuaternionOrder
) -> Float[Tensor, "*n 4"]:
    """Unit quaternion with a non-negative real part."""
    xyzw = roma.quat_normalize(roma.rotmat_to_unitquat(matrix))
    xyzw = torch.where(xyzw[..., 3:] < 0, -xyzw, xyzw)
    return xyzw if order == "xyzw" else roma.quat_xyzw_to_wxyz(xyzw)


def quaternion_to_matrix(
    quaternion: Float[Tensor, "*n 4"], order: QuaternionOrder
) -> Float[Tensor, "*n 3 3"]:
    """The rotation of a quaternion of any non-zero length."""
    xyzw = quaternion if order == "xyzw" else roma.quat_wxyz_to_xyzw(quaternion)
    return roma.unitquat_to_rotmat(roma.quat_normalize(xyzw))


def continuous(quaternion: Float[Tensor, "T *n 4"]) -> Float[Tensor, "T *n 4"]:
    """The same rotations, each with the sign nearer to the frame before; frame 0 keeps its own."""
    agree = (quaternion[1:] * quaternion[:-1]).sum(-1, keepdim=True) >= 0
    flips = torch.where(agree, 1.0, -1.0).to(quaternion.dtype).cumprod(0)
    return torch.cat([quaternion[:1], quaternion[1:] * flips])


def check_xyzw(quaternion: Float[Tensor, "*n 4"], where: str) -> None:
    """Refuse quaternions that are probably not in the order xyzw.

    Most joint angles of a body are below 90 degrees, so on average the real part is the largest
    component. If the component at the other end is larger, the order is wrong.

    Raises:
        InputError: the order is probably wrong, or a quaternion's length is not 1.
    """
    norm = quaternion.norm(dim=-1)
    if not torch.allclose(norm, torch.ones_like(norm), atol=1e-3):  # float16 storage passes
        raise InputError(
            f"{where}: expected unit quaternions, lengths go from {norm.min():.3g} to "
            f"{norm.max():.3g}; normalise them, or check whether these are quaternions"
        )
    first, last = (quaternion[..., k].abs().mean().item() for k in (0, 3))
    if last < first:
        raise InputError(
            f"{where}: order 'xyzw' puts the real part where |value| averages {last:.2f}, the "
            f"other end averages {first:.2f}; it is probably 'wxyz'"
        )


def nearest_rotation(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3 3"]:
    """The rotation nearest in Frobenius norm (SVD, determinant +1)."""
    return roma.special_procrustes(matrix)


def distance_from_rotations(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """Frobenius distance to the nearest rotation; 0 for a rotation."""
    return (matrix - nearest_rotation(matrix)).flatten(-2).norm(dim=-1)


def angle_between(a: Float[Tensor, "*n 3 3"], b: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n"]:
    """Angle in radians, [0, pi], of the rotation that takes b to a.

    roma uses |A - B|, which keeps full precision near 0; the arc cosine of the trace does not.
    """
    return roma.rotmat_geodesic_distance(a, b)


def euler_angles(matrix: Float[Tensor, "*n 3 3"]) -> Float[Tensor, "*n 3"]:
    """The three Euler angles of the literature's metric, radians: minus scipy's intrinsic XYZ.

    Source: motion-transformer's and fairmotion's `rotmat2euler`, from Martinez et al. At gimbal
    lock the third angle is 0.
    """
    return -roma.rotmat_to_euler("XYZ", matrix)
