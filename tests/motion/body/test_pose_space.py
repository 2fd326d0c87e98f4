import numpy as np
import pytest
import torch

from src.motion.body.kinematics import global_rotations, positions
from src.motion.body.pose_space import (
    Normaliser,
    PoseFormat,
    PoseSpace,
    Scaling,
    mirrored,
)
from src.motion.body.rotations import distance_from_rotations
from src.motion.body.skeleton import MIRROR


def joints_of(clip):
    return positions(global_rotations(torch.from_numpy(clip.rotations).double()))


def test_a_mirrored_body_stands_where_the_mirror_image_stands(corpus):
    """Left and right swapped and x negated; SMPL's mean body is symmetric to 6 % of a thigh."""
    clip = corpus.test[1]
    reflected = joints_of(clip)[:, list(MIRROR)] * torch.tensor([-1.0, 1, 1])
    apart = (joints_of(mirrored(clip)) - reflected).norm(dim=-1)
    moved = (joints_of(mirrored(clip)) - joints_of(clip)).norm(dim=-1)
    assert apart.max() < 0.15 < moved.max()


def test_mirroring_twice_is_nothing_and_keeps_rotations(corpus):
    clip = corpus.test[0]
    assert np.array_equal(mirrored(mirrored(clip)).rotations, clip.rotations)
    once = torch.from_numpy(mirrored(clip).rotations).double()
    assert distance_from_rotations(once).max() < 1e-6
    assert torch.det(once).min() > 0.99


def test_normalising_is_undone_and_leaves_out_what_was_not_seen():
    frames = torch.randn(500, 4, 3) * torch.tensor([1.0, 5.0, 0.0]) + 2
    holes = frames.clone()
    holes[::2, 1] = torch.nan
    normaliser = Normaliser.fit(holes, Scaling(floor=0.1))
    assert torch.allclose(normaliser.restore(normaliser.normalise(frames)), frames, atol=1e-5)
    assert torch.allclose(normaliser.mean[1], frames[1::2, 1].mean(0), atol=1e-5)
    assert torch.allclose(normaliser.scale[0, :2], frames[:, 0, :2].std(0, correction=0))
    assert torch.equal(normaliser.scale[:, 2], torch.full((4,), 0.1))  # the floor


@pytest.mark.parametrize(
    "pose_format",
    [PoseFormat("rotation matrix"), PoseFormat("quaternion"), PoseFormat("axis angle")],
)
def test_reprojected_poses_are_rotations_and_rotations_stay(corpus, pose_format):
    encoded = pose_format.encode(torch.from_numpy(corpus.test[0].rotations))
    space = PoseSpace(pose_format, Normaliser.fit(encoded, Scaling()))
    pose = space.normaliser.normalise(encoded)
    assert torch.allclose(space.reproject(pose), pose, atol=1e-3)  # 1e-5 over a scale of 0.02
    valid = space.reproject(pose + 0.3 * torch.randn_like(pose))
    assert distance_from_rotations(space.decode(valid).double()).max() < 1e-5
    if pose_format.representation == "quaternion":
        raw = space.normaliser.restore(valid)
        assert torch.allclose(raw.norm(dim=-1), torch.ones(raw.shape[:-1]), atol=1e-5)


def test_fairmotion_keeps_quaternion_signs_and_motion_transformer_follows_them(corpus):
    rotations = torch.from_numpy(corpus.test[0].rotations)
    raw = PoseFormat("quaternion", "all", "xyzw", continuous_signs=False).encode(rotations)
    assert (raw[..., 3] >= 0).all()
    smooth = PoseFormat("quaternion", "all", "wxyz", continuous_signs=True).encode(rotations)
    assert (smooth[1:] * smooth[:-1]).sum(-1).min() > 0
