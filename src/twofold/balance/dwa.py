"""Dynamic weight average: factors from how fast each loss fell over the last epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from twofold.balance.balancer import TINY, Balancer


class DWA(Balancer):
    """For epoch e and T losses, `w = T softmax([L(e-1) / L(e-2)] / temperature)`.

    `L(e)` is the mean of a loss over an epoch, counted from its floor if that is negative. All
    factors are 1 in the first two epochs, and where all losses fell as fast.

    Args:
        names: The losses.
        temperature: > 0; a large one makes all factors 1.
        others: What every balancer takes.

    Example:
        >>> balancer = DWA(["a", "b"])
        >>> for loss in (4.0, 2.0):
        ...     falling = torch.tensor(loss).requires_grad_()
        ...     _ = balancer.backward({"a": falling, "b": torch.tensor(1.0)})
        ...     balancer.end_epoch()
        >>> [round(factor, 3) for factor in balancer.weigh().tolist()]
        [0.876, 1.124]

    Reference: Liu et al., 2018, arXiv:1803.10704.
    """

    weights: Tensor
    means: Tensor
    sums: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str], *, temperature: float = 2.0, **others: Any) -> None:
        super().__init__(names, **others)
        self.temperature = temperature
        self.register_buffer("weights", torch.ones(len(names)))
        self.register_buffer("means", torch.full((2, len(names)), torch.nan))  # of two epochs
        self.register_buffer("sums", torch.zeros(len(names)))  # of the epoch under way
        self.register_buffer("count", torch.zeros(()))

    def weigh(self) -> Tensor:
        """The factors of this epoch."""
        return self.weights

    def learn(self, losses: Tensor, gramian: Tensor | None) -> None:
        """Counts the losses towards their means."""
        self.sums = self.sums + losses
        self.count = self.count + 1

    def end_epoch(self) -> None:
        """Sets the factors of the next epoch."""
        self.means = torch.stack([self.means[1], self.sums / self.count])
        self.sums, self.count = torch.zeros_like(self.sums), torch.zeros_like(self.count)
        before, after = self.means
        falls = after / before.clamp_min(TINY)
        weights = len(self.names) * (falls / self.temperature).softmax(0)
        self.weights = torch.where(before.isnan(), torch.ones_like(weights), weights)
