"""Figures of the motion study, from arrays and tables. Nothing is shown or saved here.

Stick figures are in bodies.py.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from src.clips import RawClip
from src.motion.body.skeleton import CENTRE, LEFT, PREDICTED_NAMES, RIGHT
from src.motion.metrics import METRICS, PCK_THRESHOLDS
from src.plots import draw_frame, figure, name_hands

BAND = (40, 50)  # channels of the embedding in which the document sees a grey band
AXES = {
    "euler": "Euler angle, rad (sum)",
    "joint_angle": "joint angle, rad (sum)",
    "positional": "position, thighs (sum)",
    "auc": "AUC of PCK (mean)",
}


def study_table(tables: Mapping[str, pd.DataFrame], bars: Mapping[str, pd.DataFrame]) -> Figure:
    """Study x metric x horizon: a panel per metric, a row per model, a dot per horizon.

    Tables have metrics down and horizons in ms across. The bars, which need no training, are drawn
    as lines at the last horizon.
    """
    names = list(tables)
    horizons = list(next(iter(tables.values())).columns)
    fig, axes = figure(13.0, 1.6 + 0.26 * len(names), ncols=len(METRICS), sharey=True)
    rows = np.arange(len(names))[::-1]
    for ax, metric in zip(axes, METRICS, strict=True):
        for horizon in horizons:  # a colour each
            values = [table.loc[metric, horizon] for table in tables.values()]
            ax.scatter(values, rows, s=22, zorder=3, label=f"{horizon} ms")
        for (name, table), style in zip(bars.items(), ("-", ":", "--"), strict=False):
            label = f"{name}, {horizons[-1]} ms"
            ax.axvline(table.loc[metric, horizons[-1]], color="k", ls=style, lw=1, label=label)
        better = "higher" if metric == "auc" else "lower"
        ax.set_xlabel(f"{AXES[metric]}\n{better} is better", fontsize=9)
        ax.grid(alpha=0.3)
        ax.margins(x=0.08)
        if metric != "auc":
            _keep_readable(ax, tables, bars, metric)
    axes[0].set_yticks(rows, names, fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return fig


def _keep_readable(ax: Axes, tables: Mapping, bars: Mapping, metric: str) -> None:
    """Cut the axis where a model that failed would squeeze the others together."""
    limit = 1.3 * max((table.loc[metric].max() for table in bars.values()), default=np.inf)
    worst = max(table.loc[metric].max() for table in tables.values())
    ax.set_xlim(0, None if worst < limit else limit)


def loss_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Training and validation loss over steps, a panel per model (Fig. 8).

    The band goes from the lowest to the highest loss of the single steps between two validations.
    """
    fig, panels = _panels(list(histories), "step", "loss")
    for ax, history in zip(panels, histories.values(), strict=True):
        ax.fill_between(
            history.step, history.lowest_loss, history.highest_loss, color="C0", alpha=0.25, lw=0,
            label="single steps",
        )  # fmt: skip
        for name in ("train", "valid"):  # with dots, since one validation makes no line
            ax.plot(history.step, history[f"{name}_loss"], ".-", ms=3, label=name)
        ax.set_ylim(0)
        ax.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return fig


def _panels(names: list[str], x: str, y: str) -> tuple[Figure, list[Axes]]:
    """Panels titled by the names, five in a row, with a label for all x axes and one for all y."""
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    fig, axes = figure(3.0 * columns, 2.3 * rows, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        ax.set_title(name, fontsize=9)
        ax.tick_params(labelsize=7)
    fig.supxlabel(x, fontsize=9)
    fig.supylabel(y, fontsize=9)
    return fig, list(axes.flat[: len(names)])


def taxonomy_curves(prior: pd.DataFrame, original: pd.DataFrame) -> Figure:
    """Mean square error of the transformer with and without the motion-taxonomy prior (Fig. 3).

    The two errors have a plot each because they differ in kind: in training the decoder is given
    true frames, in validation its own.
    """
    fig, axes = figure(9.0, 3.5, ncols=2)
    for history, name, colour in ((prior, "taxonomy", "tab:red"), (original, "original", "0.3")):
        axes[0].plot(history.step, history.train_mse, color=colour, label=name)
        axes[1].plot(history.step, history.valid_mse, color=colour, label=name)
    axes[0].set_title("training: true frames are fed in", fontsize=10)
    axes[1].set_title("validation: its own frames are fed in", fontsize=10)
    for ax in axes:
        ax.set(xlabel="step", ylabel="mean square error, normalised", yscale="log")
        ax.grid(alpha=0.3, which="both")
    axes[0].legend(fontsize=8)
    return fig


def gan_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Generator error and the critic's EMD over steps, a panel per GAN (Fig. 4).

    A dashed line marks the switch from pretraining, after which the critic's curve starts.
    """
    fig, axes = figure(4.2 * len(histories), 3.2, ncols=len(histories), squeeze=False)
    for ax, (name, history) in zip(axes[0], histories.items(), strict=True):
        ax.plot(history.step, history.generator_mse, ".-", color="tab:red", label="generator MSE")
        ax.set(xlabel="generator step", title=name)
        ax.set_ylabel("MSE to the truth, normalised", color="tab:red")
        ax.set_ylim(0)
        judged = history[~history.pretraining]
        if len(judged) < len(history):
            switch = history.step[history.pretraining].max()
            ax.axvline(switch, color="0.3", ls="--", lw=1)
            ax.annotate("critic →", (switch, 0.97), xycoords=("data", "axes fraction"),
                        va="top", fontsize=8)  # fmt: skip
        right = ax.twinx()
        right.plot(judged.step, judged.critic_emd, ".-", color="tab:blue", label="critic EMD")
        right.set_ylabel("critic's EMD", color="tab:blue")
    return fig


def embedding_panels(weights: Float[np.ndarray, "15 M D"]) -> Figure:
    """The per-joint embedding as a grey image: all joints, left, right, centre (Fig. 5).

    Rows are joint x component, columns channels; white is the largest weight. Columns 40 to 50,
    which the document's text is about, are marked if there are that many.
    """
    every = range(len(PREDICTED_NAMES))
    groups = {"all": every, "left": LEFT, "right": RIGHT, "centre": CENTRE}
    fig, axes = figure(11.0, 8.0, nrows=2, ncols=2)
    low, high = weights.min(), weights.max()
    for ax, (name, joints) in zip(axes.flat, groups.items(), strict=True):
        image = weights[list(joints)].reshape(-1, weights.shape[-1])
        ax.imshow(image, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        parts = weights.shape[1]
        middles = np.arange(len(joints)) * parts + parts / 2 - 0.5
        ax.set_yticks(middles, [PREDICTED_NAMES[j] for j in joints], fontsize=7)
        ax.set(title=name, xlabel="channel")
        if weights.shape[-1] > max(BAND):
            for edge in BAND:
                ax.axvline(edge, color="tab:red", lw=0.8, ls=":")
    return fig


def gradient_grid(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean and standard deviation of dLoss/dW per layer, a panel per study (Fig. 7 and 11)."""
    fig, panels = _panels(list(tables), "layer", "dLoss/dW, mean ± std")
    for ax, table in zip(panels, tables.values(), strict=True):
        ax.errorbar(table.layer, table["mean"], yerr=table["std"], fmt="o", capsize=4, ms=4)
        ax.axhline(0, color="0.7", lw=0.8)
        ax.set_xticks(table.layer)
        ax.ticklabel_format(axis="y", scilimits=(0, 0))
        ax.yaxis.get_offset_text().set_fontsize(7)
        ax.margins(x=0.2)
    return fig


def rollout_maps(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Freezing, drift and jitter per second of a long roll-out: models down, seconds across."""
    names = list(tables)
    fig, axes = figure(13.0, 1.8 + 0.24 * len(names), ncols=3, sharey=True)
    # Log scales: half the true speed is as bad as twice, and drift spans many magnitudes.
    panels = (
        ("speed", "angular speed, predicted / true\n(grey: truth is over)", "RdBu_r",
         LogNorm(0.1, 10)),
        ("drift", "distance from rotations\n(white: none)", "Greys", LogNorm(1e-3, 10)),
        ("entropy", "entropy of the spectrum\n(1: white noise)", "viridis", Normalize(0, 1)),
    )  # fmt: skip
    for ax, (column, label, colours, scale) in zip(axes, panels, strict=True):
        values = np.stack([tables[name][column].to_numpy() for name in names])
        seconds = next(iter(tables.values())).second
        image = ax.imshow(
            np.clip(values, scale.vmin, None), cmap=colours, norm=scale, aspect="auto",
            extent=(seconds.min() - 0.5, seconds.max() + 0.5, len(names) - 0.5, -0.5),
        )  # fmt: skip
        ax.set_facecolor("0.93")  # where no truth is left to compare with
        ax.set_xlabel("second")
        ax.set_title(label, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        fig.colorbar(image, ax=ax, shrink=0.8)
    axes[0].set_yticks(range(len(names)), names, fontsize=9)
    return fig


def part_bars(table: pd.DataFrame, unit: str) -> Figure:
    """Mean position error per part of sign clips, a bar per model."""
    fig, ax = figure(1.6 + 1.6 * len(table), 3.4)
    width = 0.8 / table.shape[1]
    for number, name in enumerate(table):
        at = np.arange(len(table)) + (number - (table.shape[1] - 1) / 2) * width
        drawn = ax.bar(at, table[name], width, label=name, color="0.6" if number == 0 else None)
        ax.bar_label(drawn, fmt="%.3g", fontsize=7, padding=2)
    ax.set_xticks(range(len(table)), [part.replace("_", " ") for part in table.index])
    ax.set_ylabel(f"mean position error,\n{unit}")
    ax.margins(y=0.15)
    fig.legend(loc="outside upper center", ncols=table.shape[1], frameon=False, fontsize=8)
    return fig


def sign_forecast(clips: Mapping[str, RawClip]) -> Figure:
    """The first frames of clips side by side, each under its title."""
    fig, axes = figure(3.0 * len(clips), 3.0, ncols=len(clips), sharex=True, sharey=True)
    fig.get_layout_engine().set(h_pad=0.15)  # inches; wide bodies push the titles up
    for ax, (title, clip) in zip(axes, clips.items(), strict=True):
        draw_frame(ax, clip[0])
        ax.set(aspect="equal")
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()
    axes[0].invert_yaxis()  # y points down, as in an image
    name_hands(fig)
    return fig


def rotation_table(table: pd.DataFrame) -> Figure:
    """Size and speed of the three representations (Table 1)."""
    fig, axes = figure(3.4 * table.shape[1], 2.4, ncols=table.shape[1])
    for ax, column in zip(axes, table, strict=True):
        values = table[column]
        drawn = ax.barh(table.index, values, color="tab:blue")
        labels = [f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in values]
        ax.bar_label(drawn, labels, fontsize=8, padding=2)
        if wide := values.max() > 20 * values.min():  # a matrix costs next to nothing to encode
            ax.set(xscale="log", xlim=(values.min() / 10, values.max() * 30))
        ax.set_xlabel(f"{column}{' (log scale)' if wide else ''}", fontsize=9)
        ax.margins(x=0.25)
        ax.tick_params(labelsize=8)
        ax.invert_yaxis()
    return fig


def pck_curves(tables: Mapping[str, Float[Tensor, "9"]]) -> Figure:
    """Share of joints within a distance, mean over the forecast, a line per model."""
    fig, ax = figure(6.0, 4.0)
    for name, values in tables.items():
        ax.plot(PCK_THRESHOLDS, values, ".-", label=name)
    ax.set(xlabel="distance, thigh lengths", ylabel="share of joints within it", ylim=(0, 1))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return fig
