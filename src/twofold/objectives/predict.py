"""Keep an augmentation in the features: they must tell what it did."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from twofold import networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import (
    Draws,
    Encoded,
    Known,
    Objective,
    check_widths,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from twofold.augment.target import Target


@dataclass(frozen=True, kw_only=True)
class Predict(Objective):
    """Recovers from the features what augmentations drew.

    What there is to recover is the augmentation's to say: whether it was applied (binary
    cross-entropy), which of a few classes it took (cross-entropy) or how much it did (mean
    squared error of standardised numbers). The loss is the mean over the augmentations, so its
    chance value is the mean of ln 2 (at even odds), the classes' entropy (ln 4 for quarter turns)
    and 1.

    `each` reads one view at a time (E-SSL, MT-SLVR) and averages over `views`. `difference` reads
    two together and recovers how their draws differ (AugSelf): whether just one was applied, the
    difference of classes modulo their number, the difference of numbers.

    Example:
        >>> Predict("rotate", views=(2,)).reads
        (2,)

    Reference: Dangovski et al., 2021, arXiv:2111.00899 (E-SSL); Lee et al., 2021, arXiv:2111.09613
    (AugSelf); Heggan et al., 2023, arXiv:2305.17191 (MT-SLVR).
    """

    augmentations: tuple[str, ...] | str = field(default=(), kw_only=False)
    """Names of those to recover, all by one head; if none, those prescribed to be kept."""
    route: str = "sensitive"
    """Whose features it reads, if routes have adapters of their own."""
    views: tuple[int, ...] = (0, 1)
    """The views it reads, from 0."""
    compare: Literal["each", "difference"] = "each"
    """Whether it recovers the draws of each view, or how those of two views differ."""
    applied: bool = False
    """Whether it recovers of every augmentation only if it was applied."""
    hidden: tuple[int, ...] = (512,)
    """Widths of the predictor's hidden layers."""
    norm: Literal["none", "batch", "layer"] = "batch"
    """What normalises them."""

    def __post_init__(self) -> None:
        if not self.views or min(self.views) < 0:
            raise TwofoldError(f"views is {self.views}; it must name views, from 0")
        if self.compare == "difference" and len(self.views) != 2:
            raise TwofoldError(
                f"views is {self.views}; compare='difference' compares two views, e.g. (0, 1)"
            )
        if self.hidden:
            check_widths(self, "hidden")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the augmentations to recover."""
        found = self.augmentations
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def reads(self) -> tuple[int, ...]:
        """The views it reads."""
        return self.views

    def completed(self, kept: tuple[str, ...]) -> Predict:
        """This predictor for all that is to be kept, unless it names some itself."""
        return self if self.names else replace(self, augmentations=kept)

    def without(self, names: Set[str]) -> Predict | None:
        """This predictor for the others that it names."""
        left = tuple(name for name in self.names if name not in names)
        if left == self.names:
            return self
        return replace(self, augmentations=left) if left else None

    def keeps(self) -> frozenset[str]:
        """Those it recovers."""
        return frozenset(self.names)

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The predictor, from the features to all that is recovered."""
        if not self.names:
            raise TwofoldError(
                "Predict names no augmentation; name some, or prescribe some 'sensitive' or 'both'"
            )
        width = networks.num_features(encoder) * (2 if self.compare == "difference" else 1)
        outputs = sum(target.num_outputs for target in self._targets(known))
        norms: dict[str, bool | Literal["layer"]] = {"none": False, "batch": True, "layer": "layer"}
        numbers = any(target.kind == "continuous" for target in self._targets(known))
        last: Literal["readout", "affine"] = "readout" if numbers else "affine"
        head = networks.mlp(width, *self.hidden, outputs, norm=norms[self.norm], last=last)
        return {"predictor": head}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The mean over augmentations and views."""
        import torch

        from twofold.losses.embeddings import full_precision

        features = [batch.features[view] for view in self.views]
        draws = [batch.draws[view] for view in self.views]
        if self.compare == "difference":
            features, draws = [torch.cat(features, dim=1)], [draws[0], draws[1]]
        (outputs,) = full_precision(heads.predictor(torch.cat(features)))
        targets = self._targets(batch.known)
        parts = torch.split(outputs, [target.num_outputs for target in targets], dim=1)
        losses = [
            prediction_loss(part, self._values(target, draws).to(part.device), target.kind)
            for part, target in zip(parts, targets, strict=True)
        ]
        return torch.stack(losses).mean()

    def bounds(self, batch_size: int, known: Known | None = None) -> tuple[float, float] | None:
        """What a predictor reaches that knows only how often each is drawn, and zero."""
        del batch_size
        targets = self._targets(known) if known is not None else ()
        chances = [target.chance for target in targets]
        return (sum(chances) / len(chances), 0.0) if chances else None

    def _targets(self, known: Known) -> list[Target]:
        found = [known.target(name) for name in self.names]
        found = [target.as_applied() for target in found] if self.applied else found
        return [t.as_difference() for t in found] if self.compare == "difference" else found

    def _values(self, target: Target, draws: list[Draws]) -> Tensor:
        """What is to be recovered, one row after another as the features."""
        import torch

        drawn = [draw[target.name] for draw in draws]
        if self.compare == "difference":
            return torch.from_numpy(target.between(drawn[0], drawn[1]))
        return torch.cat([torch.from_numpy(target.values(one)) for one in drawn])


def prediction_loss(outputs: Tensor, values: Tensor, kind: str) -> Tensor:
    """Cross-entropy of a class or of a yes, or the mean squared error of numbers.

    Args:
        outputs: `(n, num_outputs)`.
        values: What they should tell: 0 or 1 `(n,)`, classes `(n,)`, or numbers
            `(n, num_outputs)`.
        kind: `binary`, `classes` or `continuous`.

    Example:
        >>> import torch
        >>> round(prediction_loss(torch.zeros(2, 4), torch.tensor([0, 3]), "classes").item(), 4)
        1.3863
    """
    from torch.nn import functional as F

    if kind == "classes":
        return F.cross_entropy(outputs, values)
    values = values.to(outputs)
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(outputs[:, 0], values)
    return F.mse_loss(outputs, values)
