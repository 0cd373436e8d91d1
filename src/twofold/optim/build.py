"""From settings to a torch optimiser."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from twofold.optim.lars import LARS
from twofold.optim.settings import Optimizer


def parameter_groups(
    module: nn.Module,
    *,
    weight_decay: float,
    vector_rate: float = 1.0,
    fixed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Weights, which decay, and vectors (biases, normalisations), which do not.

    Args:
        module: What is trained.
        weight_decay: Of the weights.
        vector_rate: Learning rate of the vectors as a share of the weights'.
        fixed: Names of submodules whose learning rate stays at its peak, in groups of their own.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> [len(group["params"]) for group in parameter_groups(net, weight_decay=0.1)]
        [1, 3]
    """
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for stays in (False, True) if fixed else (False,):
        groups[stays, True] = {"params": [], "weight_decay": weight_decay, "share": 1.0}
        groups[stays, False] = {"params": [], "weight_decay": 0.0, "share": vector_rate}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            stays = any(name.startswith(f"{head}.") for head in fixed)
            groups[stays, parameter.ndim > 1]["params"].append(parameter)
    return [
        {**group, "fixed": stays, "adapt": weights} for (stays, weights), group in groups.items()
    ]


def build_optimizer(
    settings: Optimizer, module: nn.Module, *, fixed: Collection[str] = ()
) -> torch.optim.Optimizer:
    """The optimiser that `settings` describe, over every trained parameter of `module`.

    Its learning rate starts at 0; `set_learning_rate` sets it before each step. `fixed` names
    submodules whose learning rate stays at its peak.

    Example:
        >>> type(build_optimizer(Optimizer(name="lars"), nn.Linear(2, 2))).__name__
        'LARS'
    """
    groups = parameter_groups(
        module,
        weight_decay=settings.weight_decay,
        vector_rate=settings.vector_rate,
        fixed=fixed,
    )
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(settings.momentum, 0.999))
    return LARS(
        groups, lr=0.0, momentum=settings.momentum, rate_inside=settings.lars_rate == "inside"
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, rate: float, *, peak: float | None = None
) -> None:
    """Sets the learning rate of every group: its share of `rate`, or of `peak` if it is fixed."""
    for group in optimizer.param_groups:
        stays = group.get("fixed", False) and peak is not None
        group["lr"] = group.get("share", 1.0) * (peak if stays else rate)
