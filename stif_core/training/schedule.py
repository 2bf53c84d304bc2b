"""Learning rates and what is trained when."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from stif_core.model.stif import Stif


@dataclass(frozen=True)
class Optimisation:
    """Defaults are those of ``nano`` with a frozen trunk; rates are those after the warm-up."""

    method: Literal["adamw", "sgd"] = "adamw"
    rate: float = 1.5e-3
    first_rate: float = 0.0  # at the start of the warm-up, which is linear
    last_rate: float = 0.0  # at the end of the cosine
    warm_up_steps: int = 200
    weight_decay: float = 0.05
    momentum: float = 0.9  # of SGD
    trunk_factor: float = 0.1  # learning rate of the trunk, in units of the others'
    trunk_released: float = 1.0  # share of the training after which the trunk is trained along; 1: never
    trunk_frozen: tuple[str, ...] = ()  # its modules that stay frozen even then, e.g. stem, blocks.0


def rate_factor(step: int, steps: int, settings: Optimisation) -> float:
    """Learning rate in units of ``rate``: a linear warm-up, then a cosine."""
    first, last = settings.first_rate / settings.rate, settings.last_rate / settings.rate
    if step < settings.warm_up_steps:
        return first + (1 - first) * (step + 1) / settings.warm_up_steps
    done = (step - settings.warm_up_steps) / max(1, steps - settings.warm_up_steps)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def freeze(model: Stif, settings: Optimisation) -> None:
    """Stops gradients of what is never trained.

    Raises:
        ValueError: The trunk has no module of that name.
    """
    trunks = model.branches.trunks()
    if settings.trunk_released >= 1:
        frozen: list[nn.Module] = [*trunks, *model.branches.frozen_with_trunk()]
    else:
        frozen = []
        for trunk in trunks:
            modules = dict(trunk.named_modules())
            for name in settings.trunk_frozen:
                if name not in modules or not name:
                    raise ValueError(f"trunk_frozen: the trunk has no module '{name}'; it has {', '.join(_top(trunk))}")
                frozen.append(modules[name])
        if settings.trunk_frozen:
            frozen += model.branches.frozen_with_trunk()
    for module in frozen:
        module.requires_grad_(False)


def build_optimizer(model: Stif, settings: Optimisation) -> Optimizer:
    """Weights with decay, biases and norms without; the trunk at its own rate."""
    trunk = {
        id(p) for part in [*model.branches.trunks(), *model.branches.frozen_with_trunk()] for p in part.parameters()
    }
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in trunk, parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": parameters,
            "lr": settings.rate * (settings.trunk_factor if in_trunk else 1.0),
            "weight_decay": settings.weight_decay if decayed else 0.0,
        }
        for (in_trunk, decayed), parameters in groups.items()
    ]
    if settings.method == "sgd":
        return SGD(described, momentum=settings.momentum)
    return AdamW(described)


def _top(module: nn.Module) -> list[str]:
    """Names of the children, and of the items of lists among them."""
    return [name for name, _ in module.named_modules() if name and name.count(".") <= 1]
