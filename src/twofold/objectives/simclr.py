"""SimCLR: two views of an image attract, all other images of the batch repel."""

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
class SimCLR(Objective):
    """NT-Xent between the projections of two views.

    Example:
        >>> SimCLR(temperature=0.2).projector
        (512, 128)

    Reference: Chen et al., 2020, arXiv:2002.05709.
    """

    projector: tuple[int, ...] = (512, 128)
    """Widths of the projection head's layers; the last is the embedding's dimension, 128 as
    published."""
    norm: bool = False
    """Whether the head's layers end with BatchNorm, as published for ImageNet."""
    temperature: float = 0.5
    """Divides the cosine similarities; > 0. 0.5 for CIFAR-10 and 0.1 for ImageNet as published."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_widths(self, "projector", least=2)

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector."""
        width = networks.num_features(encoder)
        if self.norm:
            return {"projector": networks.mlp(width, *self.projector, norm=True, last="scaled")}
        return {"projector": networks.mlp(width, *self.projector)}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """NT-Xent of the two projected views, over the batches of all processes."""
        first, second = projected(heads, batch)
        return losses.nt_xent(first, second, temperature=self.temperature, shared=True)

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Chance and floor of NT-Xent."""
        del known
        return losses.nt_xent_bounds(batch_size, temperature=self.temperature)

    def num_negatives(self, batch_size: int) -> int:
        """Both views of every other item: `2B - 2`."""
        return 2 * batch_size - 2
