"""Build torch's optimiser for a recipe: parameter groups, and the learning rate of each."""

from collections.abc import Iterable

import torch
from torch import nn

from src.recipes.ingredients import AdamW, Lion, Optimiser, RAdamLookahead, Ranger


def build(config: Optimiser, models: Iterable[nn.Module]) -> torch.optim.Optimizer:
    """One optimiser over the trained parameters of all models.

    The models share no parameters, so the result is the same as with an optimiser per model.
    """
    groups = _groups(config, models)
    given = {"lr": config.lr, "betas": config.betas, "weight_decay": config.weight_decay}
    if isinstance(config, AdamW):
        return torch.optim.AdamW(groups, **given, fused=True)
    import pytorch_optimizer  # slow: it imports transformers if installed

    # Without degenerated_to_sgd this library's first five steps go up the gradient.
    match config:
        case Lion():
            return pytorch_optimizer.Lion(groups, **given)
        case Ranger(eps=eps, lookahead_steps=k):
            return pytorch_optimizer.Ranger(groups, **given, eps=eps, k=k, degenerated_to_sgd=True)
        case RAdamLookahead(eps=eps, sma_threshold=threshold, lookahead_steps=k):
            given |= {"eps": eps, "n_sma_threshold": threshold, "degenerated_to_sgd": True}
            return pytorch_optimizer.Lookahead(pytorch_optimizer.RAdam(groups, **given), k=k)
    raise TypeError(f"no optimiser for a config of type {type(config).__qualname__}")


def _groups(config: Optimiser, models: Iterable[nn.Module]) -> list[dict]:
    """Group parameters by whether they are decayed, and by their share of the learning rate."""
    groups: dict[tuple[bool, float], dict] = {}
    for model in models:
        depth = len(getattr(model, "layers", ()))
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            decayed = not any(part in name for part in config.no_decay)
            share = config.layer_decay ** (depth - _height(model, name, depth))
            group = groups.setdefault((decayed, share), {"params": [], "share": share})
            group["weight_decay"] = config.weight_decay if decayed else 0.0
            group["decay_per_rate"] = group["weight_decay"] if config.decay_with_rate else None
            group["params"].append(parameter)
    return list(groups.values())


def _height(model: nn.Module, name: str, depth: int) -> int:
    """How many layers lie below a parameter: 0 for the embedding, `depth` for norms and head.

    This relies on a network's parts being in the order in which a clip goes through them.
    """
    words = name.split(".")
    if words[0] == "layers":
        return int(words[1]) + 1
    parts = [part for part, _ in model.named_children()]
    return depth if depth and words[0] in parts[parts.index("layers") :] else 0


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's rate to its share of `rate`, and update the decays that follow the rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["share"]
        if group["decay_per_rate"] is not None:
            group["weight_decay"] = group["decay_per_rate"] * group["lr"]
