"""A training step of the spatio-temporal transformer against a loop over joints.

    python -m tests.benchmarks motion

- A step is forward, loss, backward, clipping and Adam, at the published size and a batch of eight
  windows. Both models have the same optimiser; the loop is tests/motion/models/loop_model.py.
- Every model is a process of its own, since a step also costs what its memory costs: torch's heap
  grows and shrinks with what is allocated. Their steps alternate, so that whatever else the machine
  does falls on both.
- One thread. "ms/step" is the clock's, "CPU ms" the processor's: on a busy machine the second is
  the better measure. Both are medians, as is every ratio.
- "products ms" is CPU time, too: the step's matrix products alone, of the same shapes.
"""

import itertools
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median

import torch
from torch import nn

from src.motion.models.positions import sinusoids
from src.motion.models.st_transformer import Config, StTransformer
from tests.benchmarks.products import Recorder, bare
from tests.benchmarks.table import Table
from tests.motion.models.loop_model import LoopModel

JOINTS, CHANNELS, BATCH, LAYERS = 15, 9, 8, 8
REPEATS = 5
LOOP, BATCHED = "loop over joints", "batched"
CASES = (LOOP, BATCHED)

Times = dict[str, list[tuple[float, float]]]  # by case, seconds of the clock and of the processors


def training_step(name: str) -> Callable[[], None]:
    """One step of Adam on random motion."""
    torch.manual_seed(0)
    config = Config(layers=LAYERS)
    if name == LOOP:
        pattern = sinusoids(config.window, config.width)
        model: nn.Module = LoopModel(JOINTS, CHANNELS, config, pattern)
    else:
        model = StTransformer(config, torch.ones(JOINTS, CHANNELS))
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    frames = torch.randn(BATCH, config.window + 1, JOINTS, CHANNELS)

    def step() -> None:
        predicted = model(frames[:, :-1]).view(BATCH, config.window, JOINTS, CHANNELS)
        loss = (predicted - frames[:, 1:]).norm(dim=-1).sum(-1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return step


def serve(pipe: Connection, case: str) -> None:
    """A model's process: answers "step" and "products" with the seconds that they took."""
    torch.set_num_threads(1)
    step = training_step(case)
    with Recorder() as recorder:
        step()
    actions = {"step": step, "products": bare(recorder.products, "cpu")}
    for action in actions.values():
        action()  # warm
    pipe.send(recorder.flops)
    while (wanted := pipe.recv()) != "end":
        clock, used = time.perf_counter(), time.process_time()
        actions[wanted]()
        pipe.send((time.perf_counter() - clock, time.process_time() - used))


def measure() -> tuple[Times, Times, dict[str, float]]:
    """The times of all steps and of all products, and the operations of a step's products."""
    context = multiprocessing.get_context("spawn")
    pipes, processes, flops = {}, [], {}
    for case in CASES:
        pipes[case], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, case)))
        processes[-1].start()
        flops[case] = pipes[case].recv()
    times = {wanted: {case: [] for case in CASES} for wanted in ("step", "products")}
    for _, wanted, case in itertools.product(range(REPEATS), times, CASES):
        pipes[case].send(wanted)
        times[wanted][case].append(pipes[case].recv())
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send("end")
        process.join()
    return times["step"], times["products"], flops


def rows_of() -> list[dict[str, str | float]]:
    """The lines of the table."""
    steps, products, flops = measure()
    clock, used, bare_used = (
        {case: median(seconds[which] for seconds in times[case]) for case in CASES}
        for times, which in ((steps, 0), (steps, 1), (products, 1))
    )
    return [
        {
            "": name,
            "ms/step": 1000 * clock[name],
            "CPU ms": 1000 * used[name],
            "products ms": 1000 * bare_used[name],
            "GFLOP/s": flops[name] / bare_used[name] / 1e9,
            "x loop, clock": clock[LOOP] / clock[name],
            "x loop, CPU": used[LOOP] / used[name],
            "products alone": used[LOOP] / bare_used[name],
        }
        for name in CASES
    ]


def run() -> None:
    """Measure and print; a repetition takes half a minute."""
    torch.set_num_threads(1)
    rows = rows_of()
    batched = rows[CASES.index(BATCHED)]
    Table(
        name="motion",
        title=f"spatio-temporal transformer, {LAYERS} layers, width 128, {JOINTS} joints: one step "
        f"of training, batch {BATCH}, window 120",
        rows=rows,
        limit="if a step were nothing but its matrix products it would be "
        f"{batched['products alone']:.2f} x as fast as the loop",
        notes=[
            "bar: no slower than the same model with a loop over joints; reached: "
            f"{batched['x loop, clock']:.2f} x",
            "both sides with the same fused AdamW; medians of alternating steps",
        ],
    ).publish()
