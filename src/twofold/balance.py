"""From several losses to the one that is minimised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.errors import unknown


@dataclass(frozen=True)
class Weighted:
    """The sum of the losses, each times a fixed weight: `total = sum_i w_i L_i`.

    Example:
        >>> losses = {"contrast": torch.tensor(2.0), "predict": torch.tensor(3.0)}
        >>> Weighted({"predict": 0.5})(losses).item()
        3.5
    """

    weights: Mapping[str, float]
    """Weight of each loss by its objective's name; 1 where none is given."""

    def __call__(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum, a scalar."""
        for name in self.weights:
            if name not in losses:
                raise unknown("loss weight", name, losses)
        return torch.stack([self.weights.get(name, 1.0) * losses[name] for name in losses]).sum()
