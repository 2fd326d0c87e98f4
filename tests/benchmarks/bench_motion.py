"""A training step of the spatio-temporal transformer against a loop over joints.

    python -m tests.benchmarks motion

- A step is forward, loss, backward, clipping and Adam, at the published size and a batch of eight
  windows. Both models have the same optimiser; the loop is tests/motion/models/loop_model.py.
- Every model is a process of its own, since a step also costs what its memory costs: torch's heap
  grows and shrinks with what is allocated. Their steps alternate, so that whatever else the machine
  does falls on all.
- "ms/step" is the clock's, "CPU ms" what the step's threads used together: with one thread on a
  busy machine the second is the better measure. Both are medians, as is every ratio.
- "products ms" is CPU time, too: the step's matrix products alone, of the same shapes and types.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
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

JOINTS, CHANNELS, BATCH = 15, 9, 8
LOOP, BATCHED = "loop over joints", "batched"
CASES = tuple(itertools.product((LOOP, BATCHED), ("float32", "bfloat16")))

Case = tuple[str, str]
Times = dict[Case, list[tuple[float, float]]]  # seconds of the clock and of the processors


def training_step(name: str, precision: str, layers: int) -> Callable[[], None]:
    """One step of Adam on random motion."""
    torch.manual_seed(0)
    config = Config(layers=layers)
    if name == LOOP:
        pattern = sinusoids(config.window, config.width)
        model: nn.Module = LoopModel(JOINTS, CHANNELS, config, pattern)
    else:
        model = StTransformer(config, torch.ones(JOINTS, CHANNELS))
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    frames = torch.randn(BATCH, config.window + 1, JOINTS, CHANNELS)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = model(frames[:, :-1]).view(BATCH, config.window, JOINTS, CHANNELS)
        loss = (predicted.float() - frames[:, 1:]).norm(dim=-1).sum(-1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return step


def serve(pipe: Connection, case: Case, layers: int, threads: int) -> None:
    """A model's process: answers "step" and "products" with the seconds that they took."""
    torch.set_num_threads(threads)
    step = training_step(*case, layers)
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


def measure(layers: int, repeats: int, threads: int) -> tuple[Times, Times, dict[Case, float]]:
    """The times of all steps and of all products, and the operations of a step's products."""
    context = multiprocessing.get_context("spawn")
    pipes, processes, flops = {}, [], {}
    for case in CASES:
        pipes[case], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, case, layers, threads)))
        processes[-1].start()
        flops[case] = pipes[case].recv()
    steps: Times = {case: [] for case in CASES}
    products: Times = {case: [] for case in CASES}
    for _, (wanted, times), case in itertools.product(
        range(repeats), (("step", steps), ("products", products)), CASES
    ):
        pipes[case].send(wanted)
        times[case].append(pipes[case].recv())
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send("end")
        process.join()
    return steps, products, flops


def rows_of(
    steps: Times, products: Times, flops: dict[Case, float], threads: int
) -> list[dict[str, str | float | int]]:
    """The lines of the table."""
    clock, used, bare_used = (
        {case: median(seconds[which] for seconds in times[case]) for case in CASES}
        for times, which in ((steps, 0), (steps, 1), (products, 1))
    )
    rows = []
    for name, precision in CASES:
        case = name, precision
        rows.append(
            {
                "": f"{name}, {precision}",
                "threads": threads,
                "ms/step": 1000 * clock[case],
                "CPU ms": 1000 * used[case],
                "products ms": 1000 * bare_used[case],
                "GFLOP/s": flops[case] / bare_used[case] / 1e9,
                "x loop, clock": clock[LOOP, precision] / clock[case],
                "x loop, CPU": used[LOOP, precision] / used[case],
                "x float32 loop, CPU": used[LOOP, "float32"] / used[case],
                "products alone": used[LOOP, precision] / bare_used[case],
            }
        )
    return rows


def run(layers: int = 8, repeats: int = 5, threads: tuple[int, ...] = (1, 2)) -> None:
    """Measure and print; a repetition takes half a minute for each number of threads."""
    rows = []
    for count in threads:
        print(f"motion: {count} threads ...", file=sys.stderr, flush=True)
        rows += rows_of(*measure(layers, repeats, count), count)
    ours = [row for row in rows if row[""].startswith(BATCHED)]
    reached = ", ".join(
        f"{row['x loop, clock']:.2f} x ({row[''].split(', ')[1]}, {row['threads']} threads)"
        for row in ours
    )
    shares = ", ".join(
        f"{row['products alone']:.1f} x ({row[''].split(', ')[1]}, {row['threads']} threads)"
        for row in ours
    )
    Table(
        name="motion",
        title=f"spatio-temporal transformer, {layers} layers, width 128, {JOINTS} joints: one step "
        f"of training, batch {BATCH}, window 120",
        rows=rows,
        limit=f"if a step were nothing but its matrix products it would be {shares} as fast as "
        "the loop",
        notes=[
            "bar: no slower than the same model with a loop over joints; reached at equal "
            f"precision: {reached}",
            "both sides with the same fused AdamW; medians of alternating steps",
        ],
    ).publish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    run(arguments.layers, arguments.repeats, tuple(arguments.threads))
