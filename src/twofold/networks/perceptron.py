"""The encoder of items that are a few numbers."""

from __future__ import annotations

from torch import Tensor, nn


class Perceptron(nn.Module):
    """Linear layers of one width, BatchNorm and a ReLU after each.

    Args:
        inputs: How many numbers an item has, whatever its shape.
        width: Of every layer, and so of the features; 64 as published.
        depth: How many layers; 4 as published.

    Example:
        >>> import torch
        >>> Perceptron(inputs=2)(torch.zeros(5, 2, 1, 1)).shape
        torch.Size([5, 64])

    Reference: the numeric mode of github.com/califyn/rsi-2021.
    """

    def __init__(self, *, inputs: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(width if layer else inputs, width, bias=False),
                    nn.BatchNorm1d(width),
                    nn.ReLU(inplace=True),
                )
                for layer in range(depth)
            )
        )
        self.num_features = width

    def forward(self, items: Tensor) -> Tensor:
        """Features `(batch, num_features)` of items `(batch, ...)`."""
        result: Tensor = self.layers(items.flatten(1))
        return result
