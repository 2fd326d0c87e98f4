import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from src.common.errors import InputError
from src.motion.body import rotations as r
from src.motion.body.pose_space import PoseFormat


@pytest.fixture
def random():
    return Rotation.random(240, random_state=0)


def test_conversions_are_scipys(random):
    matrix = torch.from_numpy(random.as_matrix())
    vectors = PoseFormat("axis angle", "all").encode(matrix.view(10, 24, 3, 3)).view(240, 3)
    assert np.allclose(vectors, random.as_rotvec(), atol=1e-12)
    canonical = random.as_quat(canonical=True)  # xyzw, real part not negative
    assert np.allclose(r.matrix_to_quaternion(matrix, "xyzw"), canonical, atol=1e-12)
    real_first = canonical[:, [3, 0, 1, 2]]
    assert np.allclose(r.matrix_to_quaternion(matrix, "wxyz"), real_first, atol=1e-12)


@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("joints", ["predicted", "all"])
def test_the_three_representations_are_mutually_equal(corpus, dtype, tolerance, joints):
    """Tolerance: float32 has 6e-8 of an entry near 1, and a conversion is some ten roundings."""
    rotations = torch.from_numpy(corpus.test[0].rotations[:300]).double()
    # Rounding to float32 alone is 6e-8; compare against the rotation nearest to what was stored.
    rotations = r.nearest_rotation(rotations).to(dtype)
    wanted = PoseFormat("rotation matrix", joints)
    formats = [PoseFormat("axis angle", joints), wanted]
    formats += [PoseFormat("quaternion", joints, order, signs)
                for order in ("wxyz", "xyzw") for signs in (True, False)]  # fmt: skip
    truth = wanted.decode(wanted.encode(rotations))
    for pose_format in formats:
        encoded = pose_format.encode(rotations)
        assert encoded.shape == (300, pose_format.n_joints, pose_format.channels)
        assert (pose_format.decode(encoded) - truth).abs().max() < tolerance


def test_continuous_signs_follow_a_turn_of_720_degrees():
    angle = torch.linspace(0, 4 * np.pi, 100, dtype=torch.float64)
    turn = torch.from_numpy(Rotation.from_euler("z", angle.numpy()[:, None]).as_matrix())
    jumpy = r.matrix_to_quaternion(turn, "wxyz")
    smooth = r.continuous(jumpy)
    assert (jumpy.diff(dim=0).norm(dim=-1) > 1).any()
    # q = (cos(a / 2), 0, 0, sin(a / 2)) all the way round
    expected = torch.stack([(angle / 2).cos(), 0 * angle, 0 * angle, (angle / 2).sin()], -1)
    assert torch.allclose(smooth, expected, atol=1e-9)
    assert torch.allclose(r.quaternion_to_matrix(smooth, "wxyz"), turn, atol=1e-9)


def test_a_wrong_quaternion_order_is_refused(corpus):
    matrices = torch.from_numpy(corpus.test[0].predicted)
    right = r.matrix_to_quaternion(matrices, "xyzw")
    r.check_xyzw(right, "file")
    with pytest.raises(InputError, match=r"file: order 'xyzw'.*probably 'wxyz'"):
        r.check_xyzw(r.matrix_to_quaternion(matrices, "wxyz"), "file")
    with pytest.raises(InputError, match="expected unit quaternions"):
        r.check_xyzw(2 * right, "file")


def test_the_nearest_rotation_is_numpys(rng):
    matrix = rng.normal(size=(50, 3, 3))
    u, _, vt = np.linalg.svd(matrix)
    sign = np.linalg.det(u @ vt)
    u[:, :, 2] *= sign[:, None]
    nearest = r.nearest_rotation(torch.from_numpy(matrix))
    assert np.allclose(nearest, u @ vt, atol=1e-10)
    assert np.allclose(np.linalg.det(nearest), 1)
    assert (np.linalg.det(matrix) < 0).any()  # reflections were among them


@given(st.floats(0, np.pi), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_known_angle_is_measured(angle, seed):
    random = Rotation.random(2, random_state=seed)
    axis = random[1].apply([1.0, 0, 0])
    a = random[0].as_matrix()
    b = Rotation.from_rotvec(angle * axis).as_matrix() @ a
    measured = r.angle_between(torch.from_numpy(b), torch.from_numpy(a))
    # asin near 180 degrees amplifies rounding: sqrt(1e-16) = 1e-8, times a few.
    assert measured.item() == pytest.approx(angle, abs=1e-7)


def test_angles_keep_their_precision_near_zero():
    tiny = Rotation.from_rotvec([1e-6, 0, 0]).as_matrix()
    measured = r.angle_between(torch.from_numpy(tiny), torch.eye(3, dtype=torch.float64))
    assert measured.item() == pytest.approx(1e-6, rel=1e-6)


def test_euler_angles_are_minus_scipys_intrinsic_xyz(random):
    mine = r.euler_angles(torch.from_numpy(random.as_matrix()))
    assert np.allclose(mine, -random.as_euler("XYZ"), atol=1e-9)


@pytest.mark.parametrize("middle", [90, -90])
def test_euler_angles_at_gimbal_lock_still_give_the_rotation(middle):
    locked = Rotation.from_euler("XYZ", [25, middle, 0], degrees=True)
    angles = r.euler_angles(torch.from_numpy(locked.as_matrix()))
    again = Rotation.from_euler("XYZ", -angles.numpy())
    assert (again * locked.inv()).magnitude() < 1e-6
    assert angles[2] == 0
