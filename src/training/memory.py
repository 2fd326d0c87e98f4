"""Choose the size of micro-batches: how many clips of a batch fit into memory at once.

The memory that a step keeps for its gradient grows with the number of clips. It is measured with
two small batches on the CPU, and compared with the memory that is free on the device.
"""

import copy
import random
from contextlib import AbstractContextManager

import psutil
import torch
from torch import Tensor

from src.clips import Clips
from src.models.blocks import MaskedBatchNorm
from src.training.roles import Trainee
from src.transforms.pipeline import Draw

GROUP = 32  # clips; the 6th place's batch norm and OUSM work on groups of this size (32 per GPU)
USABLE = 0.7  # of the free memory; intermediate results need some, too


def kept_per_clip(trainee: Trainee, autocast: AbstractContextManager) -> int:
    """Bytes that a step keeps for its gradient, per clip of the greatest length.

    They are measured with copies of the models on the CPU; matrix products have `autocast`'s type.
    """
    state = torch.get_rng_state()
    models = copy.deepcopy(trainee).cpu().train()
    for module in models.modules():
        if isinstance(module, MaskedBatchNorm):
            module.across_processes = False  # the other processes take no part in this
    one, two = (_kept(models, n, autocast) for n in (2, 4))
    torch.set_rng_state(state)
    return (two - one) // 2


def _kept(trainee: Trainee, n: int, autocast: AbstractContextManager) -> int:
    recipe, sizes = trainee.recipe, {}
    own = {p.untyped_storage().data_ptr() for p in trainee.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:  # weights are in memory anyway
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    shape = (n, recipe.max_len, len(recipe.layout))
    clips = Clips(
        torch.rand(*shape, 3), torch.ones(shape[:2], dtype=torch.bool), torch.zeros(n).long()
    )
    draw = Draw(
        torch.Generator().manual_seed(0), random.Random(0), donor=clips.repeat(len(trainee.seeing))
    )
    views, target, _ = trainee.views(clips, draw)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), autocast:
        losses = trainee(views, target, torch.zeros(()))
    del losses  # until here the graph keeps its tensors, so no address is counted twice
    return sum(sizes.values())


def fitting(
    trainee: Trainee, share: int, device: torch.device, autocast: AbstractContextManager
) -> int:
    """The size of the micro-batches: all of this process's share of a batch, if it fits."""
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    most = int(USABLE * free / kept_per_clip(trainee, autocast))
    divisors = [n for n in range(1, share + 1) if share % n == 0 and n <= most]
    in_groups = [n for n in divisors if n % GROUP == 0]
    return max(in_groups or divisors or [1])
