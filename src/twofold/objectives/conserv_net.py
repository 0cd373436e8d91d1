"""ConservNet: constant along an orbit, and not when noise leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twofold import losses, networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_positive,
    check_several,
    check_widths,
    places,
    projected_members,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ConservNet(Objective):
    """The noise-variance loss of several states of each orbit, each in a view of its own.

    The second term moves every state in a random direction, by a length drawn uniformly from 0 to
    `reach`, and encodes it again. Published with all 200 states of one orbit a step; here a step
    has `members` of each orbit and as many orbits as the batch, whose losses are averaged.
    Published in the units of the system; here lengths are in those that the encoder reads.

    Example:
        >>> ConservNet(members=4).bounds(256)
        (1.0, 0.0)

    Reference: Ha and Jeong, 2021, arXiv:2102.04008.
    """

    needs_views: ClassVar[bool] = True

    projector: tuple[int, ...] = (1,)
    """Widths of the head's layers; the last is how many quantities are learned."""
    members: int = 2
    """States of each orbit in a step, the first views, >= 2."""
    reach: float = 1.0
    """Longest way that noise moves a state, > 0."""
    spread: float = 1.0
    """Variance that embeddings of moved states shall have, > 0."""
    noise_weight: float = 1.0
    """Weight of that term, > 0."""

    def __post_init__(self) -> None:
        check_several(self, "members")
        check_positive(self, "reach", "spread", "noise_weight")
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
        """The noise-variance loss, over the batches of all processes."""
        assert batch.encode is not None  # a method gives it
        noisy = batch.encode(self._moved(batch)).chunk(self.members)
        return losses.noise_variance(
            projected_members(heads, batch.features[: self.members]),
            projected_members(heads, noisy),
            spread=self.spread,
            weight=self.noise_weight,
        )

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Embeddings that never change, and those that do as much as they shall."""
        del batch_size, known
        return self.noise_weight * self.spread, 0.0

    def _moved(self, batch: Encoded) -> Tensor:
        """Each view, moved in a direction of its own; whichever process it is on, in the same."""
        import torch

        from twofold.distributed import world_size

        views = torch.stack(batch.views[: self.members])
        whole, own = (self.members, world_size() * len(batch)), places(batch).to(views.device)
        step = views.new_empty(*whole, *views.shape[2:]).normal_()[:, own].flatten(2)
        length = self.reach * views.new_empty(*whole, 1).uniform_()[:, own]
        moved = views + (length * torch.nn.functional.normalize(step, dim=2)).view_as(views)
        return moved.flatten(0, 1)
