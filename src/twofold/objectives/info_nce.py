"""InfoNCE: each view picks its partner out of a line of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from twofold import losses, networks
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_positive,
    check_widths,
    order,
    projected,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class InfoNCE(Objective):
    """InfoNCE between the projections of two views, the mean of both directions.

    Who the negatives are decides how many there are: `cross` the other items in the other view
    (`B - 1`), `all` the other items in both views (`2B - 2`, SimCLR's loss), `queue` the second
    views of the last `queue` items, and nobody of the batch.

    Example:
        >>> [InfoNCE(negatives=name).num_negatives(256) for name in ("cross", "all", "queue")]
        [255, 510, 4096]

    Reference: van den Oord et al., 2018, arXiv:1807.03748; queue: He et al., 2019,
    arXiv:1911.05722, here without its slowly moving encoder.
    """

    projector: tuple[int, ...] = (512, 128)
    """Widths of the projection head's layers; the last is the embedding's dimension."""
    temperature: float = 0.5
    """Divides the similarities; > 0."""
    similarity: Literal["cosine", "euclidean"] = "cosine"
    """cosine, or euclidean: minus the squared distance, for any dimension down to one."""
    negatives: Literal["cross", "all", "queue"] = "cross"
    """Where the negatives come from."""
    queue: int = 4096
    """How many embeddings the queue holds, >= 1."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature", "queue")
        check_widths(self, "projector", least=1 if self.similarity == "euclidean" else 2)

    @property
    def opposes_own(self) -> bool:
        """A queue holds views of earlier steps, of the same items too."""
        return self.negatives == "queue"

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector, and the queue if there is one."""
        projector = networks.mlp(networks.num_features(encoder), *self.projector)
        if self.negatives != "queue":
            return {"projector": projector}
        return {
            "projector": projector,
            "queue": networks.Memory(self.queue, self.projector[-1]),
        }

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """InfoNCE of the two projected views, over the batches of all processes."""
        first, second = projected(heads, batch)
        if self.negatives == "queue":
            loss = self._contrast(first, second, heads.queue.rows.clone())
            heads.queue.push(second.detach()[order(batch)])
            return loss
        forwards = self._contrast(first, second, self.negatives)
        return (forwards + self._contrast(second, first, self.negatives)) / 2

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Chance and floor of InfoNCE."""
        del known
        return losses.info_nce_bounds(
            batch_size,
            temperature=self.temperature,
            similarity=self.similarity,
            negatives=self.queue if self.negatives == "queue" else self.negatives,
        )

    def num_negatives(self, batch_size: int) -> int:
        """As many as the source of the negatives gives."""
        return {"cross": batch_size - 1, "all": 2 * batch_size - 2, "queue": self.queue}[
            self.negatives
        ]

    def _contrast(self, query: Tensor, key: Tensor, negatives: Any) -> Tensor:
        return losses.info_nce(
            query,
            key,
            temperature=self.temperature,
            similarity=self.similarity,
            negatives=negatives,
            shared=True,
        )
