import numpy as np
import torch
from scipy.spatial.transform import Rotation

from src.motion.body import kinematics as k
from src.motion.body.skeleton import JOINTS, OFFSETS, PARENTS, PREDICTED


def test_globals_are_the_product_down_the_tree(rng):
    local = Rotation.random(24, random_state=1).as_matrix()
    world = k.global_rotations(torch.from_numpy(local)).numpy()
    for joint in range(24):
        expected, at = np.eye(3), joint
        while at >= 0:
            expected = local[at] @ expected
            at = PARENTS[at]
        assert np.allclose(world[joint], expected)


def test_locals_undo_globals():
    local = torch.from_numpy(Rotation.random(5 * 24, random_state=2).as_matrix()).view(5, 24, 3, 3)
    assert torch.allclose(k.local_rotations(k.global_rotations(local)), local)


def test_a_raised_leg_points_forward_and_nothing_else_moves():
    """Hip flexed by 90 degrees about -x: down becomes forward (z)."""
    local = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    rest = k.positions(k.global_rotations(local))
    hip, knee, ankle = (JOINTS.index(f"left_{p}") for p in ("hip", "knee", "ankle"))
    local[hip] = torch.from_numpy(Rotation.from_euler("x", -90, degrees=True).as_matrix())
    moved = k.positions(k.global_rotations(local))
    x, y, z = OFFSETS[knee]
    assert np.allclose(moved[knee] - moved[hip], [x, z, -y])
    below = {knee, ankle, JOINTS.index("left_foot")}
    still = [j for j in range(24) if j not in below]
    assert torch.allclose(moved[still], rest[still])
    assert not torch.allclose(moved[ankle], rest[ankle])


def test_filling_joints_leaves_the_others_at_identity():
    predicted = torch.from_numpy(Rotation.random(15, random_state=3).as_matrix())
    full = k.fill_joints(predicted)
    assert torch.equal(full[list(PREDICTED)], predicted)
    others = [j for j in range(24) if j not in PREDICTED]
    assert torch.equal(full[others], torch.eye(3, dtype=torch.float64).expand(9, 3, 3))
