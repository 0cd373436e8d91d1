"""BYOL: predict how a slowly moving copy of the network sees the other view."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twofold import losses, networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import Encoded, Known, Objective, check_widths

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class BYOL(Objective):
    """The squared distance between a prediction and the target's projection of the other view.

    The target is a copy of encoder and projector that no gradient reaches. After each step it
    moves towards them, `target <- m * target + (1 - m) * online`, with
    `m = 1 - (1 - momentum) * (1 + cos(pi * progress)) / 2`. Its BatchNorm keeps statistics of its
    own.

    Example:
        >>> byol = BYOL(momentum=0.96)
        >>> [round(byol.momentum_at(progress), 2) for progress in (0.0, 0.5, 1.0)]
        [0.96, 0.98, 1.0]

    Reference: Grill et al., 2020, arXiv:2006.07733.
    """

    needs_views: ClassVar[bool] = True

    projector: tuple[int, ...] = (4096, 256)
    """Widths of the projection head's layers; 4096 and 256 as published."""
    predictor: tuple[int, ...] = (4096,)
    """Widths of the predictor's hidden layers; it ends with the projector's last width."""
    momentum: float = 0.99
    """Share of the target kept at the first step, in [0, 1]; 0.97 for 40 epochs, 0.99 for 100 and
    300, 0.996 for 1000 as published."""

    def __post_init__(self) -> None:
        check_widths(self, "projector")
        check_widths(self, "predictor")
        if not 0 <= self.momentum <= 1:
            raise TwofoldError(f"momentum is {self.momentum}; it must be in [0, 1]")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """Projector and predictor, and the target: copies of encoder and projector."""
        from torch import nn

        dim = self.projector[-1]
        projector = networks.mlp(networks.num_features(encoder), *self.projector, norm=True)
        target = nn.ModuleDict({"encoder": encoder, "projector": projector})
        return {
            "projector": projector,
            "predictor": networks.mlp(dim, *self.predictor, dim, norm=True),
            "target": copy.deepcopy(target).requires_grad_(False),
        }

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """BYOL's loss in both directions, from 0 to 8."""
        import torch

        first, second = (heads.predictor(heads.projector(f)) for f in batch.features[:2])
        with torch.no_grad():
            targets = [heads.target.projector(heads.target.encoder(v)) for v in batch.views[:2]]
        return losses.byol((first, second), (targets[0], targets[1]))

    def after_update(self, heads: Any, encoder: nn.Module, progress: float) -> None:
        """Moves the target's parameters; its buffers are its own."""
        import torch

        with torch.no_grad():
            for online, target in (
                (encoder, heads.target.encoder),
                (heads.projector, heads.target.projector),
            ):
                torch._foreach_lerp_(
                    list(target.parameters()),
                    list(online.parameters()),
                    1 - self.momentum_at(progress),
                )

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float]:
        """Orthogonal and equal directions."""
        del batch_size, known
        return 4.0, 0.0

    def momentum_at(self, progress: float) -> float:
        """Share of the target kept at a step; `progress` runs from 0 to 1."""
        return 1 - (1 - self.momentum) * (1 + math.cos(math.pi * progress)) / 2
