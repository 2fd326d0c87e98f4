"""The camera: turns against scipy, projections by hand."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from src.transforms.augment.camera import CameraAngle, Turn, rotation

# Products of float32 coordinates up to 4.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def test_rotations_are_scipys_about_fixed_axes():
    angle = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, (50, 3))).float()
    expected = Rotation.from_euler("xyz", angle.numpy()).as_matrix()
    np.testing.assert_allclose(rotation(angle).numpy(), expected, rtol=0, atol=1e-6)


def test_a_turn_keeps_all_distances_in_space_and_the_centre(clips, layout, draw):
    xyz = clips.xyz[0, :20].clone()
    xyz[0, 0] = torch.tensor([0.5, 0.5, 0.0])
    clips.xyz[0, :20] = xyz
    new = Turn(1.0, (20.0, 40.0, 20.0), centre=0.5)(clips, layout, draw()).xyz[0, :20]
    torch.testing.assert_close(new[0, 0], xyz[0, 0], **CLOSE)
    apart = [torch.cdist(points.double(), points.double()) for points in (new, xyz)]
    torch.testing.assert_close(*apart, **CLOSE)
    assert not torch.allclose(new, xyz, atol=0.01)


@pytest.mark.parametrize("axis", range(3))
def test_every_axis_has_its_own_limit_and_every_clip_its_own_angle(clips, layout, draw, axis):
    other, third = (axis + 1) % 3, (axis + 2) % 3
    xyz, degrees = torch.zeros_like(clips.xyz), [0.0, 0.0, 0.0]
    xyz[..., other], degrees[axis] = 1.0, 15.0
    out = Turn(1.0, tuple(degrees))(clips.with_(xyz=xyz), layout, draw()).xyz[:, 0, 0]
    angle = torch.atan2(out[:, third], out[:, other]).rad2deg()
    assert (angle.abs() <= 15).all() and angle.min() < -1 and angle.max() > 1
    assert (out[:, axis] == 0).all() and len(angle.unique()) == len(angle)


@pytest.mark.parametrize("centre", [0.0, 0.5])
@pytest.mark.parametrize("degrees", [(0.0, 0.0), (10.0, 20.0)], ids=["straight ahead", "aside"])
def test_a_camera_turns_then_projects(clips, layout, draw, degrees, centre):
    turned = Turn(1.0, (*degrees, 0.0), centre)(clips, layout, draw()).xyz
    seen = CameraAngle(1.0, degrees, distance=10.0, centre=centre)(clips, layout, draw()).xyz
    expected = centre + (turned[..., :2] - centre) * 10 / (10 + turned[..., 2:])
    torch.testing.assert_close(seen[..., :2], expected, **CLOSE, equal_nan=True)
    torch.testing.assert_close(seen[..., 2], turned[..., 2], **CLOSE, equal_nan=True)


def test_a_wild_depth_does_not_go_through_the_camera(clips, layout, draw):
    clips.xyz[0, 0, 0] = torch.tensor([0.1, 0.2, -50.0])
    out = CameraAngle(1.0, (0.0, 0.0), distance=3.0)(clips, layout, draw())
    torch.testing.assert_close(out.xyz[0, 0, 0, :2], torch.tensor([0.2, 0.4]))
