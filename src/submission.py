"""From trained members to a submission: which networks, on which clips, and the report about them.

- The file that is scored is made of the first fold's members: the signers that it is scored on were
  held out of them. Where the profile also fits everything, that fit is what is submitted; the same
  code makes both files.
- report.md and its twin report.json say which data all figures are about; model_card.md is what
  goes with the file wherever it goes.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src import model_card
from src.baselines import nearest_neighbour
from src.dataset.sample.writer import NOTE
from src.dataset.store import Store
from src.files import write_atomically, write_json, write_text
from src.runs import EVERYTHING, Run
from src.tflite import interpreter
from src.tflite.export import Exported, write_tflite
from src.tflite.export import write_submission as pack
from src.tflite.members import Member, member_of
from src.tflite.parity import Frames, Ladder, edge_clips
from src.tflite.scorer import Score, load_frames, read_clips

PARITY_CLIPS = 20  # genuine clips in the ladder, beside those at the edges


def scored_fold(run: Run) -> int:
    """The fold whose held-out clips the file is scored on."""
    return next(fold for fold in run.about.folds if fold != EVERYTHING)


def members(run: Run, fold: int, weights: Mapping[str, float]) -> list[Member]:
    """The run's shipped networks of one fold.

    Args:
        run: with the trained members.
        fold: that was held out.
        weights: of each member; one without weight is left out.
    """
    return [
        member_of(run.recipe(name), run.model(name, fold), weight)
        for name, weight in weights.items()
        if weight > 0
    ]


def held_out_clips(run: Run, fold: int) -> pd.DataFrame:
    """The rows of train.csv that a fold holds out, with paths as the scorer wants them."""
    rows = read_clips(Path(run.about.data))
    held_out = set(run.clips.sequence[run.clips.fold == fold])
    return rows[rows.sequence_id.isin(held_out)].reset_index(drop=True)


def some_clips(run: Run, clips: pd.DataFrame) -> list[Frames]:
    """A few of these raw clips, from the shortest to the longest."""
    order = clips.sequence_id.map(run.lengths).argsort().to_numpy()
    chosen = order[np.unique(np.linspace(0, len(order) - 1, PARITY_CLIPS).round().astype(int))]
    return [load_frames(Path(run.about.data) / path) for path in clips.path.iloc[chosen]]


def parity_clips(run: Run, clips: pd.DataFrame, max_len: int) -> list[Frames]:
    """Clips for the ladder: some of these, and edge cases."""
    return [*some_clips(run, clips), *edge_clips(max_len).values()]


def nearest_neighbour_accuracy(run: Run, fold: int) -> float:
    """Nearest neighbour on raw hand coordinates, on the clips that the fold holds out."""
    store, held_out = run.store, (run.clips.fold == fold).to_numpy()
    label = store.clips.label.to_numpy()
    predicted = nearest_neighbour(
        _whole(store, ~held_out), label[~held_out], _whole(store, held_out)
    )
    return float((predicted == label[held_out]).mean())


def _whole(store: Store, chosen: np.ndarray) -> list[Frames]:
    return [store.whole_frames(i) for i in np.flatnonzero(chosen)]


def write_submission(run: Run, scored: Exported, weights: Mapping[str, float]) -> list[Path]:
    """Write model.tflite and submission.zip.

    The file is made of the fit on everything where the profile has one; else it is the scored one.

    Args:
        run: with the trained members.
        scored: the file that was scored.
        weights: of the members of the fit on everything, found on all out-of-fold clips.
    """
    path = run.folder / "model.tflite"
    if EVERYTHING in run.about.folds:
        write_tflite(members(run, EVERYTHING, weights), path, scored.options)
    else:
        write_atomically(path, lambda temporary: shutil.copyfile(scored.path, temporary))
    pack(path, run.folder / "submission.zip")
    return [path, run.folder / "submission.zip"]


# --- report -------------------------------------------------------------------------------------


def facts(run: Run, exported: Exported, ladder: Ladder, score: Score) -> dict[str, Any]:
    """What the report says, as plain values.

    Args:
        run: with the trained members.
        exported: the file that was scored.
        ladder: its parity with torch.
        score: of the file on the held-out clips.
    """
    fold = scored_fold(run)
    clips = run.clips[run.clips.fold == fold]
    return {
        "accuracy": score.accuracy,
        "nearest_neighbour": nearest_neighbour_accuracy(run, fold),
        "accuracy_torch": torch_accuracies(run, fold, exported.members),
        "by_signer": by_signer(run, score),
        "size_mb": exported.size_mb,
        "latency_ms": {"mean": score.mean_ms, "median": score.median_ms, "p95": score.p95_ms},
        "limits": {limit.name: limit.passed for limit in score.limits},
        "parity": {
            rung.name: {
                "difference": rung.difference,
                "agreement": rung.agreement,
                "passed": rung.passed,
            }
            for rung in ladder.rungs
        },
        "profile": run.about.profile,
        "data": run.about.data,
        "synthetic": (Path(run.about.data) / NOTE).is_file(),
        "clips": {
            "all": len(run.clips),
            "scored": score.clips,
            "training_only": int(run.clips.training_only.sum()),
        },
        "signs": len(run.store.signs),
        "participants": run.clips.participant.nunique(),
        "fold": fold,
        "fit_on_everything": EVERYTHING in run.about.folds,
        "held_out": sorted(clips.participant.unique().tolist()),
        "members": {
            member.name: {"parameters": member.parameters, "weight": member.weight}
            for member in exported.members
        },
        "seed": run.about.seed,
        "versions": _versions(),
    }


def torch_accuracies(run: Run, fold: int, members: Sequence[Member]) -> dict[str, float]:
    """Accuracy of each exported network by torch, on the same clips."""
    accuracies = {}
    for recipe in (run.recipe(member.name) for member in members):
        table = run.predictions(recipe.name)
        table = table[(table.role == recipe.shipped) & (table.fold == fold)]
        right = [np.argmax(row.logits) == row.label for row in table.itertuples()]
        accuracies[recipe.name] = float(np.mean(right))
    return accuracies


def by_signer(run: Run, score: Score) -> dict[str, dict[str, float]]:
    """Accuracy of the scored file, and the number of clips, of each held-out signer."""
    clips = held_out_clips(run, scored_fold(run))[: score.clips]
    right = clips.sign.map(run.store.signs) == score.predictions
    table = right.groupby(clips.participant_id).agg(accuracy="mean", clips="size")
    return {
        signer: {"accuracy": float(row.accuracy), "clips": int(row.clips)}
        for signer, row in table.iterrows()
    }


def write_report(run: Run, values: dict[str, Any]) -> list[Path]:
    """Write report.json, model_card.md and report.md."""
    return [
        write_json(run.folder / "report.json", values),
        write_text(run.folder / "model_card.md", model_card.markdown(values)),
        write_text(run.folder / "report.md", _markdown(values)),
    ]


def _markdown(values: dict[str, Any]) -> str:
    latency = values["latency_ms"]
    members = [
        (name, f"{member['parameters']:,}", f"{member['weight']:.2f}", _percent(accuracy))
        for (name, member), accuracy in zip(
            values["members"].items(), values["accuracy_torch"].values(), strict=True
        )
    ]
    rungs = [
        (
            name,
            f"{r['difference']:.1e}",
            _percent(r["agreement"]),
            "pass" if r["passed"] else "FAIL",
        )
        for name, r in values["parity"].items()
    ]
    limits = ", ".join(f"{n} {'pass' if ok else 'FAIL'}" for n, ok in values["limits"].items())
    return "\n".join(
        [
            f"# {_percent(values['accuracy'])} on held-out signers",
            "",
            f"Profile {values['profile']}, data {values['data']}: {values['clips']['all']:,} clips "
            f"of {values['signs']} signs. Scored: the .tflite file itself, on "
            f"{values['clips']['scored']:,} clips of fold {values['fold']}, signers "
            f"{', '.join(values['held_out'])}, whom no member has seen.",
            "",
            *_table(
                ("", "accuracy"),
                [
                    ("this file", _percent(values["accuracy"])),
                    ("nearest neighbour on raw hands", _percent(values["nearest_neighbour"])),
                ],
            ),
            "## The file",
            "",
            f"{values['size_mb']:.2f} MB; {latency['mean']:.2f} ms mean, {latency['median']:.2f} "
            f"median, {latency['p95']:.2f} p95 a clip on one thread; {limits}.",
            "",
            *_table(("member", "parameters", "weight", "accuracy by torch"), members),
            "## Parity with torch",
            "",
            *_table(("rung", "largest difference", "same sign", ""), rungs),
            "## Versions",
            "",
            ", ".join(f"{name} {number}" for name, number in values["versions"].items()),
            "",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return [*lines, ""]


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _versions() -> dict[str, str]:
    names = ("torch", "tensorflow", "numpy", "pandas")
    known = {"python": platform.python_version(), **{name: version(name) for name in names}}
    return known | {"interpreter": interpreter.runtime()}
