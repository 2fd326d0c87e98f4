"""The model card: what a run's model.tflite is, for whoever finds the file without the run.

- It is made from the values of report.json alone, so the two cannot contradict each other.
- Accuracy is the scored file's on held-out clips. If clips are synthetic, "Data" says so first.
"""

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from src.common.markdown import as_markdown
from src.landmarks import N_LANDMARKS, PARTS

Origin = Literal["synthetic", "competition", "other"]  # of the clips

COMPETITION = "https://www.kaggle.com/competitions/asl-signs"
SYNTHETIC = (
    "**Synthetic clips**: drawn by this project's own generator under its licence. No genuine sign "
    "was learned, and no figure below says anything about people."
)
TERMS: dict[Origin, str] = {
    "synthetic": SYNTHETIC,
    "competition": "The clips are those of Google - Isolated Sign Language Recognition "
    f"({COMPETITION}), published under CC BY 4.0: name that source when you pass this file on.",
    "other": "The terms of the clips are not known here. Before you pass this file on, ask those "
    "who published them or, if they are your own videos, the people who sign in them.",
}
USE = """\
It names the sign in a clip of one sign by one signer, from the landmarks of MediaPipe Holistic. It
is meant for research, teaching, and games that help people practise signs.

Do not use it to interpret between people, where a wrong sign could harm anyone, or to tell who is
signing, how well, or what a person is like. It knows the isolated signs of one list: no sentences,
fingerspelling or grammar. For a sign that is not on the list, the answer is one that is."""
LANDMARKS: dict[Origin, str] = {
    "synthetic": "drawn ones; those that MediaPipe finds in a video differ",
    "competition": "those of the competition's MediaPipe, 0.9.0.1; another version's differ",
    "other": "those of one version of MediaPipe; another version's differ",
}
LIMITS = (
    "Signers: accuracy differs from one to another, see the table. Few were seen in training, and "
    "people who sign differently, or are filmed differently, get worse answers.",
    "Landmarks: the network was trained on {landmarks}. With a mirrored picture, or parts in "
    "another order, it answers confident nonsense.",
    "Hands: one that MediaPipe loses is missing for the network too; the answer to a clip without "
    "any detected hand means nothing.",
)


def markdown(facts: Mapping[str, Any]) -> str:
    """The card, from the values of report.json."""
    terms = TERMS[facts["origin"]]
    sections = {
        "What it is": _what(facts),
        "Data": _data(facts),
        "Folds": _folds(facts),
        "Accuracy per signer": _signers(facts),
        "Size and latency": _costs(facts),
        "Intended use": USE,
        "Limits": _limits(facts),
        "Licence": f"{terms}\n\nThe code that made the file is under the MIT licence.",
    }
    title = f"# Model card: isolated signs, {facts['signs']} of them"
    return "\n\n".join([title, *(f"## {name}\n\n{text}" for name, text in sections.items()), ""])


def _what(facts: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{size} {part.replace('_', ' ')}" for part, size in PARTS.items())
    members = [
        f"- `{name}`: {member['parameters']:,} parameters, weight {member['weight']:.2f}"
        for name, member in facts["submitted"]["members"].items()
    ]
    networks = "One trained network" if len(members) == 1 else f"{len(members)} trained networks"
    return (
        f"A TensorFlow Lite file. Signature `serving_default`: `inputs`, float32 [frames, "
        f"{N_LANDMARKS}, 3], the raw landmarks of one clip in MediaPipe's order ({parts}), x "
        "and y in picture widths and heights, NaN = not detected; "
        f"`outputs`, float32 [{facts['outputs']}], a number per sign; the largest is the answer.\n"
        f"Preprocessing is part of the file.\n\n{networks}:\n\n" + "\n".join(members)
    )


def _data(facts: Mapping[str, Any]) -> str:
    clips = facts["clips"]
    lines = [
        f"{clips['all']:,} clips of {facts['signs']} signs by {facts['participants']} signers, "
        f"from `{facts['data']}`."
    ]
    if facts["outputs"] > facts["signs"]:
        lines.append(f"The map names {facts['outputs']} signs: those without clips are not known.")
    if facts["origin"] == "synthetic":
        lines.insert(0, SYNTHETIC)
    if own := clips["training_only"] - clips["extra"]:
        lines.append(f"{own:,} of the clips are for training only, as the folder itself says.")
    if clips["extra"]:
        lines.append(
            f"{clips['extra']:,} of the clips come from other collections, were used only for "
            "training, and have their own terms."
        )
    return "\n".join(lines)


def _folds(facts: Mapping[str, Any]) -> str:
    signers = f"fold {facts['fold']} ({len(facts['held_out'])}: {', '.join(facts['held_out'])})."
    text = f"Signers, not clips, were held out. The scored file never saw the signers of {signers}"
    if facts["signers_seen"]:
        text = (
            "The held-out clips are by signers who also sign clips that were trained on: the "
            f"figures say nothing about others. The scored clips are by the signers of {signers}"
        )
    if facts["fit_on_everything"]:
        return (
            f"{text}\n\nThe file beside this card was fitted in the same way with no fold held "
            "out, so it knows these signers: it cannot be scored, and the figures are the scored "
            "file's."
        )
    return f"{text} It is the file beside this card."


def _signers(facts: Mapping[str, Any]) -> str:
    table = pd.DataFrame.from_dict(facts["by_signer"], orient="index").sort_values("accuracy")
    everyone = {"accuracy": facts["accuracy"], "clips": facts["clips"]["scored"]}
    table = pd.concat([table, pd.DataFrame(everyone, ["all"])])  # a signer may be named "all", too
    shown = {
        "clips": table.clips.map("{:.0f}".format),
        "accuracy": table.accuracy.map("{:.1%}".format),
    }
    whose = "signer" if facts["signers_seen"] else "held-out signer"
    rows = as_markdown(pd.DataFrame(shown).rename_axis(whose))
    return (
        f"{rows}\n\nNearest neighbour on raw hand coordinates, on the same clips: "
        f"{facts['nearest_neighbour']:.1%}; with the signing hand aligned: "
        f"{facts['nearest_neighbour_aligned']:.1%}; chance: {1 / facts['signs']:.1%}."
    )


def _costs(facts: Mapping[str, Any]) -> str:
    latency = facts["latency_ms"]
    limits = [f"{name} {'met' if met else 'NOT MET'}" for name, met in facts["limits"].items()]
    which = " (of the scored file)" if facts["fit_on_everything"] else ""
    return (
        f"{facts['submitted']['size_mb']:.2f} MB. {latency['mean']:.2f} ms mean, "
        f"{latency['median']:.2f} median, {latency['p95']:.2f} p95 a clip, on one thread of the "
        f"machine that made it{which}. The "
        f"competition's limits: {', '.join(limits)}."
    )


def _limits(facts: Mapping[str, Any]) -> str:
    limits = [limit.format(landmarks=LANDMARKS[facts["origin"]]) for limit in LIMITS]
    return "\n".join(f"- {limit}" for limit in [*limits, _confidence(facts)])


def _confidence(facts: Mapping[str, Any]) -> str:
    """Say what a probability means, or that the file is not calibrated."""
    members = facts["submitted"]["members"].values()
    one_fold = not facts["accuracy_all_folds"]
    if one_fold or all(member["temperature"] == 1 for member in members):
        return (
            "Probabilities are not calibrated: 90 % does not mean right nine times out of ten."
            + " Calibration needs a second trained fold." * one_fold
        )
    which = "clips" if facts["signers_seen"] else "signers"
    where, scored = f"on other {which} than those scored", ""
    if facts["fit_on_everything"]:  # the two files have different temperatures
        raw = all(member["temperature"] == 1 for member in facts["members"].values())
        scored = ", which is not calibrated," if raw else f", calibrated {where},"
        where = f"on the held-out {which} of all folds"
    return (
        f"Probabilities are calibrated {where}. The scored file{scored} gives its answers "
        f"{facts['confidence']:.1%} on average; {facts['accuracy']:.1%} are right. "
        "For signers unlike those in the data, these two figures may be further apart."
    )
