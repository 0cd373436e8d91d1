"""Factors drawn anew at every step: a control that is harder to beat than it looks."""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.balance.balancer import Balancer


class RandomWeights(Balancer):
    """Random loss weighting: `w = T softmax(x)` for T losses, `x ~ N(0, 1)` drawn at each step.

    Draws come from torch's global generator, which the training loop seeds for every step.

    Example:
        >>> losses = {"a": torch.tensor(1.0).requires_grad_(), "b": torch.tensor(1.0)}
        >>> round(RandomWeights(["a", "b"]).backward(losses).item(), 5)
        2.0

    Reference: Lin et al., 2021, arXiv:2111.10603.
    """

    def weigh(self) -> Tensor:
        """T times the softmax of standard normal draws."""
        draws = torch.randn(len(self.names)).to(self.fixed)  # the same on every device
        return len(self.names) * draws.softmax(0)
