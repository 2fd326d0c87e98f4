"""The Wasserstein GAN of section 2.2, with options where the document contradicts itself.

A generator continues 120 frames by 24; a critic gives for every joint the probability that its
motion is real. Each is a transformer encoder with an LSTM decoder, 512 units (Reading).
Where text and Algorithm 1 differ, the text is the default:

| | text | algorithm |
|---|---|---|
| what is clipped | the critic's weights | the critic's update (line 6) |
| the generator minimises | the critic's distance from 1 | its own mean square (lines 8-10) |
| the critic sees | the 24 target frames | seed and target (lines 4-5) |

- EMD(p, q): mean square of the difference of the cumulative sums over joints (Reading of equation
  1, whose brackets are broken in print).
- In training the first input of the critic's decoder is the answer (1 real, 0 fake); in validation
  it is noise. The critic can simply copy the answer, so `critic_emd` is measured with noise.
- The document takes its hyper-parameters from its reference [11] without naming them; the defaults
  here are those of the literature on WGANs.
"""

import copy
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.motion.body.pose_space import Normaliser
from src.motion.data.sampling import Sampling
from src.motion.models import transformer
from src.motion.training import optimisers
from src.motion.training.loop import Stoppable
from src.motion.training.losses import MeanSquared, forecast_loss
from src.motion.training.task import Task, forecasts

PARTS = ("generator", "critic", "generator_optimiser", "critic_optimiser")  # each has a state


@dataclass(frozen=True, kw_only=True)
class Config:
    """The two networks; the critic has the sizes of the generator."""

    generator: transformer.Config = transformer.Config(hidden=512, lstm_decoder=True)
    critic_sees: Literal["target", "whole"] = "target"  # the target frames, or the seed too


@dataclass(frozen=True, kw_only=True)
class GanTraining:
    steps: int = 20_000  # of the generator, at most
    seconds: float = 0.0  # at most, of CPU or GPU; 0 = no bound
    batch: int = 64  # windows of a step
    sampling: Sampling = "fixed"  # of training windows
    critic_steps: int = 5  # before each step of the generator
    clip: float = 0.01  # largest weight or change, see `clipped`
    clipped: Literal["weights", "update"] = "weights"  # or each weight's change in a step

    # "adversarial": mean square of critic's output - 1; "mse": of forecast - truth; "sum": both.
    generator_loss: Literal["adversarial", "mse", "sum"] = "adversarial"

    # Weight of HP-GAN's pose gradient, (sum_t |y_t - y_(t-1)|^2)^(1/2), the document's equation 2.
    # Its bone term is 0, because bones are fixed.
    smoothness: float = 0.0

    # Share of the training in which the generator learns the truth by mean square, without a
    # critic; 0 in the document. In a short training the critic has too little time to learn what a
    # body is, and the generator's bodies fall apart (ours).
    pretraining: float = 0.0
    optimiser: optimisers.Optimiser = field(default_factory=optimisers.RmsProp)  # of both networks
    validate_every: int = 500  # generator steps
    seed: int = 1  # of everything random


class Critic(nn.Module):
    """The probability of each joint being real, given `frames` frames of J joints, M channels."""

    def __init__(self, config: transformer.Config, joints: int, channels: int, frames: int):
        super().__init__()
        self.embedding = transformer.Embedding(joints * channels, config, longest=frames)
        self.encoder = transformer.encoder(config, final_norm=False)
        self.lstm = nn.LSTM(joints, config.hidden, batch_first=True)
        self.project = nn.Linear(config.hidden, joints)

    def forward(
        self, frames: Float[Tensor, "B T J M"], seed: Float[Tensor, "B J"]
    ) -> Float[Tensor, "B J"]:
        """The probabilities; the decoder's first input is `seed`."""
        last = self.encoder(self.embedding(frames.flatten(2)))[None, :, -1].contiguous()
        out, _ = self.lstm(seed[:, None], (last, last))
        return self.project(out[:, 0]).sigmoid()


def emd(p: Float[Tensor, "B J"], q: Float[Tensor, "B J"]) -> Float[Tensor, ""]:
    """Earth mover's distance of the critic's outputs, the document's equation 1."""
    return (p.cumsum(1) - q.cumsum(1)).square().mean()


class Gan:
    """Both networks and their optimisers."""

    def __init__(self, config: Config, training: GanTraining, normaliser: Normaliser):
        joints, channels = normaliser.scale.shape
        self.config, self.training = config, training
        device = normaliser.scale.device
        generator = transformer.TransformerLstm(config.generator, joints, channels)
        self.generator = generator.to(device)
        seen = generator.span if config.critic_sees == "whole" else generator.step
        self.critic = Critic(config.generator, joints, channels, seen).to(device)
        self.generator_optimiser = optimisers.build(training.optimiser, self.generator)
        self.critic_optimiser = optimisers.build(training.optimiser, self.critic)

    def judge(self, seed: Tensor, target: Tensor, real: float | None) -> Float[Tensor, "B J"]:
        """The critic's output; its decoder starts with `real`, or with uniform noise if None."""
        frames = target
        if self.config.critic_sees == "whole":
            frames = torch.cat([seed[:, -self.generator.window :], target], 1)
        first = torch.full((len(frames), frames.shape[2]), real or 0.0, device=frames.device)
        return self.critic(frames, torch.rand_like(first) if real is None else first)

    def critic_step(self, frames: Float[Tensor, "B T J M"]) -> float:
        """One step of the critic towards a larger EMD; returns the EMD before the step."""
        seed, target = frames.split([self.generator.window, self.generator.step], 1)
        with torch.no_grad():
            made = self.generator.next_frames(seed)
        distance = emd(self.judge(seed, target, 1.0), self.judge(seed, made, 0.0))
        self.critic_optimiser.zero_grad(set_to_none=True)
        (-distance).backward()
        before = [p.detach().clone() for p in self.critic.parameters()]
        self.critic_optimiser.step()
        bound = self.training.clip
        with torch.no_grad():
            for parameter, old in zip(self.critic.parameters(), before, strict=True):
                if self.training.clipped == "weights":
                    parameter.clamp_(-bound, bound)
                else:
                    parameter.copy_(old + (parameter - old).clamp(-bound, bound))
        return distance.item()

    def generator_step(self, frames: Float[Tensor, "B T J M"], pretraining: bool) -> None:
        config = self.training
        seed, target = frames.split([self.generator.window, self.generator.step], 1)
        made = self.generator.next_frames(seed)
        loss = made.new_zeros(())
        if config.generator_loss != "mse" and not pretraining:
            loss = loss + (self.judge(seed, made, 0.0) - 1).square().mean()
        if config.generator_loss != "adversarial" or pretraining:
            loss = loss + (made - target).square().mean()
        if config.smoothness:
            change = torch.cat([seed[:, -1:], made], 1).diff(dim=1)
            loss = loss + config.smoothness * change.norm(dim=1).mean()
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.generator_optimiser.step()


class GanLoop(Stoppable):
    """The training of both networks.

    The best weights are the generator's, from a validation after pretraining. Weights that no
    critic has touched are never chosen.

    A row of the history has step, pretraining (True up to the switch), critic_emd (validation
    windows, noise seeds; NaN in pretraining), generator_mse (forecasts against truth, normalised),
    the score, seconds. The document's Fig. 4 plots critic_emd and generator_mse.
    """

    def __init__(self, gan: Gan, task: Task):
        super().__init__(task, gan.training, gan.generator)
        self.gan = gan
        self.batches = 0  # drawn so far
        self.pretraining = True  # whether the last step was one of pretraining

    def one_step(self) -> None:
        self.pretraining = self.progress < self.config.pretraining
        for _ in range(0 if self.pretraining else self.config.critic_steps):
            self.gan.critic_step(self._next_batch())
        self.gan.generator_step(self._next_batch(), self.pretraining)

    def _next_batch(self) -> Float[Tensor, "B T J M"]:
        frames, _ = self.sampler(self.batches)
        self.batches += 1
        return frames

    @torch.no_grad()
    def validate(self) -> None:
        """Score the generator; copy its weights if they are the best that a critic has taught."""
        gan, task = self.gan, self.task
        seed, target = task.valid.split([task.seed, task.target], 1)
        made = forecasts(gan.generator, seed, task.target)
        gan.critic.eval()
        distance = emd(gan.judge(seed, target, None), gan.judge(seed, made, None)).item()
        gan.critic.train()
        score = task.score(made)
        if score < self.best_score and not self.pretraining:
            self.best_score = score
            self.best = copy.deepcopy(gan.generator.state_dict())
        self.rows.append({
            "step": self.step,
            "pretraining": self.pretraining,
            "critic_emd": float("nan") if self.pretraining else distance,
            "generator_mse": forecast_loss(MeanSquared(), made, target, task.space).item(),
            task.score_name: score,
            "seconds": self.elapsed,
        })  # fmt: skip

    def state_dict(self) -> dict:
        parts = {name: getattr(self.gan, name).state_dict() for name in PARTS}
        numbers = {"best_score": self.best_score, "counters": [self.step, self.batches]}
        return super().state_dict() | parts | numbers

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        for name in PARTS:
            getattr(self.gan, name).load_state_dict(state[name])
        self.best_score = state["best_score"]
        self.step, self.batches = state["counters"]
