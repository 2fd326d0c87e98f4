"""Makes the pictures of README and docs/, all but live.png, from a finished run of the sample.

make docs                                  runs the sample where it is not finished
python -m docs.pictures logs/sample        the pictures alone
"""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure
from PIL import Image

from docs.pages import with_few_colours
from src import plots
from src.clips import RawClip
from src.common.paths import anchored, root
from src.landmarks import HANDS
from src.runs import Run
from src.tflite.interpreter import load

PICTURES = root() / "docs/pictures"
COLOURS = 64  # of a saved picture's palette: lines and bars need no more, and the file is small
LIKELIEST = 5  # signs beside the moving clip
FPS = 12
FRAMES = (24, 40)  # of the moving clip: long enough to see the sign, short enough to load
COPIED = ("learning_curves", "confusions", "augmentations", "kept_frames")  # figures of the run
STAGES = (
    ("raw clips", "train.csv and parquet,\n543 landmarks a frame"),
    ("store", "one memory-mapped file,\nfolds by signer"),
    ("clip steps", "points, frames, scale;\nonce per clip, exported"),
    ("training", "augmentation, mixup,\nteacher, student, soup"),
    ("one .tflite", "raw frames in, signs out;\nevery member inside"),
    ("checked", "parity with torch,\nthe competition's scorer"),
)


def write(figure: Figure, name: str) -> Path:
    """Save a figure as docs/pictures/<name>.png."""
    data = io.BytesIO()
    figure.savefig(data, dpi=110, facecolor="white")
    return _save(Image.open(data), name)


def copy(run: Run, name: str) -> Path:
    """A figure of the run as docs/pictures/<name>.png."""
    return _save(Image.open(run.folder / f"figures/{name}.png"), name)


def _save(image: Image.Image, name: str) -> Path:
    path = PICTURES / f"{name}.png"
    with_few_colours(image, COLOURS).save(path, optimize=True)
    return path


def moving_clip(run: Run) -> Path:
    """A held-out clip, and the five likeliest signs after each of its frames."""
    model = load(run.folder / "scored.tflite")
    xyz, sign = _a_clear_clip(run, model)
    names = np.array(sorted(run.store.signs, key=run.store.signs.get))
    answers = np.stack([model(xyz[: t + 1]) for t in range(len(xyz))])
    chosen = np.argsort(answers[-1])[::-1][:LIKELIEST]

    figure, (left, right) = plots.figure(6.4, 3.2, ncols=2)

    def show(t: int) -> list:
        left.clear()
        left.set_axis_off()
        plots.draw_frame(left, xyz[t])
        plots.show_all_of(left, xyz)
        left.set_title(f"frame {t + 1} of {len(xyz)}", fontsize=9)
        right.clear()
        colours = ["tab:green" if names[k] == sign else "0.7" for k in chosen]
        right.barh(names[chosen], answers[t, chosen], color=colours)
        right.invert_yaxis()
        right.set(xlim=(0, 1), xlabel="probability")
        right.spines[["top", "right"]].set_visible(False)
        right.set_title(f"signed: {sign}", fontsize=9)
        return []

    # It opens on a frame with hands, which is what a page shows until the picture moves.
    shown = [*range(plots.first_with_a_hand(xyz), len(xyz)), *[len(xyz) - 1] * FPS]
    movie = FuncAnimation(figure, show, frames=shown)
    path = PICTURES / "clip.gif"
    movie.save(path, PillowWriter(fps=FPS), dpi=85)
    return path


def _a_clear_clip(run: Run, model: Callable[[np.ndarray], np.ndarray]) -> tuple[RawClip, str]:
    """Of the held-out clips of a usual length that the file recognises, the one with most hands."""
    held_out = run.clips[(run.clips.fold == 0) & run.clips.length.between(*FRAMES)]
    clips = {k: run.store.whole_frames(k) for k in held_out.index}
    right = [k for k, xyz in clips.items() if model(xyz).argmax() == held_out.label[k]]
    clearest = max(right, key=lambda k: np.isfinite(clips[k][:, list(HANDS), 0]).mean())
    return clips[clearest], held_out.sign[clearest]


def parity(run: Run) -> Path:
    """How far each rung's answers are from torch's."""
    rungs = json.loads((run.folder / "report.json").read_text())["parity"]
    figure, ax = plots.figure(6.4, 2.4)
    ax.barh(list(rungs), [rung["difference"] for rung in rungs.values()], color="tab:blue")
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="largest difference from torch")
    ax.spines[["top", "right"]].set_visible(False)
    return write(figure, "parity")


def data_path() -> Path:
    """From raw clips to a checked submission, as boxes and arrows."""
    figure, ax = plots.figure(11, 1.5)
    ax.set(xlim=(-0.05, len(STAGES)), ylim=(0, 1))
    ax.set_axis_off()
    for k, (title, text) in enumerate(STAGES):
        corner = (k + 0.02, 0.1)
        ax.add_patch(plt.Rectangle(corner, 0.84, 0.8, lw=1.2, fc="#eef3fa", ec="#1f77b4"))
        ax.text(k + 0.44, 0.68, title, ha="center", va="center", fontsize=11, weight="bold")
        ax.text(k + 0.44, 0.36, text, ha="center", va="center", fontsize=7.5)
        if k:
            arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (k + 0.02, 0.5), (k - 0.14, 0.5), arrowprops=arrow)
    return write(figure, "data_path")


def main(run_dir: str = "logs/sample") -> None:
    """Make every picture from that run."""
    run = Run.open(anchored(run_dir))
    PICTURES.mkdir(exist_ok=True)
    made = [moving_clip(run), data_path(), parity(run)]
    made += [copy(run, name) for name in COPIED]
    for path in made:
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
