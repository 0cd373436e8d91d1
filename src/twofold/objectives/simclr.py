"""SimCLR: two views of an image attract, all other images of the batch repel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import Encoded, Objective

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
    temperature: float = 0.5
    """Divides the cosine similarities; > 0. 0.5 for CIFAR-10 and 0.1 for ImageNet as published."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TwofoldError(f"temperature is {self.temperature}; it must be > 0")
        if not self.projector or min(self.projector) < 1 or self.projector[-1] < 2:
            raise TwofoldError(
                f"projector is {self.projector}; it needs one width or more, all positive, the "
                "last at least 2"
            )

    def heads(self, encoder: nn.Module) -> Mapping[str, nn.Module]:
        """The projector."""
        return {"projector": networks.mlp(networks.num_features(encoder), *self.projector)}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """NT-Xent of the two projected views, over the batches of all processes."""
        from twofold.distributed import gather

        first, second = (gather(heads.projector(features)) for features in batch.features)
        return losses.nt_xent(first, second, temperature=self.temperature)

    def bounds(self, batch_size: int) -> tuple[float, float]:
        """Chance and floor of NT-Xent."""
        return losses.nt_xent_bounds(batch_size, temperature=self.temperature)
