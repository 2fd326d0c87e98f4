"""Size and speed of the three representations: the document's Table 1, measured.

The printed sizes (5.2, 6.9, 15.5 GB) are those of all 66,989 windows of 144 frames, 24 joints in
float64, in units of 2^30 bytes; they are computed here from one encoded window.
"""

import timeit
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from src.motion.body.pose_space import CHANNELS, Normaliser, PoseFormat, PoseSpace, Scaling
from src.motion.models import transformer
from src.motion.training.losses import MeanSquared, forecast_loss

WINDOWS = 60_678 + 3_007 + 3_304  # the published splits
_GIB = 2**30


def representation_table(windows: Float[Tensor, "B T 24 3 3"]) -> pd.DataFrame:
    """Table 1, with two speeds beside it.

    Any windows of 144 frames will do; times are steadier with more of them.

    Returns:
        Representations down; points per joint, size in GiB, windows encoded per second, and
        milliseconds of a training step of fairmotion's transformer (width 64) on these windows.
    """
    rows = {}
    for name, channels in CHANNELS.items():
        pose_format = PoseFormat(name, "all")
        encode = partial(_encoded, windows, pose_format)
        encoded = encode()
        window_bytes = encoded[0].numel() * torch.float64.itemsize
        rows[name] = {
            "points per joint": channels,
            "size, GiB": window_bytes * WINDOWS / _GIB,
            "windows per second": len(windows) / _fastest(encode),
            "training step, ms": 1000 * _fastest(_training_step(encoded, pose_format)),
        }
    return pd.DataFrame(rows).T


def _encoded(windows: Tensor, pose_format: PoseFormat) -> Tensor:
    return torch.stack([pose_format.encode(window) for window in windows])


def _training_step(encoded: Tensor, pose_format: PoseFormat) -> Callable[[], object]:
    space = PoseSpace(pose_format, Normaliser.fit(encoded.flatten(0, 1).float(), Scaling()))
    frames = space.normaliser.normalise(encoded.float())
    model = transformer.Transformer(
        transformer.Config(hidden=64), pose_format.n_joints, pose_format.channels
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)

    def step() -> None:
        loss = forecast_loss(MeanSquared(), *model.teach(frames, frames, 0.0), space)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def _fastest(call: Callable[[], object]) -> float:
    call()  # the first call allocates
    return min(timeit.repeat(call, repeat=3, number=1))
