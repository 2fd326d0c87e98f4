"""Bodies as stick figures, still and moving (the document's Fig. 1).

They are drawn from the front and from their left side: pelvis at the origin, thigh lengths, y up.
The root does not turn, since it is not forecast. Nothing is shown or saved.

Letters: **B** windows, **T** frames, **J** = 24 joints.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from src.motion.body.kinematics import fill_joints, global_rotations, positions
from src.motion.body.rotations import angle_between, nearest_rotation
from src.motion.body.skeleton import EDGES
from src.plots import figure

TRUE, PREDICTED = "0.75", "tab:red"


def joints_of(predicted: Float[Tensor, "T 15 3 3"]) -> Float[np.ndarray, "T 24 3"]:
    """Joint positions of a forecast, its matrices projected to rotations."""
    rotations = nearest_rotation(predicted.detach().cpu().double())
    return positions(global_rotations(fill_joints(rotations))).numpy()


def liveliest(windows: Float[Tensor, "B T 15 3 3"]) -> int:
    """The number of the window whose joints turn the most, which is the best one to show."""
    turned = angle_between(windows[:, 1:], windows[:, :-1]).sum((1, 2))
    return int(turned.argmax())


def _draw_body(ax: Axes, joints: Float[np.ndarray, "24 3"], side: bool, **style: object) -> None:
    x, y = joints[:, 2 if side else 0], joints[:, 1]
    bones = np.array(EDGES).T  # (2, bones): a column is a line
    ax.plot(x[bones], y[bones], **style, solid_capstyle="round")


def _clean(ax: Axes) -> None:
    ax.set(xlim=(-1.9, 1.9), ylim=(-2.7, 1.9), aspect="equal")  # an outstretched body
    ax.set_axis_off()


def _title(fig: Figure, text: str) -> None:
    """Set a title in lines that fit the figure's width: 11 letters of size 10 take an inch."""
    lines = textwrap.fill(text, int(11 * fig.get_figwidth()))
    fig.suptitle(lines, fontsize=10, parse_math=False)  # a file's name may hold two dollars


def stick_figures(
    true: Float[np.ndarray, "T 24 3"],
    predicted: Float[np.ndarray, "T 24 3"] | None,
    milliseconds: Sequence[int],
    title: str = "",
) -> Figure:
    """Predicted over true bodies at chosen instants: front above, side below.

    `true` and `predicted` hold the frames to draw, at `milliseconds` after the last frame given.
    Without a prediction only the truth is drawn.
    """
    count = len(milliseconds)
    fig, axes = figure(1.9 * count, 5.4, nrows=2, ncols=count, squeeze=False)
    for column, instant in enumerate(milliseconds):
        for ax, side in zip(axes[:, column], (False, True), strict=True):
            _draw_body(ax, true[column], side, color=TRUE, lw=4.0)
            if predicted is not None:
                _draw_body(ax, predicted[column], side, color=PREDICTED, lw=1.4)
            _clean(ax)
        axes[0, column].set_title(f"{instant} ms", fontsize=9)
    axes[0, 0].plot([], [], color=TRUE, lw=4, label="true")
    if predicted is not None:
        axes[0, 0].plot([], [], color=PREDICTED, label="predicted")
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    _title(fig, title)
    return fig


def animation(
    true: Float[np.ndarray, "T 24 3"],
    predicted: Float[np.ndarray, "T2 24 3"],
    title: str = "",
    fps: float = 30.0,
) -> FuncAnimation:
    """Predicted and true body side by side, from the front.

    If the truth is shorter, its last frame stays in the picture, paler.
    """
    fig, axes = figure(5.0, 3.6, ncols=2)
    bones = [LineCollection([], colors=colour, linewidths=2.5) for colour in ("0.3", PREDICTED)]
    for ax, lines in zip(axes, bones, strict=True):
        ax.add_collection(lines)
        _clean(ax)

    def show(t: int) -> list:
        for ax, lines, joints, name in zip(
            axes, bones, (true, predicted), ("true", "predicted"), strict=True
        ):
            over = t >= len(joints)
            lines.set_segments(joints[min(t, len(joints) - 1), :, :2][np.array(EDGES)])
            lines.set_alpha(0.2 if over else 1.0)
            ax.set_title(f"{name}{' (over)' if over else ''}", fontsize=9)
        _title(fig, f"{title}  {t / fps:.1f} s")
        return []

    return FuncAnimation(fig, show, frames=len(predicted), interval=1000 / fps)
