"""The Siamese network of Wetzel and others: are two states of one orbit?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold import losses, networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_widths,
    order,
    projected,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Siamese(Objective):
    """Cross-entropy of whether two states are of one orbit, told by their embeddings' distance.

    Half of the pairs are two states of one orbit, half are of two orbits of the batch. The only
    other weights are the two of the logit, which falls with the squared distance.

    Example:
        >>> Siamese().projector
        (1,)

    Reference: Wetzel et al., 2020, arXiv:2003.04299.
    """

    projector: tuple[int, ...] = (1,)
    """Widths of the head's layers; the last is how many quantities are learned."""

    def __post_init__(self) -> None:
        check_widths(self, "projector")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector, and the two weights that turn a squared distance into a logit."""
        import torch

        del known
        logit = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(logit.weight, -1.0)  # from the first step distances tell apart
        torch.nn.init.zeros_(logit.bias)
        width = networks.num_features(encoder)
        return {"projector": networks.mlp(width, *self.projector), "logit": logit}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The cross-entropy of same and other pairs, over the batches of all processes."""
        first, second = (view[order(batch)] for view in projected(heads, batch))
        return losses.same_orbit(first, second, heads.logit.weight, heads.logit.bias)

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Even odds, and certainty."""
        del batch_size, known
        return math.log(2), 0.0

    def num_negatives(self, batch_size: int) -> int:
        """One pair of two orbits for each state."""
        del batch_size
        return 1
