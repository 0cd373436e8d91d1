"""SimSiam: predict the other view's projection, through which no gradient flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.objectives.objective import Encoded, Known, Objective, check_widths

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SimSiam(Objective):
    """Minus the cosine between the prediction from one view and the projection of the other.

    `loss = (D(p1, z2) + D(p2, z1)) / 2`, `D(p, z) = -cos(p, stop_gradient(z))`

    Example:
        >>> SimSiam(fix_predictor_rate=True).fixed_rate()
        frozenset({'predictor'})

    Reference: Chen and He, 2020, arXiv:2011.10566.
    """

    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the projection head's layers; three of 2048 as published, two for CIFAR-10."""
    predictor: tuple[int, ...] = (512,)
    """Widths of the predictor's hidden layers; a bottleneck of 512 as published."""
    fix_predictor_rate: bool = False
    """Whether the predictor's learning rate stays at its peak (68.1 % on ImageNet with it)."""

    def __post_init__(self) -> None:
        check_widths(self, "projector", least=2)
        check_widths(self, "predictor")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector, which ends with plain BatchNorm, and the predictor."""
        width, dim = networks.num_features(encoder), self.projector[-1]
        return {
            "projector": networks.mlp(width, *self.projector, norm=True, last="standard"),
            "predictor": networks.mlp(dim, *self.predictor, dim, norm=True),
        }

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The mean of both directions, from -1 to 1."""
        first, second = (heads.projector(features) for features in batch.features[:2])
        forwards = losses.negative_cosine(heads.predictor(first), second)
        return (forwards + losses.negative_cosine(heads.predictor(second), first)) / 2

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Orthogonal and equal directions."""
        del batch_size, known
        return 0.0, -1.0

    def fixed_rate(self) -> frozenset[str]:
        """The predictor, if asked for."""
        return frozenset({"predictor"} if self.fix_predictor_rate else ())
