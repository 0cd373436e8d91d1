"""VICReg: views agree, every dimension varies, and no two vary together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import Encoded, Known, Objective, check_widths, projected

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class VICReg(Objective):
    """Invariance, variance and covariance of the expanded views, in the official convention.

    Example:
        >>> VICReg().variance
        25.0

    Reference: Bardes et al., 2021, arXiv:2105.04906.
    """

    projector: tuple[int, ...] = (8192, 8192, 8192)
    """Widths of the expander's layers; three of 8192 as published."""
    invariance: float = 25.0
    """Weight of the distance between views, >= 0."""
    variance: float = 25.0
    """Weight of the hinge that keeps each dimension's deviation at 1, >= 0."""
    covariance: float = 1.0
    """Weight of the covariances between dimensions, >= 0."""

    def __post_init__(self) -> None:
        check_widths(self, "projector")
        for field in ("invariance", "variance", "covariance"):
            if not getattr(self, field) >= 0:
                raise TwofoldError(f"{field} is {getattr(self, field)}; it must be >= 0")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The expander."""
        width = networks.num_features(encoder)
        return {"projector": networks.mlp(width, *self.projector, norm=True, last="linear")}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """VICReg's loss of the two expanded views, over the batches of all processes."""
        first, second = projected(heads, batch)
        return losses.vicreg(
            first,
            second,
            invariance=self.invariance,
            variance=self.variance,
            covariance=self.covariance,
        )

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """A constant embedding, and all three terms at rest."""
        del batch_size, known
        return 0.99 * self.variance, 0.0
