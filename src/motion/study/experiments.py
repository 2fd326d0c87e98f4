"""Everything that can be run by name: studies, baselines, taxonomy, GAN, and one network of ours.

`PUBLISHED` has every experiment at its published size and training; `resized` gives it a profile's
size and time. A run's config.json has the values after resizing.

- "02-width-128" is study 02 at the published width in every profile: the document's Fig. 5 shows
  the columns of an embedding of 128 channels, and its text is about columns 40 to 50. In the same
  way `Profile.deep` keeps the published depth for Fig. 7 and 11.
- "ours" is a mixer, made to learn quickly from little data: it predicts all 24 frames at once from
  a short window, starts from zero velocity, and its loss compares global rotations, like the score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from src.common.errors import InputError, check_choice
from src.motion import models
from src.motion.body.pose_space import CHANNELS, FAIRMOTION, MOTION_TRANSFORMER, PoseFormat, Scaling
from src.motion.data.windows import SEED, TARGET
from src.motion.models import mixer, seq2seq, st_conv, st_transformer, taxonomy, transformer
from src.motion.study.studies import STUDIES
from src.motion.training import gan
from src.motion.training.loop import Training
from src.motion.training.losses import JointNorm, MeanSquared, WorldRotations
from src.motion.training.optimisers import Noam, RmsProp, Sgd
from src.recipes.ingredients import AdamW, Cosine, OnPlateau

RATES = (60, 30, 20, 10)  # frames a second that a network can see
BY_VARIANCE = Scaling("variance", floor=1e-3)
BY_STD = Scaling("std", floor=0.02)
OVER_SOURCES = Scaling("std", floor=0.02, over="sources")

Model = models.Config | gan.Config
AnyTraining = Training | gan.GanTraining


@dataclass(frozen=True)
class Experiment:
    """A network, what it sees, and how it is trained."""

    name: str  # for `STUDIES`, and the name of its folder in a run
    model: Model
    pose_format: PoseFormat = MOTION_TRANSFORMER
    scaling: Scaling = BY_VARIANCE
    training: AnyTraining = Training()
    mirror: bool = False  # train on the mirror image of every clip too
    speeds: tuple[float, ...] = ()  # also train on clips played this many times as fast
    every: int = 1  # the network sees every n-th frame of 60 Hz; 6 = 10 a second


# 189,600 steps are 200 epochs of the 60,678 windows. The bound of the gradient is a Reading.
_SGD = Training(
    steps=189_600, batch=64, sampling="fixed", loss=MeanSquared(), optimiser=Sgd(),
    schedule=OnPlateau(factor=0.5, patience=5), validate_every=948, seed=1,
)  # fmt: skip
_NOAM = replace(
    _SGD,
    optimiser=AdamW(lr=1e-3, betas=(0.9, 0.98)),
    schedule=Noam(width=512, warmup=4000, factor=2.0),
)


def _fairmotion(name: str, model: Model, training: AnyTraining = _SGD) -> Experiment:
    return Experiment(name, model, FAIRMOTION, OVER_SOURCES, training)


_OURS = Experiment(
    "ours",
    mixer.Config(),
    scaling=BY_STD,
    training=Training(
        steps=3000, sampling="uniform", loss=WorldRotations(),
        optimiser=AdamW(lr=3e-3, betas=(0.9, 0.99), weight_decay=0.2), schedule=Cosine(floor=0.01),
        warmup=100, average=0.99, validate_every=100, patience=1000,
    ),
    mirror=True,
    speeds=(0.85, 1.15),
)  # fmt: skip
WIDE = "02-width-128"
PUBLISHED: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *(Experiment(study.name, study.model) for study in STUDIES),
        Experiment(WIDE, st_transformer.Config()),
        _fairmotion("seq2seq", seq2seq.Config()),
        _fairmotion("tied-seq2seq", seq2seq.Config(kind="tied")),
        _fairmotion("rnn", seq2seq.Config(kind="single")),
        _fairmotion("transformer", transformer.Config(), _NOAM),
        _fairmotion("transformer-lstm", transformer.Config(lstm_decoder=True)),
        _fairmotion("taxonomy", taxonomy.Config(), _NOAM),
        _fairmotion("gan", gan.Config(), gan.GanTraining()),
        _fairmotion(
            "gan-algorithm-1",
            gan.Config(critic_sees="whole"),
            gan.GanTraining(clipped="update", generator_loss="mse"),
        ),
        _fairmotion("gan-sum", gan.Config(), gan.GanTraining(generator_loss="sum")),
        _OURS,
    )
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Sizes and time for a machine."""

    seconds: float = 0.0  # of each training except "ours"; 0 = as many as the steps take
    steps: int  # of each training, at most
    width: int  # of the spatio-temporal networks; their feed-forward is twice as wide
    heads: int  # of their attentions
    layers: int  # in place of the published eight
    window: int  # frames they look back
    frames_per_step: int  # frames they predict at once; the published transformer predicts one
    hidden: int  # units of recurrent networks and of fairmotion's transformers
    batch: int  # windows of a step
    rate: float = 2e-3  # peak of the learning rate
    warmup: int = 50  # steps until it is reached
    validate_every: int  # steps
    average: float = 0.99  # decay of the moving average of the weights
    rollout: int = 1000  # frames of the long roll-out
    seeds: int = 3  # trainings of each of the best five experiments
    large_steps: int = 100_000  # of networks at the published depth or width, see the module

    @property
    def deep(self) -> Profile:
        """The profile at the published depth, for Fig. 7 and 11, where few layers say nothing."""
        return replace(
            self, layers=st_transformer.Config().layers, steps=min(self.steps, self.large_steps)
        )


PROFILES = {
    # A few seconds: shows that the code works, says nothing about accuracy.
    "sample": Profile(
        steps=30, width=16, heads=2, layers=2, window=20, frames_per_step=4,
        hidden=32, batch=16, validate_every=10, average=0.9, rollout=120,
        seeds=2, large_steps=5,
    ),
    # Ten minutes on two cores with the corpus of real motion capture. A study gets some 200 steps,
    # so its batches are small, and its rate is high and reached early (batch 32 at rate 2e-3 gives
    # a joint angle of 4.2 instead of 3.5).
    "cpu": Profile(
        seconds=13.0, steps=100_000, width=32, heads=4, layers=2,
        window=20, frames_per_step=24, hidden=128, batch=16, rate=4e-3, warmup=15,
        validate_every=50,
    ),
    # Ten minutes on one large GPU (an estimate: not measured).
    "gpu": Profile(
        seconds=15.0, steps=100_000, width=64, heads=4, layers=4,
        window=40, frames_per_step=24, hidden=256, batch=128, validate_every=100,
    ),
}  # fmt: skip


def profile_named(name: str) -> Profile | None:
    """One of `PROFILES`, or None for "published": sizes and trainings as printed.

    Raises:
        InputError: there is no profile of that name.
    """
    check_choice("PROFILE", name, (*PROFILES, "published"))
    return PROFILES.get(name)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Values that can be changed in every experiment of a run; the defaults change nothing.

    Raises:
        InputError: the weight is negative, or the representation or the rate is unknown.
    """

    smoothness: float = 0.0  # weight of HP-GAN's pose gradient in the loss of GANs
    representation: str = ""  # of rotations, in place of each experiment's own; "" = its own
    rate: int = 60  # frames a second that networks see, one of `RATES`; GANs keep 60

    def __post_init__(self):
        if not self.smoothness >= 0:
            raise InputError(f"SMOOTHNESS: expected 0 or more, found {self.smoothness}")
        check_choice("REPRESENTATION", self.representation, ("", *CHANNELS))
        check_choice("NETWORK_FPS", self.rate, RATES)

    def of(self, experiment: Experiment) -> Experiment:
        if self.representation:
            changed = replace(experiment.pose_format, representation=self.representation)
            experiment = replace(experiment, pose_format=changed)
        if isinstance(experiment.training, gan.GanTraining):
            smoothness = self.smoothness or experiment.training.smoothness
            return replace(experiment, training=replace(experiment.training, smoothness=smoothness))
        every = RATES[0] // self.rate
        model = _thinned(experiment.model, SEED // every, TARGET // every)
        return replace(experiment, model=model, every=every)


def _thinned(model: models.Config, window: int, target: int) -> models.Config:
    """A network that looks back at most `window` frames and adds at most `target` frames."""
    match model:
        case st_transformer.Config() | st_conv.Config() | mixer.Config():
            steps = min(target, model.frames_per_step)
            return replace(model, window=min(window, model.window), frames_per_step=steps)
        case seq2seq.Config() | transformer.Config():
            return replace(model, window=min(window, model.window), target=target)
        case taxonomy.Config():
            return replace(model, transformer=_thinned(model.transformer, window, target))


CONVOLUTIONS_NEED = 48  # five valid convolutions of dilation 2 take 40 features away


def resized(experiment: Experiment, profile: Profile) -> Experiment:
    """An experiment at a profile's size and time.

    The choices that the experiment studies stay. Besides sizes, four things change: every network
    predicts changes instead of poses, channels are scaled by standard deviation, losses are of raw
    differences, and mirrored clips are trained on too. "ours" has one size for all profiles, and is
    bounded by steps instead of seconds.
    """
    if experiment.name == _OURS.name:
        own = experiment.training
        steps, every = min(own.steps, profile.steps), profile.validate_every
        return replace(experiment, training=replace(own, steps=steps, validate_every=every))
    if experiment.name == WIDE:
        width = st_transformer.Config().width
        profile = replace(profile, width=width, steps=min(profile.steps, profile.large_steps))
    return replace(
        experiment,
        model=_resized_model(experiment.model, profile),
        scaling=replace(BY_STD, over=experiment.scaling.over),
        training=_resized_training(experiment.training, profile),
        mirror=True,
    )


def _resized_model(model: Model, profile: Profile) -> Model:
    match model:
        case st_transformer.Config():
            missing = st_transformer.Config().layers - model.layers
            return replace(
                model, width=profile.width, feed_forward=2 * profile.width, heads=profile.heads,
                layers=profile.layers - missing, window=profile.window,
                frames_per_step=profile.frames_per_step, start_still=True,
            )  # fmt: skip
        case st_conv.Config():
            return replace(
                model, width=max(profile.width, CONVOLUTIONS_NEED),
                feed_forward=2 * profile.width, time_heads=profile.heads,
                feature_heads=profile.heads, layers=profile.layers, window=profile.window,
                frames_per_step=profile.frames_per_step, start_still=True,
            )  # fmt: skip
        case seq2seq.Config() | transformer.Config():
            return replace(
                model, hidden=profile.hidden, residual=True, window=profile.window, dropout=0.1
            )
        case taxonomy.Config():
            inner = _resized_model(model.transformer, profile)
            return replace(model, transformer=inner, identity=True)
        case gan.Config():
            return replace(model, generator=_resized_model(model.generator, profile))


def _resized_training(training: AnyTraining, profile: Profile) -> AnyTraining:
    common = {"seconds": profile.seconds, "batch": profile.batch, "sampling": "uniform"}
    if isinstance(training, gan.GanTraining):
        return replace(
            training, **common, pretraining=0.5, optimiser=RmsProp(lr=5e-4),
            steps=max(2, profile.steps // 3),  # each of which trains the critic five times
            validate_every=max(1, profile.validate_every // 3),
        )  # fmt: skip
    return replace(
        training, **common, steps=profile.steps, validate_every=profile.validate_every,
        optimiser=AdamW(lr=profile.rate, betas=(0.9, 0.99), weight_decay=0.01),  # for few steps
        schedule=Cosine(floor=0.01), warmup=profile.warmup, average=profile.average,
        loss=JointNorm("raw"), patience=1000,
    )  # fmt: skip
