"""SupCon: all views of a class attract, those of other classes repel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
class SupCon(Objective):
    """The supervised contrastive loss of the projections of two views.

    Example:
        >>> SupCon(variant="in").temperature
        0.1

    Reference: Khosla et al., 2020, arXiv:2004.11362.
    """

    uses_labels: ClassVar[bool] = True

    projector: tuple[int, ...] = (512, 128)
    """Widths of the projection head's layers; the last is 128 as published."""
    temperature: float = 0.1
    """Divides the cosine similarities; > 0, 0.1 as published."""
    variant: Literal["out", "in"] = "out"
    """Whether the mean over an anchor's positives is outside the logarithm or in it."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_widths(self, "projector", least=2)

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector."""
        if known.classes < 1:
            raise TwofoldError("SupCon learns from classes, and these items have none")
        return {"projector": networks.mlp(networks.num_features(encoder), *self.projector)}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """SupCon of both projected views, over the batches of all processes."""
        import torch

        from twofold.distributed import gather

        assert batch.labels is not None  # `heads` saw to it
        labels = gather(batch.labels)
        return losses.sup_con(
            torch.cat(projected(heads, batch)),
            torch.cat([labels, labels]),
            temperature=self.temperature,
            variant=self.variant,
            shared=True,
        )

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """All rows alike; zero, though the floor of classes with many items is higher."""
        del known
        return math.log(2 * batch_size - 1), 0.0
