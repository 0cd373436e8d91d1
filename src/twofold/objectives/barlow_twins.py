"""Barlow Twins: each dimension agrees between views and repeats no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_positive,
    check_widths,
    projected,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class BarlowTwins(Objective):
    """The distance of the views' cross-correlation matrix from the identity.

    Example:
        >>> BarlowTwins(scale=1.0).bounds(256)
        (8192.0, 0.0)

    Reference: Zbontar et al., 2021, arXiv:2103.03230.
    """

    projector: tuple[int, ...] = (8192, 8192, 8192)
    """Widths of the projection head's layers; three of 8192 as published."""
    redundancy: float = 0.0051
    """Weight of the off-diagonal terms, > 0; 0.0051 as published."""
    scale: float = 1.0
    """Factor on the loss, > 0: it acts on SGD's rate and decay; 0.1 is solo-learn's for CIFAR."""

    def __post_init__(self) -> None:
        check_positive(self, "redundancy", "scale")
        check_widths(self, "projector")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector."""
        width = networks.num_features(encoder)
        return {"projector": networks.mlp(width, *self.projector, norm=True, last="linear")}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """Barlow Twins' loss of the two projected views, over the batches of all processes."""
        first, second = projected(heads, batch)
        return self.scale * losses.barlow_twins(first, second, redundancy=self.redundancy)

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Views without any correlation, and the identity."""
        del batch_size, known
        return self.scale * self.projector[-1], 0.0
