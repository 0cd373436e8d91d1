"""VICReg that fades into InfoNCE: for embeddings of so few dimensions that they stay folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.errors import TwofoldError
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
class Unfolded(Objective):
    """VICReg that fades into InfoNCE of distances, both of the same projections.

    `loss = (1 - w) InfoNCE + w VICReg`, `w = 2 (1 - progress / fading)` within 0 and 1

    On a line, items that InfoNCE has once put side by side push each other back wherever one of
    them tries to pass: an order that began folded, low and high energies on one side, stays so.
    VICReg compares no items, so nothing is in its way; it finds the coarse order, and InfoNCE
    what is fine.

    Example:
        >>> [Unfolded().weight_at(progress) for progress in (0.25, 0.375, 0.5)]
        [1.0, 0.5, 0.0]

    Reference: van den Oord et al., 2018, arXiv:1807.03748; Bardes et al., 2021, arXiv:2105.04906;
    that one begins and the other ends is twofold's own (`docs/conserved_pictures.md`).
    """

    projector: tuple[int, ...] = (1,)
    """Widths of the projection head's layers; the last is the embedding's dimension."""
    temperature: float = 0.1
    """Divides the squared distances; > 0."""
    fading: float = 0.5
    """Share of the training after which VICReg is gone; it is alone for half of that; in (0, 1]."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_widths(self, "projector")
        if not 0 < self.fading <= 1:
            raise TwofoldError(f"fading is {self.fading}; it must be in (0, 1]")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector, and the weight of VICReg at this time of the training."""
        import torch
        from torch import nn

        course = nn.Module()
        course.register_buffer("weight", torch.ones(()))
        projector = networks.mlp(networks.num_features(encoder), *self.projector)
        return {"projector": projector, "course": course}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """Both losses of the two projected views, over the batches of all processes."""
        first, second = projected(heads, batch)
        contrast = (self._contrast(first, second) + self._contrast(second, first)) / 2
        return contrast.lerp(losses.vicreg(first, second), heads.course.weight)

    def after_update(self, heads: Any, encoder: nn.Module, progress: float) -> None:
        """Moves the weight of VICReg; it stays on the device, as all that a step reads."""
        del encoder
        heads.course.weight.fill_(self.weight_at(progress))

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Chance and floor of InfoNCE, in which it ends."""
        del known
        return losses.info_nce_bounds(
            batch_size, temperature=self.temperature, similarity="euclidean"
        )

    def num_negatives(self, batch_size: int) -> int:
        """The other items in the other view."""
        return batch_size - 1

    def weight_at(self, progress: float) -> float:
        """The weight of VICReg; `progress` runs from 0 to 1."""
        return min(1.0, max(0.0, 2 * (1 - progress / self.fading)))

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        return losses.info_nce(
            query, key, temperature=self.temperature, similarity="euclidean", shared=True
        )
