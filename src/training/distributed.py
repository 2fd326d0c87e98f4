"""The processes of a training: one, or as many as torchrun started.

Under torchrun every process holds a copy of the models and takes its share of each batch. Without
torchrun there is one process, and it exchanges nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from src.common.errors import InputError

Answer = TypeVar("Answer")
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def device_named(name: str) -> str:
    """Turn DEVICE, which may be auto, into cpu or cuda.

    Raises:
        InputError: torch finds no such device.
    """
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    if name not in ("auto", *there):
        raise InputError(
            f"DEVICE: expected auto, or a device that torch finds here, {' or '.join(there)}, "
            f"found {name!r}; leave it out, or say auto"
        )
    return there[-1] if name == "auto" else name


@dataclass(frozen=True)
class Processes:
    """This process, and its place among all processes of the training."""

    rank: int  # process 0 writes the files
    world: int  # how many processes there are
    device: torch.device  # where this one computes

    @classmethod
    def start(cls, device: str = "auto") -> Processes:
        """Join the process group that torchrun describes in the environment, if there is one.

        Raises:
            InputError: as `device_named`; or WORLD_SIZE is set without torchrun's other variables.
        """
        device = device_named(device)
        world = int(os.environ.get("WORLD_SIZE", 1))
        if world == 1:
            return cls(0, 1, torch.device(device))
        if unset := [name for name in _OF_TORCHRUN if name not in os.environ]:
            raise InputError(
                f"WORLD_SIZE={world}: expected torchrun's other variables beside it, found no "
                f"{', '.join(unset)}; start with torchrun, or unset WORLD_SIZE for one process"
            )
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
        if device == "cuda":
            torch.cuda.set_device(local)
            device = f"cuda:{local}"
        if not torch.distributed.is_initialized():
            backend = "nccl" if device.startswith("cuda") else "gloo"
            torch.distributed.init_process_group(backend)
        return cls(rank, world, torch.device(device))

    @property
    def writes(self) -> bool:
        """True in the one process that writes files."""
        return self.rank == 0

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This process's share of a batch: every n-th clip, because batches are sorted by length.

        Raises:
            InputError: the batch cannot be shared evenly.
        """
        if len(batch) % self.world:
            raise InputError(
                f"a batch of {len(batch)} clips cannot be shared by {self.world} processes; set "
                f"batch_size to a multiple of {self.world} that is not above the number of clips "
                "that are learnt from, or train with one process"
            )
        return batch[self.rank :: self.world]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, with gradients averaged over the processes."""
        if self.world == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)

    def exchanging(self, wrapped: nn.Module, last: bool) -> AbstractContextManager:
        """Average gradients over the processes only in the last backward pass of a step."""
        return nullcontext() if last or self.world == 1 else wrapped.no_sync()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.world > 1:
            torch.distributed.all_reduce(value)
            value /= self.world
        return value

    def from_rank_zero(self, compute: Callable[[], Answer]) -> Answer:
        """Compute something in the writing process alone, and give it to all."""
        if self.world == 1:
            return compute()
        answer = [compute() if self.writes else None]
        torch.distributed.broadcast_object_list(answer)
        return answer[0]

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            torch.distributed.barrier()
