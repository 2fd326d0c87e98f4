"""A training step of the 6th place's member B against the same networks on Hugging Face's encoder.

    python -m tests.benchmarks training_step

- Ours: `Loop.step` and the gathering of its batches, all of it: augmentation, three forwards, two
  backwards, clipping, AdamW, the teacher's average. Batches are those of `plan` on the genuine
  lengths; a few are timed, evenly spaced over the epoch's batches by length.
- Theirs: the same three networks (tests/benchmarks/hugging_face.py), every clip padded to 80, no
  augmentation at all (the authors left it to other processes), AdamW as torch makes it by default.
- "models" is forward and backward alone; what is left of a step is the share outside.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from src import losses
from src.dataset.batches import ClipSet
from src.recipes.base import Recipe
from src.recipes.frame_deberta import B
from src.training.distributed import Processes
from src.training.loop import Loop, Settings, precision_of
from src.training.roles import Trainee, consistency_weight
from tests.benchmarks import data, hugging_face
from tests.benchmarks.bench_padding import waste
from tests.benchmarks.products import Recorder, bare
from tests.benchmarks.table import Table, folder
from tests.benchmarks.timing import DEVICE, PeakMemory, in_turn

CLASSES = 250
PROGRESS = 0.4  # of the training: every augmentation is on, and so is mixup
BATCHES = 4  # of ours that are timed, short to long


@dataclass(frozen=True)
class Contender:
    """One way to train."""

    step: Callable[[], None]  # one or some whole steps
    models: Callable[[], None]  # the same without what surrounds forward and backward
    clips: int  # how many `step` learns from
    padded: float  # the share of the frames that are padding
    recorder: Recorder  # of the matrix products of `models`
    batches: int = 1  # steps in `step`

    @property
    def parts(self) -> dict[str, Callable[[], None]]:
        """What is timed."""
        products = bare(self.recorder.products, DEVICE)
        return {"step": self.step, "models": self.models, "products": products}

    def columns(self, step: float, models: float, products: float) -> dict[str, float]:
        """For a table, from the seconds of the parts."""
        return {
            "samples/s": self.clips / step,
            "ms/step": 1000 * step / self.batches,
            "padded": self.padded,
            "GFLOP/clip": self.recorder.flops / self.clips / 1e9,
            "GFLOP/s": self.recorder.flops / step / 1e9,
            "outside models": 1 - models / step,
            "of products' rate": products / step,
        }


def ours(recipe: Recipe, clips: ClipSet, settings: Settings) -> Contender:
    """Our loop on batches of similar lengths."""
    torch.manual_seed(0)
    processes, epoch = Processes.start(DEVICE), int(PROGRESS * recipe.epochs)
    loop = Loop(recipe, Trainee(recipe, CLASSES).to(DEVICE), settings, processes)
    loop.trainee.train()
    ordered = sorted(loop._plan(clips, epoch), key=lambda batch: clips.length[batch].max())
    at = (np.arange(BATCHES) + 0.5) / BATCHES * len(ordered)
    planned = [ordered[int(i)] for i in at]  # they stand for all, from short to long

    def step() -> None:
        for batch in loop.batches(clips, planned, epoch):
            loop.step(batch, 1000)

    done = torch.full((), PROGRESS, device=DEVICE)
    seen = [loop.trainee.views(b.clips, b.draw) for b in loop.batches(clips, planned, epoch)]
    passes = 2 if recipe.awp else 1

    def models(loop: Loop = loop) -> None:
        for views, target, _ in seen * passes:
            loop._backward([(views, target, done, None)])

    with Recorder() as recorder:  # a compiled function would hide its products
        models(Loop(recipe, loop.trainee, replace(settings, compile=False), processes))
    step()  # not timed: the optimiser makes its state, compilers compile
    padded = waste(clips.length, planned)
    return Contender(step, models, sum(map(len, planned)), padded, recorder, len(planned))


class TheirLoop:
    """The plain loop: three networks, two optimisers, one batch padded to the longest clip."""

    def __init__(self, recipe: Recipe, clips: ClipSet, settings: Settings):
        torch.manual_seed(0)
        self.recipe = recipe

        def build(config: object) -> nn.Module:
            return hugging_face.FrameDeberta(config, recipe.layout, CLASSES).to(DEVICE).train()

        self.student, self.teacher = build(recipe.model), build(recipe.model)
        self.distilled = build(recipe.distilled)
        self.trained = (self.student, self.distilled)
        rate, decay = recipe.optimiser.lr, recipe.optimiser.weight_decay
        self.optimisers = [
            torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
            for model in self.trained
        ]
        index = torch.arange(recipe.batch_size, device=DEVICE)
        batch = clips.gather(index, recipe.max_len)
        self.mask = batch.mask
        self.features = recipe.features(batch.xyz, batch.mask, recipe.layout)
        self.target = nn.functional.one_hot(batch.label, CLASSES).float()
        self.progress = torch.full((), PROGRESS, device=DEVICE)
        dtype = precision_of(settings.precision, torch.device(DEVICE))
        self.autocast = torch.autocast(DEVICE, dtype, enabled=dtype is not torch.float32)

    def models(self) -> None:
        """Forward and backward."""
        with self.autocast:
            with torch.no_grad():
                taught = self.teacher(self.features, self.mask)["logits"]
            loss = sum(self._loss(model, taught) for model in self.trained)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()

    def _loss(self, model: nn.Module, taught: Tensor) -> Tensor:
        out = model(self.features, self.mask)
        weight = consistency_weight(self.recipe.mean_teacher, self.progress)
        agreed = weight * losses.consistency(out["logits"], taught)
        return self.recipe.loss(out, self.target, self.progress) + agreed

    def step(self) -> None:
        """One whole step."""
        self.models()
        for model, optimiser in zip(self.trained, self.optimisers, strict=True):
            nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip_norm)
            optimiser.step()
        with torch.no_grad():
            pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
            for average, own in pairs:
                average.mul_(0.97).add_(own, alpha=0.03)


def theirs(recipe: Recipe, clips: ClipSet, settings: Settings) -> Contender:
    """The plain loop on Hugging Face's encoder."""
    loop = TheirLoop(recipe, clips, settings)
    with Recorder() as recorder:
        loop.step()
    padded = 1 - float(loop.mask.float().mean())
    return Contender(loop.step, loop.models, recipe.batch_size, padded, recorder)


def contenders(clips: ClipSet) -> dict[str, tuple[Contender, PeakMemory]]:
    """Everything that is compared on this machine, each with the memory of its first step."""
    planned = {}
    for precision in ("fp32", "bf16"):
        for batch in (32, 256) if DEVICE == "cuda" else (32,):
            recipe, settings = replace(B, batch_size=batch), Settings(precision=precision)
            case = f"{precision}, batch {batch}"
            planned[f"ours, {case}"] = partial(ours, recipe, clips, settings)
            if DEVICE == "cuda" and precision == "bf16":
                settings = replace(settings, compile=True)
                planned[f"ours, compiled, {case}"] = partial(ours, recipe, clips, settings)
            planned[f"Hugging Face, {case}"] = partial(theirs, recipe, clips, settings)
    made = {}
    for name, make in planned.items():
        print(f"training_step: {name} ...", file=sys.stderr, flush=True)
        with PeakMemory() as memory:
            contender = make()
        made[name] = contender, memory
    return made


def measured(made: dict[str, tuple[Contender, PeakMemory]], repeats: int) -> list[dict]:
    """The lines of the table; everything of everybody is timed in turn."""
    steps = {(name, part): do for name in made for part, do in made[name][0].parts.items()}
    seconds = {key: min(times) for key, times in in_turn(steps, repeats, warm_up=0).items()}
    rows = {}
    for name, (contender, memory) in made.items():
        spent = {part: seconds[name, part] for part in contender.parts}
        rows[name] = {"": name, **contender.columns(**spent), **memory.columns}
    for name, row in rows.items():
        against = name.replace("ours", "Hugging Face").replace(", compiled", "")
        row["x Hugging Face"] = row["samples/s"] / rows[against]["samples/s"]
    return list(rows.values())


def profile(contender: Contender) -> Path:
    """Where the time goes: a trace for chrome://tracing, and the operations as a text."""
    with torch.profiler.profile() as profiler:
        contender.step()
    profiler.export_chrome_trace(str(folder() / "training_step_trace.json"))
    by_time = f"self_{DEVICE}_time_total"
    path = folder() / "training_step_profile.txt"
    path.write_text(profiler.key_averages().table(sort_by=by_time, row_limit=40))
    return path


def run() -> None:
    """Measure and print; a repetition takes a minute and a half of one core, seconds of a GPU."""
    repeats, batch = (10, 256) if DEVICE == "cuda" else (1, 32)
    torch.set_num_threads(1)
    clips = data.drawn(B, 50 * batch, DEVICE)
    made = contenders(clips)
    rows = measured(made, repeats)
    profiled = profile(made["ours, bf16, batch 32"][0])
    best = max(row["of products' rate"] for row in rows if row[""].startswith("ours"))
    Table(
        name="training_step",
        title="frame_deberta B: student, teacher and distilled student, one step of training; "
        f"clips of ../shared/data/asl_signs, {clips.length.mean():.1f} frames on average",
        rows=rows,
        limit=f"the matrix products alone, same shapes and types, take {best:.0%} of our best step",
        notes=[
            "bar: 3 x Hugging Face on a CPU, later 5 x; on one GPU 6 x at batch 256",
            "bar: at most 10 % of a step outside the models, on a GPU",
            "the fastest of the repetitions; without a GPU seconds of one processor; peaks are "
            "above what the process held before",
            f"where the time goes: {profiled.name} beside the table's file, and a trace",
        ],
    ).publish()
