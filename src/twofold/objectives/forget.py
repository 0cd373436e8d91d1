"""Remove an augmentation from the features while they are learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twofold.objectives.objective import Encoded, Known, Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Forget(Objective):
    """The dependence between features and what an augmentation drew, as HSIC sees it.

    `tr(K H L H) / (|H K H| |H L H|)` with H the centring matrix: K holds Gaussian kernels of the
    features' directions, their width the median distance in the batch, and L inner products of the
    draws, one column per class. 0 if no function of the features tells of the draws, 1 at most.

    It is beside the word `blind`, which erases exactly, but only what is linear: this also weakens
    what is not, at a price in what else the features tell (`benchmarks/prescription.py`).

    Example:
        >>> Forget("rotate").reads
        (0, 1)

    Reference: Gretton et al., 2005, doi:10.1007/11564089_7; normalised as by Cortes et al., 2012.
    """

    augmentation: str = field(kw_only=False)
    """Name of the one to remove."""
    views: tuple[int, ...] = (0, 1)
    """The views whose features must not tell of it."""

    @property
    def reads(self) -> tuple[int, ...]:
        """The views whose features must not tell of it."""
        return self.views

    def recovers(self) -> frozenset[str]:
        """The one to remove."""
        return frozenset({self.augmentation})

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The dependence in the batches of all processes, all views together."""
        import numpy as np
        import torch
        from torch.nn import functional as F

        from twofold.distributed import gather
        from twofold.losses.embeddings import full_precision

        del heads
        target = batch.known.target(self.augmentation)
        drawn = [target.columns(batch.draws[view][self.augmentation]) for view in self.views]
        (features,) = full_precision(
            gather(torch.cat([batch.features[view] for view in self.views]))
        )
        directions = F.normalize(features - features.mean(dim=0), dim=1)
        squares = (2 - 2 * directions @ directions.T).clamp(min=0)
        columns = gather(torch.from_numpy(np.concatenate(drawn))).to(features)
        kernel = _centred(torch.exp(-squares / squares.detach().median()))
        other = _centred(columns @ columns.T)
        dependence: Tensor = (kernel * other).sum() / (kernel.norm() * other.norm()).clamp(min=1e-8)
        return dependence

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Full dependence and none."""
        del batch_size, known
        return 1.0, 0.0


def _centred(kernel: Tensor) -> Tensor:
    rows = kernel - kernel.mean(dim=0, keepdim=True)
    return rows - rows.mean(dim=1, keepdim=True)
