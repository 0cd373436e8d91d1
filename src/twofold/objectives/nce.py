"""NCE: tell an item's own memory from memories drawn at random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twofold import losses, networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import (
    Encoded,
    Known,
    Objective,
    check_positive,
    check_widths,
    places,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NCE(Objective):
    """Noise-contrastive estimation of which item a view shows, against a memory of all items.

    Every item has a unit vector in memory. The score of view v for item i is
    `exp(<v, memory_i> / temperature) / Z`; noise is uniform over the items; Z is estimated from
    the first batch and then kept. After each step the memory of the items seen moves towards
    their new embeddings.

    Example:
        >>> NCE(noise=4096).num_negatives(256)
        4096

    Reference: Wu et al., 2018, arXiv:1805.01978; Gutmann and Hyvärinen, 2010.
    """

    num_views: ClassVar[int] = 1

    projector: tuple[int, ...] = (128,)
    """Widths of the projection head's layers; 128 as published, a single linear layer."""
    temperature: float = 0.07
    """Divides the cosine similarities; > 0, 0.07 as published."""
    noise: int = 4096
    """Items drawn as noise for each view, >= 1; 4096 as published."""
    momentum: float = 0.5
    """Share of an item's memory that is kept when it is seen again, in [0, 1); 0.5 as published."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature", "noise")
        check_widths(self, "projector", least=2)
        if not 0 <= self.momentum < 1:
            raise TwofoldError(f"momentum is {self.momentum}; it must be in [0, 1)")

    @property
    def opposes_own(self) -> bool:
        """Noise is drawn from all items, the own one too."""
        return True

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The projector and the memory, which holds Z too (0 until the first batch)."""
        import torch

        if known.items < 1:
            raise TwofoldError(
                "NCE keeps a vector for every item, so it must know how many there are; hand "
                "Method known=Known(items=...)"
            )
        memory = networks.Memory(known.items, self.projector[-1])
        memory.register_buffer("normaliser", torch.zeros(()))
        projector = networks.mlp(networks.num_features(encoder), *self.projector)
        return {"projector": projector, "memory": memory}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """Binary NCE of the first views, which are then remembered."""
        import torch

        from twofold.distributed import gather, mean
        from twofold.losses.embeddings import unit_rows

        memory, index = heads.memory, gather(batch.index).to(heads.memory.rows.device)
        (embeddings,) = unit_rows(heads.projector(batch.features[0]))
        drawn = torch.randint(len(memory.rows), (len(index), self.noise), device=index.device)
        own, drawn = batch.index.to(index.device), drawn[places(batch)]
        with torch.autocast(embeddings.device.type, enabled=False):
            positive = (embeddings * memory.rows[own]).sum(dim=1) / self.temperature
            noise = torch.einsum("bd,bmd->bm", embeddings, memory.rows[drawn]) / self.temperature
            if not memory.normaliser:
                found = losses.nce_normaliser(noise, items=len(memory.rows))
                memory.normaliser.copy_(mean(found))
            loss = losses.nce(positive, noise, items=len(memory.rows), normaliser=memory.normaliser)
        memory.blend(index, gather(embeddings.detach()), momentum=self.momentum)
        return loss

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """All scores alike, so that each has the odds 1 to `noise`; and certainty."""
        del batch_size, known
        return math.log1p(self.noise) + self.noise * math.log1p(1 / self.noise), 0.0

    def num_negatives(self, batch_size: int) -> int:
        """The noise draws."""
        del batch_size
        return self.noise
