"""From settings to a torch optimiser."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from twofold.optim.lars import LARS
from twofold.optim.settings import Optimizer

_SEQUENCES = (nn.Sequential, nn.ModuleList)


def parameter_groups(
    module: nn.Module,
    *,
    weight_decay: float,
    vector_rate: float = 1.0,
    fixed: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Weights, which decay, and vectors (biases, normalisations), which do not.

    Args:
        module: What is trained.
        weight_decay: Of the weights.
        vector_rate: Learning rate of the vectors as a share of the weights'.
        fixed: Names of submodules whose learning rate stays at its peak, in groups of their own.
        shares: Learning rate of parameters, by name, as a share of the others'; each share has
            groups of its own.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> [len(group["params"]) for group in parameter_groups(net, weight_decay=0.1)]
        [1, 3]
    """
    shares = shares or {}
    groups: dict[tuple[bool, float, bool], dict[str, Any]] = {}
    for stays in (False, True) if fixed else (False,):
        for share in dict.fromkeys((1.0, *shares.values())):
            decays = {"params": [], "weight_decay": weight_decay, "share": share}
            plain = {"params": [], "weight_decay": 0.0, "share": share * vector_rate}
            groups[stays, share, True], groups[stays, share, False] = decays, plain
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            stays = any(name.startswith(f"{head}.") for head in fixed)
            groups[stays, shares.get(name, 1.0), parameter.ndim > 1]["params"].append(parameter)
    return [
        {**group, "fixed": stays, "adapt": weights} for (stays, _, weights), group in groups.items()
    ]


def layer_shares(network: nn.Module, decay: float) -> dict[str, float]:
    """Learning rate of each trained parameter as a share of the last layer's.

    `decay ** (layers above it)`

    A layer is a child of the network, or of a sequence in it that is made of blocks; one without
    weights of two dimensions or more (a normalisation) belongs to the layer before.

    Args:
        network: Its layers in the order in which they are defined.
        decay: In (0, 1].

    Example:
        >>> from twofold.networks import ResNet
        >>> shares = layer_shares(ResNet((1, 1), width=8), 0.5)
        >>> shares["conv1.weight"], shares["layer2.0.conv1.weight"]
        (0.25, 1.0)

    Reference: Clark et al., 2020, arXiv:2003.10555
    """
    depths: dict[str, int] = {}
    depth = 0
    for own, begins in _layers(network):
        depth += begins and len(depths) > 0
        depths |= dict.fromkeys(own, depth)
    return {name: decay ** (depth - below) for name, below in depths.items()}


def _layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[list[str], bool]]:
    """Names of parameters that lie together, and whether they begin a layer, from below."""
    own = module.named_parameters(recurse=False)
    yield [f"{prefix}{name}" for name, parameter in own if parameter.requires_grad], False
    for name, child in module.named_children():
        if isinstance(child, _SEQUENCES) or _holds_blocks(child):
            yield from _layers(child, f"{prefix}{name}.")
        else:
            below = child.named_parameters(prefix=f"{prefix}{name}")
            trained = {name: parameter for name, parameter in below if parameter.requires_grad}
            yield list(trained), any(parameter.ndim > 1 for parameter in trained.values())


def _holds_blocks(module: nn.Module) -> bool:
    """Whether there is a sequence of modules in it that have parts of their own."""
    sequences = (inner for inner in module.modules() if isinstance(inner, _SEQUENCES))
    return any(list(block.children()) for sequence in sequences for block in sequence.children())


def build_optimizer(
    settings: Optimizer,
    module: nn.Module,
    *,
    fixed: Collection[str] = (),
    shares: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """The optimiser that `settings` describe, over every trained parameter of `module`.

    Its learning rate starts at 0; `set_learning_rate` sets it before each step. `fixed` names
    submodules whose learning rate stays at its peak, `shares` parameters that move more slowly.

    Example:
        >>> type(build_optimizer(Optimizer(name="lars"), nn.Linear(2, 2))).__name__
        'LARS'
    """
    groups = parameter_groups(
        module,
        weight_decay=settings.weight_decay,
        vector_rate=settings.vector_rate,
        fixed=fixed,
        shares=shares,
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
