"""GradNorm: factors that make the losses train at one pace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from twofold.balance.adam import Adam
from twofold.balance.balancer import TINY, Balancer

_LEAST = 1e-3  # no factor falls below it before they are renormalised


class GradNorm(Balancer):
    """Factors under which every loss's gradient on a shared layer is as large as its pace demands.

    With `n_i` the norm of the gradient of loss i on the layer and `G_i = w_i n_i`, the factors
    descend on

        sum_i |G_i - mean(G) r_i^alpha|,    r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0))

    whose target is held constant, so that the slope is `sign(G_i - target_i) n_i`: no second
    backward pass. Adam takes the step, after the network's gradients have been filled with the
    factors as they were; then the factors are scaled to sum to the number of losses T. Without that
    they run away.

    Two departures from the paper: factors are clamped at 0.001 before they are scaled, for a step
    could make one negative, and losses with a negative floor are counted from it, for their ratio
    to the first would mean nothing.

    Args:
        names: The losses.
        layer: The weight of the last layer that all losses share.
        alpha: How much harder a slow loss is pulled, >= 0; the paper has 1.5 for tasks that differ
            much and 0.12 for tasks alike.
        rate: Learning rate of the factors, > 0.
        others: What every balancer takes.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> balancer = GradNorm(["a", "b"], layer=weight, alpha=0.0, rate=0.01)
        >>> for _ in range(300):
        ...     _ = balancer.backward({"a": weight.sum(), "b": 3 * weight.sum()})
        >>> [round(factor, 1) for factor in balancer.record()["weights"].values()]
        [1.5, 0.5]

    Reference: Chen et al., 2017, arXiv:1711.02257.
    """

    weights: Tensor
    initial: Tensor

    def __init__(
        self,
        names: Sequence[str],
        *,
        layer: Tensor,
        alpha: float = 1.5,
        rate: float = 0.025,
        **others: Any,
    ) -> None:
        super().__init__(names, layer=layer, **others | {"measure_every": 1})
        self.alpha = alpha
        self.register_buffer("weights", torch.ones(len(names)))
        self.register_buffer("initial", torch.full((len(names),), torch.nan))
        self.adam = Adam(len(names), rate)

    def weigh(self) -> Tensor:
        """The factors as the latest step left them."""
        return self.weights

    def learn(self, losses: Tensor, gramian: Tensor | None) -> None:
        """One step of the factors towards the gradient norms they should bring about."""
        assert gramian is not None  # measured at each step
        norms = self.fixed * gramian.diagonal().sqrt()
        self.initial = torch.where(self.initial.isnan(), losses, self.initial)
        left = losses / self.initial.clamp_min(TINY)
        pace = left / left.mean().clamp_min(TINY)
        sizes = self.weights * norms
        slope = torch.sign(sizes - sizes.mean() * pace**self.alpha) * norms
        weights = self.adam.step(self.weights, slope).clamp_min(_LEAST)
        self.weights = weights * len(weights) / weights.sum()
