"""LARS as SimCLR published it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Momentum whose step is scaled, tensor by tensor, to the size of the weights.

    For each weight w with gradient g (decay and adaptation only where the group has
    `adapt=True`):

    `g <- g + weight_decay * w`, `r = trust * |w| / |g|` (1 if either norm is 0),
    `v <- momentum * v + lr * r * g`, `w <- w - v`.

    The learning rate is inside the momentum buffer, as in SimCLR's published code. Barlow Twins,
    VICReg and BYOL have it outside (`v <- momentum * v + r * g`, `w <- w - lr * v`), which differs
    when the rate changes.

    Args:
        parameters: Parameters or groups; a group may set `adapt=False` (biases, normalisations).
        lr: Learning rate.
        momentum: In [0, 1).
        weight_decay: >= 0.
        trust: The coefficient r is scaled with; 0.001 as published.
        rate_inside: Whether the learning rate is inside the momentum buffer.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> weight.grad = torch.tensor([0.0, 1.0])
        >>> LARS([weight], lr=2.0, momentum=0.0).step()
        >>> [round(value, 4) for value in weight.tolist()]
        [3.0, 3.99]

    Reference: You et al., 2017, arXiv:1708.03888; Chen et al., 2020, arXiv:2002.05709.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        rate_inside: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapt": True,
            "rate_inside": rate_inside,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        if closure is not None:
            raise NotImplementedError("LARS takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient, rate = weight.grad, group["lr"]
        assert gradient is not None
        if group["adapt"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
            sizes, slopes = weight.norm(), gradient.norm()
            adapted = group["trust"] * sizes / slopes
            trusted = torch.where((sizes > 0) & (slopes > 0), adapted, torch.ones_like(sizes))
            gradient = gradient * trusted
        state = self.state[weight]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(weight)
        velocity: Tensor = state["velocity"]
        inside, outside = (rate, 1.0) if group["rate_inside"] else (1.0, rate)
        velocity.mul_(group["momentum"]).add_(gradient, alpha=inside)
        weight.sub_(velocity, alpha=outside)
