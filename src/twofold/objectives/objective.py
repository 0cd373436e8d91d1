"""What every objective is: a value that says which heads it learns and what it wants.

Objectives are read by the command line before torch is loaded, so nothing here imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Draws = Mapping[str, Mapping[str, "np.ndarray"]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Views of some items, and what is known of each."""

    views: tuple[Tensor, ...]
    """What the encoder read, `(batch, channels, height, width)` each."""
    draws: tuple[Draws, ...]
    """What each view's augmentations drew: name -> parameter -> `(batch,)`."""
    index: Tensor
    """Number of each item in its source, `(batch,)`."""
    labels: Tensor | None = None
    """Class of each item `(batch,)`, for objectives that use labels."""

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoded(Batch):
    """A batch with the encoder's features: all that an objective may look at."""

    features: tuple[Tensor, ...]
    """The encoder's output for each view, `(batch, num_features)`."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Something to learn from encoded views: heads, and a loss that reads them.

    An objective holds settings alone; what it learns lives in the modules that `heads` returns,
    which the `Method` owns as `heads.<objective>.<head>`.
    """

    def heads(self, encoder: nn.Module) -> Mapping[str, nn.Module]:
        """The modules this objective trains beside the encoder, by name."""
        del encoder
        return {}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """A scalar, lower is better. `heads` holds the modules of `heads` as attributes."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss")

    def after_update(self, heads: Any, encoder: nn.Module, progress: float) -> None:
        """Moves what no gradient moves, once per optimiser step; `progress` runs from 0 to 1."""

    def bounds(self, batch_size: int) -> tuple[float, float] | None:
        """The loss of an encoder that learned nothing and the least possible, if known."""
        del batch_size
        return None

    def predicts(self) -> frozenset[str]:
        """Names of the augmentations that this objective keeps in the features."""
        return frozenset()
