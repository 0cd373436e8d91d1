"""From settings to a torch optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from twofold.optim.lars import LARS
from twofold.optim.settings import Optimizer


def parameter_groups(module: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weights, which decay, and vectors (biases, normalisations), which do not.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> [len(group["params"]) for group in parameter_groups(net, weight_decay=0.1)]
        [1, 3]
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(settings: Optimizer, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that `settings` describe, over every trained parameter of `module`.

    Its learning rate starts at 0; `set_learning_rate` sets it before each step.

    Example:
        >>> type(build_optimizer(Optimizer(name="lars"), nn.Linear(2, 2))).__name__
        'LARS'
    """
    groups = parameter_groups(module, weight_decay=settings.weight_decay)
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(settings.momentum, 0.999))
    groups[1]["adapt"] = False
    return LARS(groups, lr=0.0, momentum=settings.momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
