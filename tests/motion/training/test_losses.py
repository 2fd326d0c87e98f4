import pytest
import torch

from src.motion.body.pose_space import MOTION_TRANSFORMER, Normaliser, PoseSpace
from src.motion.metrics import frame_errors
from src.motion.training.losses import (
    JointNorm,
    MeanSquared,
    PointSpace,
    WorldRotations,
    forecast_loss,
)

SPACE = PointSpace(Normaliser(torch.zeros(3, 2), torch.tensor([[2.0, 2], [1, 1], [0.5, 0.5]])))


def test_joint_norm_sums_lengths_over_joints_and_averages_the_rest():
    truth = torch.zeros(2, 4, 3, 2)
    made = truth + torch.tensor([3.0, 4.0])  # length 5 at each of three joints
    assert forecast_loss(JointNorm(), made, truth, SPACE).item() == pytest.approx(15)
    raw = forecast_loss(JointNorm("raw"), made, truth, SPACE).item()
    assert raw == pytest.approx(5 * (2 + 1 + 0.5))


def test_mean_squared_is_torchs():
    made, truth = torch.randn(2, 4, 3, 2), torch.randn(2, 4, 3, 2)
    expected = torch.nn.functional.mse_loss(made, truth)
    assert torch.allclose(forecast_loss(MeanSquared(), made, truth, SPACE), expected)


@pytest.mark.parametrize("loss", [JointNorm(), JointNorm("raw"), MeanSquared()])
def test_poses_without_gaps_cost_what_points_do_and_defect_e_is_not_there(loss):
    """fairmotion divides a mean by the batch once more; here the batch's size does not matter."""
    made, truth = torch.randn(2, 4, 3, 2), torch.randn(2, 4, 3, 2)
    once = forecast_loss(loss, made, truth, SPACE)
    of_poses = PoseSpace(MOTION_TRANSFORMER, SPACE.normaliser)
    assert torch.allclose(forecast_loss(loss, made, truth, of_poses), once)
    more = (x.repeat(5, 1, 1, 1) for x in (made, truth))
    assert torch.allclose(forecast_loss(loss, *more, SPACE), once)


@pytest.mark.parametrize("loss", [JointNorm(), JointNorm("raw"), MeanSquared()])
def test_what_was_not_observed_is_not_counted(loss):
    made, truth = torch.randn(2, 4, 3, 2), torch.randn(2, 4, 3, 2)
    truth[:, 1:3, 2] = torch.nan
    made.requires_grad_()
    one = forecast_loss(loss, made, truth, SPACE)
    one.backward()
    assert (made.grad[:, 1:3, 2] == 0).all() and (made.grad[:, 0] != 0).any()
    other = made.detach().clone()
    other[:, 1:3, 2] += 100
    assert torch.equal(forecast_loss(loss, other, truth, SPACE), one)
    nothing = forecast_loss(loss, other, torch.full_like(truth, torch.nan), SPACE)
    assert nothing == 0


def test_rotations_in_the_world_are_what_the_joint_angle_is(data):
    """sqrt(2) times the angle for small ones; a local error of the spine turns the arms too."""
    truth = data.test[:3, 120:]
    normalise, encode = data.space.normaliser.normalise, data.space.format.encode
    rest = torch.eye(3).expand(24, 24, 3, 3)
    rotations = rest.clone()
    rotations[:, 3] = torch.linalg.matrix_exp(
        torch.tensor([[0, -0.01, 0], [0.01, 0, 0], [0, 0, 0]])
    )
    made, still = (normalise(encode(x))[None] for x in (rotations, rest))
    angle = frame_errors(data.space.decode(made), data.space.decode(still)).joint_angle.mean() * 15
    loss = forecast_loss(WorldRotations(), made, still, data.space)
    assert loss.item() == pytest.approx(2**0.5 * angle.item(), rel=0.02)
    assert forecast_loss(JointNorm("raw"), made, still, data.space) < 0.2 * loss  # one joint of 11
    held = truth.clone().requires_grad_()
    forecast_loss(WorldRotations(), held, truth, data.space).backward()
    assert held.grad.isfinite().all()


def test_a_perfect_prediction_has_a_finite_gradient():
    """The length of a vector of zeros has no derivative; 0 is taken."""
    made = torch.zeros(1, 1, 3, 2, requires_grad=True)
    forecast_loss(JointNorm(), made, torch.zeros(1, 1, 3, 2), SPACE).backward()
    assert (made.grad == 0).all()
