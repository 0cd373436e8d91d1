"""ConCerNet: distances along an orbit are small beside those between orbits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_several,
    check_widths,
    projected_members,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ConCerNet(Objective):
    """The square-ratio loss of several states of each orbit, each in a view of its own.

    Published with 10 orbits a step and all their states, 30 or 100. Here a step has `members` of
    each orbit and as many orbits as the batch: an estimate of the same ratio.

    Example:
        >>> ConCerNet(members=4).reads
        (0, 1, 2, 3)

    Reference: Zhang et al., 2023, arXiv:2302.05783.
    """

    projector: tuple[int, ...] = (1,)
    """Widths of the head's layers; the last is how many quantities are learned."""
    members: int = 2
    """States of each orbit in a step, the first views, >= 2."""

    def __post_init__(self) -> None:
        check_several(self, "members")
        check_widths(self, "projector")

    @property
    def reads(self) -> tuple[int, ...]:
        """One view for each member."""
        return tuple(range(self.members))

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector."""
        del known
        return {"projector": networks.mlp(networks.num_features(encoder), *self.projector)}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The square ratio of all projected views, over the batches of all processes."""
        return losses.square_ratio(projected_members(heads, batch.features[: self.members]))

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """What embeddings without any structure give, and orbits that are points."""
        del known
        return 1 / (self.members * batch_size - 1), 0.0
