"""What is reported about a scored file: report.md, report.json, and the model card beside them.

All three are made from the same facts, and say which data the figures are about.
"""

import platform
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from src.common.files import write_json, write_text
from src.common.markdown import as_markdown
from src.dataset import folds
from src.dataset import store as stores
from src.dataset.folds import EVERYTHING
from src.dataset.sample import is_synthetic
from src.evaluation import baselines
from src.evaluation.ensemble import Rule, Tables, Votes, on_fold, together
from src.evaluation.tables import accuracy, stacked
from src.runs import Run
from src.submission import model_card
from src.submission.assemble import held_out_clips, scored_fold
from src.tflite import interpreter
from src.tflite.export import Exported
from src.tflite.parity import Ladder
from src.tflite.scorer import Score


def facts(
    run: Run,
    exported: Exported,
    submitted: Exported,
    ladder: Ladder,
    score: Score,
    votes: Votes,
    rule: Rule = "fitted",
) -> dict[str, Any]:
    """What the report says about a run's files, as plain values.

    For the scored file (`exported`, with `votes` by `rule`), what it answers and costs; for the
    submitted file, which may be a fit on everything, what it is made of.
    """
    fold, trained = scored_fold(run), run.shipped_predictions()
    tables = {name: trained[name] for name in votes}
    # What torch answers to the clips that the file is scored on.
    scored = held_out_clips(run, fold)[: score.clips].sequence
    here = {name: table[table.sequence.isin(scored)] for name, table in tables.items()}
    probabilities = softmax(stacked(together(here, votes, rule)), axis=1)
    neighbour = partial(nearest_neighbour_accuracy, run, fold, scored)
    return {
        "accuracy": score.accuracy,
        "nearest_neighbour": neighbour(baselines.raw_hands),
        "nearest_neighbour_aligned": neighbour(baselines.aligned_hands),
        "accuracy_all_folds": accuracy_of_all_folds(tables, rule),
        "accuracy_torch": {m.name: accuracy(here[m.name]) for m in exported.members},
        "by_signer": by_signer(run, score),
        "size_mb": exported.size_mb,
        "latency_ms": score.latencies,
        "limits": {limit.name: limit.passed for limit in score.limits},
        "parity": {
            rung.name: {key: getattr(rung, key) for key in ("difference", "agreement", "passed")}
            for rung in ladder.rungs
        },
        "parity_missing": ladder.no_second_route,
        "profile": run.about.profile,
        "data": run.about.data,
        "origin": origin(run),
        "clips": {
            "all": len(run.clips),
            "scored": score.clips,
            "training_only": int(run.clips.training_only.sum()),
            "extra": stores.extra_clips(run.store),
        },
        "signs": run.clips.sign.nunique(),  # the map may name more
        "outputs": len(run.store.signs),
        "participants": run.clips.participant.nunique(),
        "fold": fold,
        "fit_on_everything": EVERYTHING in run.about.folds,
        "held_out": sorted(run.clips.participant[run.clips.fold == fold].unique().tolist()),
        "signers_seen": folds.shared_signers(run.clips, fold),
        "members": _members_of(exported),
        "left_out": sorted({*trained} - {member.name for member in exported.members}),
        "submitted": {"size_mb": submitted.size_mb, "members": _members_of(submitted)},
        "mean_of": exported.options.pool,
        "confidence": float(probabilities.max(1).mean()),
        "seed": run.about.seed,
        "versions": _versions(),
    }


def _members_of(file: Exported) -> dict[str, dict[str, float]]:
    return {
        member.name: {
            "parameters": member.parameters,
            "weight": member.weight,
            "temperature": member.core.temperature,
        }
        for member in file.members
    }


def origin(run: Run) -> model_card.Origin:
    """Where the run's clips come from."""
    if is_synthetic(run.data):
        return "synthetic"
    tested = run.clips[~run.clips.training_only]
    return "competition" if folds.of_the_competition(tested.participant) else "other"


def accuracy_of_all_folds(tables: Tables, rule: Rule) -> dict[str, float]:
    """Cross-validated accuracy of the ensemble by torch; empty if only one fold is trained."""
    trained = next(iter(tables.values())).fold.unique().tolist()
    if len(trained) < 2:
        return {}
    predicted = pd.concat([on_fold(tables, fold, rule) for fold in trained])
    return {"folds": len(trained), "accuracy": accuracy(predicted)}


def by_signer(run: Run, score: Score) -> dict[str, dict[str, float]]:
    """The scored file's accuracy and number of clips, for each held-out signer."""
    clips = held_out_clips(run, scored_fold(run))[: score.clips]
    right = clips.sign.map(run.store.signs) == score.predictions
    return right.groupby(clips.participant).agg(accuracy="mean", clips="size").to_dict("index")


def write_report(run: Run, values: dict[str, Any]) -> list[Path]:
    """Write report.json, model_card.md and report.md."""
    return [
        write_json(run.folder / "report.json", values),
        write_text(run.folder / "model_card.md", model_card.markdown(values)),
        write_text(run.folder / "report.md", markdown(values)),
    ]


def markdown(facts: Mapping[str, Any]) -> str:
    """The text of report.md: the values of report.json in words."""
    latency = facts["latency_ms"]
    limits = (f"{name} {'pass' if met else 'FAIL'}" for name, met in facts["limits"].items())
    versions = (f"{name} {number}" for name, number in facts["versions"].items())
    which, seen = "signers", "whom no member has seen"
    if facts["signers_seen"]:
        which, seen = "clips", "whom the members know from other clips"
    extra = facts["clips"]["extra"]
    others = f", {extra:,} of them from other collections" if extra else ""
    return f"""\
# {facts["accuracy"]:.1%} on held-out {which}

Profile {facts["profile"]}, data {facts["data"]}: {facts["clips"]["all"]:,} clips of \
{facts["signs"]} signs{others}. Scored: the .tflite file itself, on \
{facts["clips"]["scored"]:,} clips of fold {facts["fold"]}, signers \
{", ".join(sorted(facts["by_signer"]))}, {seen}.

{_accuracies(facts)}

## The file

{facts["size_mb"]:.2f} MB; {latency["mean"]:.2f} ms mean, {latency["median"]:.2f} median, \
{latency["p95"]:.2f} p95 a clip on one thread; {", ".join(limits)}.

{_members(facts)}

## Parity with torch

{_parity(facts)}

## Versions

{", ".join(versions)}
"""


def _accuracies(facts: Mapping[str, Any]) -> str:
    shares = {
        "this file": facts["accuracy"],
        "nearest neighbour on raw hands": facts["nearest_neighbour"],
        "nearest neighbour, hands aligned": facts["nearest_neighbour_aligned"],
    }
    if cross := facts["accuracy_all_folds"]:
        row = f"all {cross['folds']} folds, each by networks that did not see it, by torch"
        shares[row] = cross["accuracy"]
    return as_markdown(pd.Series(shares, name="accuracy").map("{:.1%}".format))


def _members(facts: Mapping[str, Any]) -> str:
    table = pd.DataFrame.from_dict(facts["members"], orient="index").astype({"parameters": int})
    table["accuracy by torch"] = pd.Series(facts["accuracy_torch"]).map("{:.1%}".format)
    table["parameters"] = table["parameters"].map("{:,}".format)
    for column in ("weight", "temperature"):
        table[column] = table[column].map("{:.2f}".format)
    left_out = ", ".join(facts["left_out"])
    return as_markdown(table) + (
        f"\n\nTrained, but not in the file: {left_out}." if left_out else ""
    )


def _parity(facts: Mapping[str, Any]) -> str:
    rungs = pd.DataFrame.from_dict(facts["parity"], orient="index")
    table = {
        "largest difference": rungs.difference.map("{:.1e}".format),
        "same sign": rungs.agreement.map("{:.1%}".format),
        "": rungs.passed.map({True: "pass", False: "FAIL"}),
    }
    missing = facts["parity_missing"]
    reason = f"\n\nNo rungs by ONNX: {missing}." if missing else ""
    return as_markdown(pd.DataFrame(table)) + reason


def _versions() -> dict[str, str]:
    names = ("torch", "tensorflow", "numpy", "pandas")
    known = {"python": platform.python_version(), **{name: version(name) for name in names}}
    return known | {"interpreter": interpreter.runtime()}


def nearest_neighbour_accuracy(run: Run, fold: int, scored: pd.Series, vector: Callable) -> float:
    """Nearest neighbour's accuracy on the scored clips, looked up among clips not held out.

    `scored` are sequence numbers; `vector` is `baselines.raw_hands` or `baselines.aligned_hands`.
    """
    learnt = (run.clips.fold != fold).to_numpy()
    asked, label = run.clips.sequence.isin(scored).to_numpy(), run.store.clips.label.to_numpy()
    train, test = (
        (run.store.whole_frames(i) for i in np.flatnonzero(chosen)) for chosen in (learnt, asked)
    )
    predicted = baselines.nearest_neighbour(train, label[learnt], test, vector)
    return float((predicted == label[asked]).mean())
