"""Errors of a forecast, as defined in the literature on DIP/AMASS.

- Euler error compares local rotations of the fifteen joints, joint angle global ones. Position and
  PCK compare joint positions in thigh lengths, with the root at identity.
- Euler error, joint angle and position are **sums** over frames 1 to N of the mean over windows;
  PCK and AUC are means over frames 1 to N.
- AUC uses fewer PCK thresholds for short horizons, so it is not monotone in N.
- Predicted matrices are projected to the nearest rotation first; true ones are not.
- Reading: Euler components that hardly move are not counted. The standard deviation over all
  windows that are evaluated together decides which (in the original, that over a batch).

Letters: **B** windows, **T** frames, **J** = 15 joints. Everything is computed in float64.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.kinematics import fill_joints, global_rotations, positions
from src.motion.body.rotations import angle_between, euler_angles, nearest_rotation
from src.motion.body.skeleton import PREDICTED

HORIZONS = {100: 6, 200: 12, 300: 18, 400: 24}  # milliseconds -> frames at 60 Hz
PCK_THRESHOLDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # thigh lengths
STILL = 1e-4  # radians; an Euler component is counted if its standard deviation is larger
METRICS = ("euler", "joint_angle", "positional", "auc")


@dataclass(frozen=True)
class FrameErrors:
    """Errors per forecast frame, averaged over windows; always on the CPU."""

    euler: Float[Tensor, "T"]  # length of the vector of Euler differences, radians
    joint_angle: Float[Tensor, "T"]  # mean angle per joint, radians
    positional: Float[Tensor, "T"]  # mean distance per joint, thigh lengths
    pck: Float[Tensor, "9 T"]  # share of joints within each of `PCK_THRESHOLDS`

    def pck_until(self, n: int) -> Float[Tensor, "9"]:
        """Mean PCK over frames 1 to n, per threshold."""
        return self.pck[:, :n].mean(1)

    def auc(self, n: int) -> float:
        """Area under the mean PCK of frames 1 to n, over thresholds, divided by their range."""
        used = 6 + min(n // 6, 3)
        x = torch.tensor(PCK_THRESHOLDS[:used], dtype=torch.float64)
        return (torch.trapezoid(self.pck_until(n)[:used], x) / (x[-1] - x[0])).item()

    def until(self, n: int) -> dict[str, float]:
        """The four numbers of the document's Fig. 6 for frames 1 to n."""
        sums = {name: getattr(self, name)[:n].sum().item() for name in METRICS[:3]}
        return sums | {"auc": self.auc(n)}

    def table(self) -> pd.DataFrame:
        """Metrics down, horizons in milliseconds across."""
        return pd.DataFrame({ms: self.until(n) for ms, n in HORIZONS.items()})


def frame_errors(
    predicted: Float[Tensor, "B T 15 3 3"], truth: Float[Tensor, "B T 15 3 3"]
) -> FrameErrors:
    """Compare forecast and true local rotations of the fifteen joints.

    Forecast matrices need not be rotations. A NaN in forecast or truth makes the errors of its
    frame NaN, and all sums from that frame on.
    """
    known = predicted.isfinite().all((-2, -1), keepdim=True)
    eye = torch.eye(3, dtype=torch.float64, device=predicted.device)
    nearest = nearest_rotation(torch.where(known, predicted.double(), eye))  # no SVD of NaN
    predicted, truth = nearest.where(known, torch.nan), truth.double()
    angles, angles_true = (euler_angles(r).flatten(2) for r in (predicted, truth))
    still = angles_true.flatten(0, 1).std(0, correction=0) <= STILL
    moving = ~still  # a component with a NaN counts, so the error is NaN too
    euler = (angles - angles_true)[..., moving].norm(dim=-1)
    world, world_true = (global_rotations(fill_joints(r)) for r in (predicted, truth))
    angle = angle_between(world, world_true)[..., list(PREDICTED)]
    distance = (positions(world) - positions(world_true))[..., list(PREDICTED), :].norm(dim=-1)
    thresholds = torch.tensor(PCK_THRESHOLDS, dtype=torch.float64, device=distance.device)
    within = (distance[None] <= thresholds[:, None, None, None]).double()
    within = within.where(distance.isfinite(), torch.nan)
    means = (euler.mean(0), angle.mean((0, 2)), distance.mean((0, 2)), within.mean((1, 3)))
    return FrameErrors(*(mean.cpu() for mean in means))
