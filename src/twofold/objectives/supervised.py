"""Plain supervision: classes by cross-entropy, or numbers by squared error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twofold import networks
from twofold.errors import TwofoldError
from twofold.objectives.objective import Encoded, Known, Objective

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Supervised(Objective):
    """A linear head on the features: cross-entropy of classes, or regression.

    The labels say which: whole numbers or names are classes; numbers `(n,)` or `(n, targets)` are
    regressed, standardised by the training items' mean and deviation, with the mean squared
    error.

    Example:
        >>> Supervised().uses_labels
        True
    """

    num_views: ClassVar[int] = 1
    uses_labels: ClassVar[bool] = True

    hidden: tuple[int, ...] = ()
    """Widths of hidden layers between the features and the outputs; none as usual."""
    label_smoothing: float = 0.0
    """Share of each label spread over all classes, in [0, 1)."""
    zero: bool = False
    """Whether the outputs begin at zero, so that at first the encoder stays as it is."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise TwofoldError(f"label_smoothing is {self.label_smoothing}; it must be in [0, 1)")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The classifier, or the regressor with the targets' mean and deviation."""
        import torch

        outputs = known.classes or len(known.target_mean)
        if outputs < 1:
            raise TwofoldError("Supervised learns from labels, and these items have none")
        head = networks.mlp(networks.num_features(encoder), *self.hidden, outputs)
        if self.zero:
            for parameter in head[-1].parameters():
                torch.nn.init.zeros_(parameter)
        if known.classes:
            return {"classifier": head}
        head.register_buffer("target_mean", torch.tensor(known.target_mean))
        head.register_buffer("target_std", torch.tensor(known.target_std))
        return {"regressor": head}

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """Cross-entropy or mean squared error, the mean over the views."""
        import torch
        from torch.nn import functional as F

        from twofold.losses.embeddings import full_precision

        assert batch.labels is not None  # `heads` saw to it
        features = torch.cat(batch.features)
        if "classifier" in heads:
            labels = batch.labels.repeat(len(batch.features))
            (logits,) = full_precision(heads.classifier(features))
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        head, targets = heads.regressor, batch.labels.reshape(len(batch), -1)
        standard = (targets - head.target_mean) / head.target_std
        (numbers,) = full_precision(head(features))
        return F.mse_loss(numbers, standard.to(numbers).repeat(len(batch.features), 1))
