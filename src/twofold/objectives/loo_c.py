"""Leave-one-out contrast: a space that ignores everything, and one for each thing to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twofold import networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_positive,
    check_widths,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class LooC(Objective):
    """One contrast in a space of its own for every augmentation left out, beside the usual one.

    The views of an item are a query, a key with draws of its own, and for each of n augmentations
    a key that repeats the query's draws of that one. With `s_j` the similarities of the query to
    its own keys in space i, and `t` those to the other items' keys, each over the temperature,

    `L_0 = -log(e^s_0 / (e^s_0 + sum e^t_0))`
    `L_i = -log(e^s_i / (sum_j e^s_j + sum e^t_i))`, i >= 1,

    and the loss is the mean of all n + 1. In space i the item's other keys are negatives, so that
    augmentation i has to be kept there. Negatives are the batch's, not a queue's as published.

    Example:
        >>> LooC(("rotate", "brightness")).num_negatives(256)
        255

    Reference: Xiao et al., 2020, arXiv:2008.05659.
    """

    augmentations: tuple[str, ...] = field(kw_only=False)
    """Names of those to keep; the views that repeat them are 2, 3, ... in this order."""
    projector: tuple[int, ...] = (2048, 128)
    """Widths of the layers of each space's head."""
    temperature: float = 0.2
    """Divides the similarities, > 0."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_widths(self, "projector", least=2)

    @property
    def reads(self) -> tuple[int, ...]:
        """The query, the independent key, and a key for each augmentation."""
        return tuple(range(2 + len(self.augmentations)))

    @property
    def opposes_own(self) -> bool:
        """What is kept in a space sets an item's views apart there."""
        return True

    def keeps(self) -> frozenset[str]:
        """Those with a space of their own."""
        return frozenset(self.augmentations)

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """A projector for the space that ignores all, and one for each other space."""
        del known
        width = networks.num_features(encoder)
        names = ("projector", *(f"projector_{name}" for name in self.augmentations))
        return {name: networks.mlp(width, *self.projector) for name in names}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The mean over all spaces."""
        import torch
        from torch.nn import functional as F

        from twofold.distributed import gather
        from twofold.losses.embeddings import unit_rows

        spaces = [heads.projector, *(heads[f"projector_{name}"] for name in self.augmentations)]
        total = []
        for space, projector in enumerate(spaces):
            views = (0, 1) if space == 0 else self.reads
            query, *keys = unit_rows(*(gather(projector(batch.features[view])) for view in views))
            own = torch.stack([(query * key).sum(dim=1) for key in keys], dim=1)
            others = query @ keys[space].T
            others.fill_diagonal_(-torch.inf)
            logits = torch.cat([own, others], dim=1) / self.temperature
            total.append(F.cross_entropy(logits, logits.new_full((len(query),), space).long()))
        return torch.stack(total).mean()

    def num_negatives(self, batch_size: int) -> int:
        """In the space that ignores all: every other item's key."""
        return batch_size - 1
