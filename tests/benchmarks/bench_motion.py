"""Speed of the motion study: the transformer against a loop over joints, and forecasting.

    python -m tests.benchmarks.bench_motion

A training step is forward, loss, backward, clipping and Adam, at the published size and a batch of
eight windows. Times are the fastest of several; steps of the two models alternate, so that whatever
else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from src.motion.models.positions import sinusoids
from src.motion.models.st_transformer import Config, StTransformer
from tests.motion.loop_model import LoopModel

JOINTS, CHANNELS, BATCH = 15, 9, 8


def training_step(model: nn.Module, bf16: bool) -> Callable[[], None]:
    """One step of Adam on random motion."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    frames = torch.randn(BATCH, 121, JOINTS, CHANNELS)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            predicted = model(frames[:, :-1]).view(BATCH, 120, JOINTS, CHANNELS)
        loss = (predicted.float() - frames[:, 1:]).norm(dim=-1).sum(-1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return step


def fastest(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest of `repeats` runs of each, taken in turn after one warm-up."""
    seconds = {name: float("inf") for name in steps}
    for round_ in range(repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_:
                seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def main(layers: int, repeats: int) -> None:
    """Print the table."""
    config = Config(layers=layers)
    torch.manual_seed(0)
    loop = LoopModel(JOINTS, CHANNELS, config, sinusoids(config.window, config.width)).train()
    batched = StTransformer(config, torch.ones(JOINTS, CHANNELS)).train()
    steps = {
        "loop over joints, float32": training_step(loop, bf16=False),
        "loop over joints, bfloat16": training_step(loop, bf16=True),
        "batched, float32": training_step(batched, bf16=False),
        "batched, bfloat16": training_step(batched, bf16=True),
    }
    seconds = fastest(steps, repeats)
    base = seconds["loop over joints, float32"]
    threads = torch.get_num_threads()
    print(f"spatio-temporal transformer, {layers} layers, batch {BATCH}, {threads} threads")
    for name, value in seconds.items():
        print(f"  {name:28} {value * 1000:8.0f} ms a step   {base / value:5.2f} x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.layers, arguments.repeats)
