"""Adam for a few numbers, with its state where a balancer's checkpoint finds it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8  # the paper's


class Adam(nn.Module):
    """One Adam step at a time, on a vector that is handed in and given back.

    Its moments are buffers, so the `state_dict` of the module that owns it holds them.

    Args:
        count: Length of the vector.
        rate: Learning rate, > 0.

    Example:
        >>> adam = Adam(2, rate=0.1)
        >>> adam.step(torch.zeros(2), torch.tensor([5.0, -0.01]))
        tensor([-0.1000,  0.1000])

    Reference: Kingma and Ba, 2014, arXiv:1412.6980.
    """

    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, count: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("first", torch.zeros(count))
        self.register_buffer("second", torch.zeros(count))
        self.register_buffer("steps", torch.zeros(()))

    def step(self, values: Tensor, slope: Tensor) -> Tensor:
        """`values` one step further down a slope, both `(count,)`."""
        self.steps = self.steps + 1
        self.first = torch.lerp(slope, self.first, _FIRST)
        self.second = torch.lerp(slope.square(), self.second, _SECOND)
        first = self.first / (1 - _FIRST**self.steps)
        second = self.second / (1 - _SECOND**self.steps)
        return values - self.rate * first / (second.sqrt() + _EPSILON)
