"""Figures from arrays. Every function returns a Figure; nothing is shown or saved here.

Letters: **T** frames, **K** signs.
"""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from src.clips import RawClip
from src.landmarks import EDGES, HAND_EDGES, HANDS, Layout

COLOURS = {"face": "0.6", "left_hand": "tab:blue", "pose": "0.3", "right_hand": "tab:red"}


def plain(name: object) -> str:
    """Escape a name for matplotlib, which reads text between two dollars as a formula."""
    return str(name).replace("$", r"\$")


def figure(width: float, height: float, **subplots) -> tuple[Figure, Axes | np.ndarray]:
    """A figure of this size in inches, laid out so no label is cut off."""
    fig, axes = plt.subplots(figsize=(width, height), layout="constrained", **subplots)
    plt.close(fig)  # so a notebook shows it only once, when a cell returns it
    return fig, axes


# --- clips --------------------------------------------------------------------------------------


def show_all_of(ax: Axes, xyz: RawClip) -> None:
    """Set the limits to the box around everything drawn of a clip, plus 5 %; y points down."""
    drawn = np.unique(np.concatenate([np.ravel(edges) for edges in EDGES.values()]))
    xy = xyz[:, drawn, :2].reshape(-1, 2)
    xy = xy[np.isfinite(xy).all(1)]
    low, high = (xy.min(0), xy.max(0)) if len(xy) else (np.zeros(2), np.ones(2))
    margin = 0.05 * (high - low).max() + 1e-6
    (left, top), (right, bottom) = low - margin, high + margin
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def first_with_a_hand(xyz: RawClip) -> int:
    """The number of the first frame in which a hand is detected; 0 if there is none."""
    return int(np.isfinite(xyz[:, list(HANDS), 0]).any(1).argmax())


def draw_frame(ax: Axes, frame: Float[np.ndarray, "L 3"]) -> dict[str, LineCollection]:
    """Draw one frame's landmarks as lines, y down as in an image; return each part's lines."""
    drawn = {}
    for part, edges in EDGES.items():
        lines = frame[np.array(edges), :2]  # (edges, 2, 2); an edge with a missing end is not drawn
        drawn[part] = LineCollection(lines, colors=COLOURS[part], linewidths=0.9)
        ax.add_collection(drawn[part])
    ax.autoscale_view()
    return drawn


def name_hands(fig: Figure) -> None:
    """Say in a corner of the figure which colour is which hand."""
    handles = [Line2D([], [], color=COLOURS[part]) for part in ("left_hand", "right_hand")]
    fig.legend(handles, ["left hand", "right hand"], loc="lower left", fontsize=7, frameon=False)


def frames(xyz: RawClip, title: str = "", count: int = 6) -> Figure:
    """A row of frames, evenly spaced over the clip."""
    chosen = np.unique(np.linspace(0, len(xyz) - 1, count).round().astype(int))
    fig, axes = figure(2.0 * count, 2.6, ncols=count, squeeze=False)
    for ax in axes[0]:
        ax.set_axis_off()
    for ax, t in zip(axes[0], chosen, strict=False):
        draw_frame(ax, xyz[t])
        show_all_of(ax, xyz)
        ax.set_title(f"frame {t}", fontsize=8)
    fig.suptitle(plain(title), fontsize=10)
    name_hands(fig)
    return fig


def animation(xyz: RawClip, title: str = "", fps: float = 15.0) -> FuncAnimation:
    """The clip as an animation; `.to_jshtml()` shows it in a notebook, `.save` makes a GIF.

    It starts at the first frame with a hand, and goes on from the clip's end to its start.
    """
    first = first_with_a_hand(xyz)
    fig, ax = figure(4.0, 4.0)
    ax.set_axis_off()
    lines = draw_frame(ax, xyz[first])
    show_all_of(ax, xyz)
    heading = ax.set_title(plain(title), fontsize=9, y=1.0)
    name_hands(fig)
    # All frames use the first one's layout: computing it takes longer than drawing a frame.
    fig.draw_without_rendering()
    fig.set_layout_engine("none")

    def show(t: int) -> list:
        for part, edges in EDGES.items():
            lines[part].set_segments(xyz[t, np.array(edges), :2])
        heading.set_text(f"{plain(title)}  frame {t + 1} of {len(xyz)}")
        return []

    order = [*range(first, len(xyz)), *range(first)]
    return FuncAnimation(fig, show, frames=order, interval=1000 / fps)


def lengths_and_gaps(length: np.ndarray, missing: dict[str, float]) -> Figure:
    """How long clips are, and in what share of the frames each part is missing."""
    fig, (left, right) = figure(9.0, 3.0, ncols=2)
    left.hist(length, bins=np.geomspace(1, max(length.max(), 2) + 1, 40), color="tab:blue")
    left.set(xscale="log", xlabel="frames of a clip", ylabel="clips")
    left.axvline(np.median(length), color="k", lw=1, ls="--", label=f"median {np.median(length):g}")
    left.legend()
    right.barh(list(missing), [100 * share for share in missing.values()], color="tab:orange")
    right.set(xlabel="missing, % of frames", xlim=(0, 100))
    return fig


# --- methods ------------------------------------------------------------------------------------


def kept_frames(kept: dict[str, Sequence[int]]) -> Figure:
    """Which frames of a clip are left after each step: a row of ticks per step."""
    fig, ax = figure(9.0, 0.6 + 0.4 * len(kept))
    ax.eventplot(list(kept.values()), lineoffsets=range(len(kept)), linelengths=0.6, linewidths=2.5)
    labels = [f"{name} ({len(numbers)})" for name, numbers in kept.items()]
    ax.set_yticks(range(len(kept)), labels)
    ax.invert_yaxis()
    ax.set(xlabel="frame")
    return fig


def views(clips: dict[str, tuple[Tensor, Tensor]], layout: Layout) -> Figure:
    """The same clip after each operation: its middle frame, and both wrists in every frame.

    Args:
        clips: by name, the points (T, L, 3) and the mask (T,), True = a real frame.
        layout: the points; the first one of a hand is its wrist.
    """
    columns = min(4, len(clips))
    rows = math.ceil(len(clips) / columns)
    fig, axes = figure(2.6 * columns, 1.8 * rows + 0.4, nrows=rows, ncols=columns, squeeze=False,
                       sharex=True, sharey=True)  # fmt: skip
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, (xyz, mask)) in zip(axes.flat, clips.items(), strict=False):
        real = xyz[mask]
        for part in layout.parts:
            points = real[:, list(layout.rows(part)), :2]  # (T, L, 2)
            middle, colour = points[len(real) // 2], COLOURS.get(part, "0.6")
            if part in ("left_hand", "right_hand"):
                ax.add_collection(LineCollection(middle[np.array(HAND_EDGES)], colors=colour))
                ax.plot(*points[:, 0].T, ".", color=colour, ms=3, alpha=0.4)
            else:
                ax.scatter(*middle.T, s=4, color=colour)
        ax.set(aspect="equal")
        ax.set_title(f"{name}, {len(real)} frames", fontsize=8)
    axes.flat[0].invert_yaxis()  # y points down, as in an image
    fig.set_layout_engine("compressed")  # no gaps above and below bodies that are wide
    name_hands(fig)
    return fig


def matrix(values: Int[np.ndarray, "N M"], xlabel: str, ylabel: str, title: str) -> Figure:
    """A matrix of whole numbers as colours."""
    fig, ax = figure(4.6, 3.8)
    image = ax.imshow(values, cmap="twilight_shifted")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    fig.colorbar(image, ax=ax, shrink=0.8, label=title)
    return fig


def left_out(losses: Float[np.ndarray, " B"], signs: Sequence[str], count: int) -> Figure:
    """A bar per clip, largest loss first; clips that are left out have another colour."""
    order = np.argsort(losses)[::-1]
    fig, ax = figure(9.0, 2.8)
    colours = ["tab:red" if k < count else "0.7" for k in range(len(order))]
    ax.bar(range(len(order)), losses[order], color=colours)
    ax.set_xticks(range(len(order)), [plain(signs[k]) for k in order], rotation=90, fontsize=8)
    title = f"left out: the {count} with the largest loss" if count else "no clip is left out"
    ax.set(ylabel="loss", title=title)
    return fig


# --- training -----------------------------------------------------------------------------------

SIDE_BY_SIDE = 4  # trainings in a row of learning curves: more would be too wide for a page
# The ends of a history's column names, after the role; how each is drawn, and its label.
CURVES = {
    "loss": {
        "_loss": ("-", "in training"),
        "_train_loss": ("--", "training clips"),
        "_test_loss": (".-", "held-out clips"),
    },
    "accuracy": {
        "_train_accuracy": ("--", "training clips"),
        "_accuracy": (".-", "held-out clips"),
    },
}


def learning_curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy of every role over the epochs, a column per training, four side by side.

    Training and held-out clips are drawn together: where the training curve keeps improving and the
    other does not, the model memorises its clips.
    """
    columns = min(len(histories), SIDE_BY_SIDE)
    rows = 2 * math.ceil(len(histories) / columns)
    fig, axes = figure(4.5 * columns, 3.25 * rows, nrows=rows, ncols=columns, squeeze=False)
    pairs = [pair for k in range(0, rows, 2) for pair in axes[k : k + 2].T]
    for ax in np.ravel(pairs[len(histories) :]):
        ax.set_visible(False)
    for pair, (name, history) in zip(pairs, histories.items(), strict=False):
        for ax, (kind, curves) in zip(pair, CURVES.items(), strict=True):
            roles = dict.fromkeys(key.partition("_")[0] for key in history if "_" in key)
            for number, role in enumerate(roles):
                for suffix, (style, what) in curves.items():
                    if (key := role + suffix) in history:
                        known = history[["epoch", key]].dropna()
                        chooses = role == "choosing"
                        label = "clips that choose the epoch" if chooses else f"{role}, {what}"
                        ax.plot(known.epoch, known[key], style, color=f"C{number}", label=label)
            ax.set(xlabel="epoch", ylabel=kind)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(alpha=0.3)
            if kind == "accuracy":
                ax.set_ylim(0, 1.02)  # so a curve at 1 is visible
            if ax.lines:
                ax.legend(fontsize=7)
        pair[0].set_title(name, fontsize=10)
    return fig


# --- validation ---------------------------------------------------------------------------------


def accuracies(values: pd.Series, title: str) -> Figure:
    """A bar per name, with its value written at its end; lowest on top."""
    values = values.sort_values(ascending=False)
    fig, ax = figure(6.0, 0.8 + 0.24 * len(values))
    bars = ax.barh([plain(name) for name in values.index], 100 * values, color="tab:blue")
    ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    ax.set(xlabel="accuracy, %", xlim=(0, 108), title=title)
    ax.tick_params(axis="y", labelsize=8)
    return fig


def confusions(pairs: pd.DataFrame, signs: Sequence[str], counts: np.ndarray) -> Figure:
    """The confusion matrix of the signs in the pairs of `tables.worst_pairs`.

    `counts` (K, K) says how many clips of a sign (row) were taken for another (column).
    """
    if pairs.empty:
        fig, ax = figure(6.0, 1.2)
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no sign was taken for another", ha="center", va="center")
        return fig
    involved = list(dict.fromkeys([*pairs.sign, *pairs.predicted]))[:20]
    index = [signs.index(sign) for sign in involved]
    matrix = counts[np.ix_(index, index)]
    size = 2.2 + 0.36 * len(involved)
    fig, ax = figure(size + 0.6, size)
    shares = matrix / np.maximum(counts[index].sum(1, keepdims=True), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [plain(sign) for sign in involved]
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        colour = "w" if shares[i, j] > 0.5 else "k"
        ax.text(j, i, matrix[i, j], ha="center", va="center", fontsize=7, color=colour)
    ax.set(xlabel="predicted", ylabel="sign", title="the most confused signs (clips)")
    fig.colorbar(image, ax=ax, shrink=0.7, label="share of the sign's clips")
    return fig


def latencies(milliseconds: np.ndarray, length: np.ndarray) -> Figure:
    """The latency of each clip, against its number of raw frames."""
    fig, ax = figure(6.0, 3.2)
    ax.scatter(length, milliseconds, s=8, alpha=0.5)
    ax.axhline(mean := milliseconds.mean(), color="k", lw=1, ls="--", label=f"mean {mean:.1f} ms")
    ax.set(xlabel="raw frames of the clip", ylabel="latency, ms, one thread", xscale="log", ylim=0)
    ax.grid(alpha=0.3)
    ax.legend()
    return fig
