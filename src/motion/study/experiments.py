"""Everything that can be run by name: studies, baselines, taxonomy, GAN, and one network of ours.

`PUBLISHED` has every experiment at its published size and training; `resized` brings one to a
profile's size and time. What a profile changes is in the profile, and in the run's config.json.

- "ours": the spatio-temporal transformer made to learn quickly from little data: all 24 frames at
  once from every position of a short window, velocities as input, zero velocity as the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from src.common.errors import InputError
from src.motion.body.pose_space import FAIRMOTION, MOTION_TRANSFORMER, PoseFormat, Scaling
from src.motion.models import networks, seq2seq, st_conv, st_transformer, taxonomy, transformer
from src.motion.study.studies import STUDIES
from src.motion.training import gan
from src.motion.training.loop import Training
from src.motion.training.losses import JointNorm, MeanSquared
from src.motion.training.optimisers import Adam, Cosine, HalveOnPlateau, Noam, RmsProp, Sgd

BY_VARIANCE = Scaling("variance", floor=1e-3)
BY_STD = Scaling("std", floor=0.02)
OVER_SOURCES = Scaling("std", floor=0.02, over="sources")


@dataclass(frozen=True)
class Experiment:
    """A network, what it sees, and how it is trained.

    Args:
        name: of its folder in a run, and what it is run by.
        model: network and sizes.
        pose_format: joints and representation.
        scaling: of the channels.
        training: of the network, or of both networks of a GAN.
        mirror: train on the mirror image of every clip too.
    """

    name: str
    model: networks.Config | gan.Config
    pose_format: PoseFormat = MOTION_TRANSFORMER
    scaling: Scaling = BY_VARIANCE
    training: Training | gan.GanTraining = Training()
    mirror: bool = False


# 189,600 steps are 200 epochs of the 60,678 windows; the clip's bound is a Reading.
_SGD = Training(
    steps=189_600, batch=64, sampling="fixed", loss=MeanSquared(), optimiser=Sgd(),
    schedule=HalveOnPlateau(), validate_every=948, seed=1,
)  # fmt: skip
_NOAM = replace(
    _SGD, optimiser=Adam(betas=(0.9, 0.98)), schedule=Noam(width=512, warmup=4000, factor=2.0)
)


def _fairmotion(name: str, model: networks.Config, training: Training = _SGD) -> Experiment:
    return Experiment(name, model, FAIRMOTION, OVER_SOURCES, training)


_BASELINES = (
    _fairmotion("seq2seq", seq2seq.Config()),
    _fairmotion("tied-seq2seq", seq2seq.Config(kind="tied")),
    _fairmotion("rnn", seq2seq.Config(kind="single")),
    _fairmotion("transformer", transformer.Config(), _NOAM),
    _fairmotion("transformer-lstm", transformer.Config(lstm_decoder=True)),
    _fairmotion("taxonomy", taxonomy.Config(), _NOAM),
)
_GANS = tuple(
    Experiment(name, gan.Config(critic_sees=sees), FAIRMOTION, OVER_SOURCES, training)
    for name, sees, training in (
        ("gan", "target", gan.GanTraining()),
        ("gan-algorithm-1", "whole", gan.GanTraining(clipped="update", generator_loss="mse")),
        ("gan-sum", "target", gan.GanTraining(generator_loss="sum")),
    )
)
_OURS = Experiment(
    "ours",
    st_transformer.Config(
        width=64, feed_forward=128, heads=4, layers=4, window=30, frames_per_step=24,
        velocities=True, start_still=True,
    ),
    scaling=BY_STD,
    training=Training(
        sampling="uniform", loss=JointNorm("raw"), optimiser=Adam(2e-3, (0.9, 0.99), 0.01),
        schedule=Cosine(), average=0.99, validate_every=100,
    ),
    mirror=True,
)  # fmt: skip
PUBLISHED: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *(Experiment(study.name, study.model) for study in STUDIES),
        *_BASELINES,
        *_GANS,
        _OURS,
    )
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Sizes and time for a machine.

    Args:
        seconds: of each training, but for the best model's; 0 = as many as the steps take.
        best_seconds: of "ours".
        steps: of each training, at most.
        width: of the spatio-temporal networks; feed-forward is twice that.
        best_width: of "ours".
        heads: of their attentions.
        layers: of the published eight.
        window: frames they look back.
        frames_per_step: that they predict at once; the published one predicts one.
        hidden: of recurrent networks and fairmotion's transformers.
        batch: windows of a step.
        rate: peak of the learning rate.
        warmup: steps until it is reached.
        validate_every: steps between validations.
        average: decay of the moving average of the weights.
        rollout: frames of the long roll-out.
    """

    seconds: float = 0.0
    best_seconds: float = 0.0
    steps: int
    width: int
    best_width: int
    heads: int
    layers: int
    window: int
    frames_per_step: int
    hidden: int
    batch: int
    rate: float = 2e-3
    warmup: int = 50
    validate_every: int
    average: float = 0.99
    rollout: int = 1000


PROFILES = {
    # Mechanics only, in seconds: says nothing about accuracy.
    "sample": Profile(
        steps=60, width=16, best_width=16, heads=2, layers=2, window=20, frames_per_step=4,
        hidden=32, batch=16, validate_every=15, average=0.9, rollout=120,
    ),
    # Ten minutes on two cores with the corpus of real motion capture. A study gets some 200 steps:
    # small ones at a high rate, reached at once (batch 32 at 2e-3: joint angle 4.2 instead of 3.5).
    "cpu": Profile(
        seconds=13.0, best_seconds=130.0, steps=100_000, width=32, best_width=32, heads=4, layers=2,
        window=20, frames_per_step=24, hidden=128, batch=16, rate=4e-3, warmup=15,
        validate_every=50,
    ),
    # Ten minutes on one large GPU (an estimate: not measured).
    "gpu": Profile(
        seconds=15.0, best_seconds=120.0, steps=100_000, width=64, best_width=96, heads=4, layers=4,
        window=40, frames_per_step=24, hidden=256, batch=128, validate_every=100,
    ),
}  # fmt: skip


def profile_named(name: str) -> Profile:
    """One of `PROFILES`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in PROFILES:
        raise InputError(f"PROFILE: expected {', '.join(PROFILES)}, got {name!r}")
    return PROFILES[name]


CONVOLUTIONS_NEED = 48  # five valid convolutions of dilation 2 take 40 features away


def resized(experiment: Experiment, profile: Profile) -> Experiment:
    """An experiment at a profile's size and time.

    What is kept is what the experiment is about. Changed besides sizes: every network predicts
    changes instead of poses, channels are scaled by standard deviation, pose losses weigh joints by
    their raw difference, mirrored clips are trained on too.
    """
    return replace(
        experiment,
        model=_resized_model(experiment.model, profile, experiment.name == _OURS.name),
        scaling=replace(BY_STD, over=experiment.scaling.over),
        training=_resized_training(experiment, profile),
        mirror=True,
    )


def _resized_model(
    model: networks.Config | gan.Config, profile: Profile, best: bool
) -> networks.Config | gan.Config:
    match model:
        case st_transformer.Config():
            width = profile.best_width if best else profile.width
            missing = 0 if best else st_transformer.Config().layers - model.layers
            return replace(
                model, width=width, feed_forward=2 * width, heads=profile.heads,
                layers=profile.layers - missing, window=profile.window,
                frames_per_step=24 if best else profile.frames_per_step, start_still=True,
                dropout=0.0 if best else model.dropout,
            )  # fmt: skip
        case st_conv.Config():
            return replace(
                model, width=max(profile.width, CONVOLUTIONS_NEED),
                feed_forward=2 * profile.width, time_heads=profile.heads,
                feature_heads=profile.heads, layers=profile.layers, window=profile.window,
                frames_per_step=profile.frames_per_step, start_still=True,
            )  # fmt: skip
        case seq2seq.Config():
            return replace(model, hidden=profile.hidden, residual=True, window=profile.window)
        case transformer.Config():
            return replace(
                model, hidden=profile.hidden, residual=True, window=profile.window, dropout=0.1
            )
        case taxonomy.Config():
            inner = _resized_model(model.transformer, profile, best)
            return replace(model, transformer=inner, identity=True)
        case gan.Config():
            return replace(model, generator=_resized_model(model.generator, profile, best))


def _resized_training(experiment: Experiment, profile: Profile) -> Training | gan.GanTraining:
    common = {
        "steps": profile.steps,
        "batch": profile.batch,
        "validate_every": profile.validate_every,
        "sampling": "uniform",
        "optimiser": Adam(profile.rate, (0.9, 0.99), 0.01),
    }
    seconds = profile.best_seconds if experiment.name == _OURS.name else profile.seconds
    match experiment.training:
        case gan.GanTraining():
            thirds = max(2, profile.steps // 3)  # a step of a GAN trains the critic five times
            return replace(
                experiment.training, batch=profile.batch, sampling="uniform", steps=thirds,
                seconds=seconds, pretraining=0.5, optimiser=RmsProp(5e-4),
                validate_every=max(1, profile.validate_every // 3),
            )  # fmt: skip
        case Training():
            return replace(
                experiment.training, **common, seconds=seconds, schedule=Cosine(profile.warmup),
                average=profile.average, loss=JointNorm("raw"), patience=1000, clip_norm=1.0,
            )  # fmt: skip
