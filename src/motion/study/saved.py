"""Experiments as JSON: a run saves each one, so its network can be built again.

Where a field can hold one of several kinds, the JSON names the kind. These names are listed here
and do not depend on modules or classes, so saved runs still load when code has moved.
"""

import json
from pathlib import Path
from typing import Any

import cattrs
from cattrs.strategies import configure_tagged_union

from src.common.errors import InputError
from src.motion.models import mixer, seq2seq, st_conv, st_transformer, taxonomy, transformer
from src.motion.study.experiments import AnyTraining, Experiment, Model
from src.motion.training import gan, losses, optimisers
from src.motion.training.loop import Training
from src.recipes.ingredients import AdamW, Cosine, OnPlateau

KINDS: dict[str, type] = {
    "spatio-temporal transformer": st_transformer.Config,
    "attention and convolutions": st_conv.Config,
    "recurrent": seq2seq.Config,
    "transformer": transformer.Config,
    "taxonomy": taxonomy.Config,
    "mixer": mixer.Config,
    "gan": gan.Config,
    "training": Training,
    "gan training": gan.GanTraining,
    "joint norm": losses.JointNorm,
    "world rotations": losses.WorldRotations,
    "mean squared": losses.MeanSquared,
    "adamw": AdamW,
    "sgd": optimisers.Sgd,
    "rmsprop": optimisers.RmsProp,
    "cosine": Cosine,
    "on plateau": OnPlateau,
    "noam": optimisers.Noam,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
for _union in (  # a union comes before the classes that hold it
    losses.Loss,
    optimisers.Optimiser,
    optimisers.Schedule,
    AnyTraining,
    Model,
):
    configure_tagged_union(_union, _CONVERTER, _NAMES.__getitem__, tag_name="type")


def to_json(experiment: Experiment) -> dict[str, Any]:
    """An experiment as plain values."""
    return _CONVERTER.unstructure(experiment)


def load(path: Path) -> Experiment:
    """Read config.json.

    Raises:
        InputError: the file is missing, or not of the form that `to_json` gives today.
    """
    try:
        return _CONVERTER.structure(json.loads(path.read_text()), Experiment)
    except Exception as error:  # cattrs raises groups of whatever went wrong in each field
        reasons = "; ".join(cattrs.transform_error(error, path="experiment"))
        raise InputError(
            f"{path}: expected an experiment as this version writes it, found: {reasons}; run it "
            "again"
        ) from error
