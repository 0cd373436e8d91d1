"""How embeddings are compared by the losses that contrast them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from twofold.losses.embeddings import full_precision, unit_rows


class Similarity(Protocol):
    """A measure of similarity, over a temperature."""

    @property
    def largest(self) -> float:
        """No similarity is further from 0; infinite if there is no such bound."""

    def prepare(self, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """Embeddings in full precision and as the other functions take them."""

    def of(self, first: Tensor, second: Tensor) -> Tensor:
        """Of every row of one `(n, dim)` to every row of the other `(m, dim)`: `(n, m)`."""

    def of_partners(self, first: Tensor, second: Tensor) -> Tensor:
        """Of each row to the same row of the other: `(n,)`."""

    def gradient(self, weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Of `sum(weights * of(first, second))` with respect to `first`: `(n, dim)`."""


@dataclass(frozen=True)
class Cosine:
    """`<a, b> / (|a| |b| temperature)`."""

    temperature: float

    @property
    def largest(self) -> float:
        """That of equal directions."""
        return 1 / self.temperature

    def prepare(self, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """Rows whose inner products are similarities: all of length `temperature^-1/2`."""
        return tuple(rows / math.sqrt(self.temperature) for rows in unit_rows(*embeddings))

    def of(self, first: Tensor, second: Tensor) -> Tensor:
        """The inner products."""
        return first @ second.mT

    def of_partners(self, first: Tensor, second: Tensor) -> Tensor:
        """The inner products, row by row."""
        return (first * second).sum(dim=1)

    def gradient(self, weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Of the weighted sum of inner products, which is linear in `first`."""
        return weights @ second


@dataclass(frozen=True)
class Euclidean:
    """`-|a - b|^2 / temperature`.

    From differences throughout: `|a|^2 - 2ab + |b|^2` would lose the digits of rows that are close.
    """

    temperature: float
    largest: float = math.inf

    def prepare(self, *embeddings: Tensor) -> tuple[Tensor, ...]:
        """The rows as they are."""
        return full_precision(*embeddings)

    def of(self, first: Tensor, second: Tensor) -> Tensor:
        """The squared distances, negative. Their gradient is right where rows coincide, too, as
        `cdist`'s own is 0 there."""
        distances = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
        return -distances.square() / self.temperature

    def of_partners(self, first: Tensor, second: Tensor) -> Tensor:
        """The squared distances, negative, row by row."""
        return -(first - second).square().sum(dim=1) / self.temperature

    def gradient(self, weights: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Of the weighted sum, which `cdist` differentiates from differences, too."""
        with torch.enable_grad():
            first = first.detach().requires_grad_()
            similarities = self.of(first, second)
        return torch.autograd.grad(similarities, first, weights)[0]
