"""The tables, the figures and the page of results that a run of the study leaves in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from src.common.files import digest, write_atomically, write_text
from src.common.markdown import as_markdown
from src.motion.metrics import HORIZONS, METRICS, FrameErrors
from src.motion.models.forecaster import parameter_count
from src.motion.study.run import Result
from src.motion.study.studies import STUDIES

BAR = "ridge"  # a model that does not beat it has learned no more than a linear map
FLOOR = "zero velocity"


def wide_table(errors: Mapping[str, FrameErrors]) -> pd.DataFrame:
    """Models down, metric and horizon across: `joint_angle 400` is the error up to 400 ms."""
    table = pd.DataFrame({name: of_model.table().stack() for name, of_model in errors.items()}).T
    return table.set_axis([f"{metric} {ms}" for metric, ms in table], axis=1)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Joint angle at 400 ms of every model against zero velocity and ridge regression."""
    column = table[f"joint_angle {max(HORIZONS)}"]
    return pd.DataFrame({
        "joint angle at 400 ms": column.round(3),
        f"of {FLOOR}": (column / column[FLOOR]).map("{:.0%}".format),
        f"beats {FLOOR}": column < column[FLOOR],
        f"beats {BAR}": column < column[BAR],
    })  # fmt: skip


def sizes(results: Mapping[str, Result]) -> pd.DataFrame:
    """Parameters, steps and seconds of every training."""
    runs = results.values()
    return pd.DataFrame({
        "parameters": [parameter_count(run.model) for run in runs],
        "steps": [run.history.step.iloc[-1] for run in runs],
        "seconds": [round(run.history.seconds.iloc[-1], 1) for run in runs],
    }, index=list(results))  # fmt: skip


def spread(seeds: Mapping[str, Sequence[FrameErrors]]) -> pd.DataFrame:
    """Mean and standard deviation over seeds, "3.012 ± 0.020", models down; with one seed no ±."""
    columns = [f"joint_angle {ms}" for ms in HORIZONS]
    columns += [f"{metric} {max(HORIZONS)}" for metric in METRICS if metric != "joint_angle"]
    rows = [wide_table({name: one})[columns] for name, errors in seeds.items() for one in errors]
    of_model = pd.concat(rows).groupby(level=0, sort=False)
    mean = of_model.mean(skipna=False).map("{:.3f}".format)
    if len(rows) == len(seeds):
        return mean
    return mean + " ± " + of_model.std(skipna=False).map("{:.3f}".format)


def authors_note(outcome: FrameErrors | str) -> str:
    """What `authors_outcome` found, in one number; or why the authors' weights are absent."""
    if isinstance(outcome, str):
        return outcome
    horizon, frames = max(HORIZONS.items())
    return f"joint angle {outcome.until(frames)['joint_angle']:.3f} at {horizon} ms"


def titles(errors: Mapping[str, FrameErrors]) -> pd.DataFrame:
    """The document's Table 3: each study's printed title, its printed size, and its error here."""
    angles = {name: f"{of_model.until(24)['joint_angle']:.3f}" for name, of_model in errors.items()}
    return pd.DataFrame({
        "title": [study.title for study in STUDIES],
        "parameters as published": [f"{study.parameters:,}" for study in STUDIES],
        "joint angle at 400 ms": [angles.get(study.name, "not run") for study in STUDIES],
    }, index=[study.name for study in STUDIES])  # fmt: skip


def clear(folder: Path) -> None:
    """Delete the results of an earlier run, which may have had other models and actions."""
    for pattern in ("tables/*.csv", "figures/*.png", "figures/*.gif", "report.md"):
        for path in folder.glob(pattern):
            path.unlink()


def save_table(folder: Path, name: str, table: pd.DataFrame) -> Path:
    return write_atomically(folder / "tables" / f"{name}.csv", table.to_csv)


def save_figure(folder: Path, name: str, figure: Figure) -> Path:
    target = folder / "figures" / f"{name}.png"
    return write_atomically(target, lambda path: figure.savefig(path, dpi=110))


def save_animation(folder: Path, name: str, animation: FuncAnimation, fps: float) -> Path:
    writer, target = PillowWriter(fps=fps), folder / "figures" / f"{name}.gif"
    return write_atomically(target, lambda path: animation.save(path, writer=writer, dpi=70))


def write_report(
    folder: Path,
    about: str,
    table: pd.DataFrame,
    sizes: pd.DataFrame,
    titles: pd.DataFrame,
    seeds: pd.DataFrame,
    notes: list[str],
) -> Path:
    """Write report.md from `wide_table` with the bars, and from `sizes`, `titles` and `spread`.

    `about` says in words which data and profile the numbers come from; notes are sentences about
    the numbers.
    """
    parts = {"Against the bars": verdicts(table), "The best rows (± over several seeds)": seeds}
    for metric in METRICS:
        columns = {f"{metric} {ms}": f"{ms} ms" for ms in HORIZONS}
        parts[metric] = table[list(columns)].round(3).rename(columns=columns)
    parts |= {"Studies as printed (Table 3)": titles, "Size and training": sizes}
    lines = ["# Human motion prediction", "", about, "", *(f"- {note}" for note in notes), ""]
    for title, part in parts.items():
        lines += [f"## {title}", "", as_markdown(part.astype(str)), ""]
    return write_text(folder / "report.md", "\n".join(lines))


def inventory(folder: Path) -> pd.DataFrame:
    """Every file that a run left, with its size and the beginning of its hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return pd.DataFrame({
        "file": [str(path.relative_to(folder)) for path in files],
        "bytes": [path.stat().st_size for path in files],
        "sha256": [digest(path)[:12] for path in files],
    })  # fmt: skip
