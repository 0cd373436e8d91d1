"""Uncertainty weighting: factors that say how far each loss can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from twofold.balance.adam import Adam
from twofold.balance.balancer import Balancer


class Uncertainty(Balancer):
    """Minimises `sum_i exp(-s_i) L_i / 2 + s_i / 2` over the network and the `s_i` alike.

    `s_i`, from 0, is the log of the variance that loss i is thought to have; where it settles,
    `s_i = log L_i`, every loss weighs `1 / (2 L_i)`. Losses with a negative floor are counted from
    it, since the logarithm needs them positive. The `s_i` move by an Adam of their own.

    Args:
        names: The losses.
        rate: Learning rate of the `s_i`, > 0.
        others: What every balancer takes.

    Example:
        >>> balancer = Uncertainty(["a", "b"], rate=0.05)
        >>> losses = {"a": torch.tensor(1.0).requires_grad_(), "b": torch.tensor(4.0)}
        >>> for _ in range(500):
        ...     _ = balancer.backward(losses)
        >>> [round(factor, 2) for factor in balancer.record()["weights"].values()]
        [0.5, 0.12]

    Reference: Kendall et al., 2017, arXiv:1705.07115.
    """

    log_variances: Tensor

    def __init__(self, names: Sequence[str], *, rate: float = 0.025, **others: Any) -> None:
        super().__init__(names, **others)
        self.register_buffer("log_variances", torch.zeros(len(names)))
        self.adam = Adam(len(names), rate)

    def weigh(self) -> Tensor:
        """Half the precision of each loss."""
        return torch.exp(-self.log_variances) / 2

    def total(self, weights: Tensor, losses: Tensor) -> Tensor:
        """The weighted losses above their floors, and what doubting them costs."""
        return (weights * (losses - self.floors) + self.log_variances / 2).sum()

    def learn(self, losses: Tensor, gramian: Tensor | None) -> None:
        """One step down the slope `(1 - exp(-s_i) L_i) / 2`."""
        slope = (1 - torch.exp(-self.log_variances) * losses) / 2
        self.log_variances = self.adam.step(self.log_variances, slope)
