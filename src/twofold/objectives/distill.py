"""Distillation: a student gives the same answers as a teacher that learned from labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from twofold.errors import TwofoldError
from twofold.objectives.objective import Encoded, Known, Objective, check_positive
from twofold.objectives.supervised import Supervised

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Distill(Objective):
    """A linear head on the features that is taught by another network, and by labels if any.

    `(1 - a) L_sup + a T² mean_x CE(softmax(t / T), softmax(q / T))`, with the teacher's logits t
    and the student's q of the same view, and `a` the teacher's share. `L_sup` is the mean over
    those items of the batch that have labels. Where the teacher tells numbers, the mean squared
    error of standardised targets stands in place of both cross-entropies and has no temperature.

    Example:
        >>> Distill(temperature=2.0).teacher_share
        1.0

    Reference: Hinton et al., 2015, arXiv:1503.02531; Chen et al., 2020, arXiv:2006.10029.
    """

    num_views: ClassVar[int] = 1
    needs_views: ClassVar[bool] = True

    temperature: float = 1.0
    """Divides the logits of both networks, > 0; higher tells more of the classes that the teacher
    deems wrong."""
    teacher_share: float = 1.0
    """Share of the teacher in the loss, in [0, 1]; the rest is that of the labels."""

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        if not 0 <= self.teacher_share <= 1:
            raise TwofoldError(f"teacher_share is {self.teacher_share}; it must be in [0, 1]")

    def heads(self, encoder: nn.Module, known: Known) -> Mapping[str, nn.Module]:
        """The classifier or the regressor, as `Supervised` has them."""
        if known.teacher is None:
            raise TwofoldError(
                "Distill learns from a teacher, and there is none; name a fine-tuned run with "
                "`twofold distill TEACHER --data D --out F`"
            )
        return Supervised().heads(encoder, known)

    def loss(self, heads: Any, batch: Encoded) -> Tensor:
        """The loss against the teacher and that against the labels, by their shares."""
        share = self.teacher_share
        if share == 1:
            return self._imitation(heads, batch)
        if share == 0:
            return _supervision(heads, batch)
        return (1 - share) * _supervision(heads, batch) + share * self._imitation(heads, batch)

    def _imitation(self, heads: Any, batch: Encoded) -> Tensor:
        """How far the student's answers are from the teacher's."""
        import torch
        from torch.nn import functional as F

        from twofold.losses.embeddings import full_precision

        assert batch.known.teacher is not None  # `heads` saw to it
        with torch.no_grad():
            taught = batch.known.teacher(batch.views[0])
        head = heads.regressor if "regressor" in heads else heads.classifier
        logits, taught = full_precision(head(batch.features[0]), taught)
        if "regressor" in heads:
            return F.mse_loss(logits, taught)
        wanted = torch.softmax(taught / self.temperature, dim=1)
        return self.temperature**2 * F.cross_entropy(logits / self.temperature, wanted)


def _supervision(heads: Any, batch: Encoded) -> Tensor:
    """The supervised loss of the items that have labels, of all processes; 0 if none has."""
    import torch

    from twofold.distributed import gather

    assert batch.labels is not None
    features, labels, index = map(gather, (batch.features[0], batch.labels, batch.index))
    labelled = batch.known.labelled
    rows = torch.ones(len(index), dtype=torch.bool) if labelled is None else labelled[index]
    if not rows.any():
        return 0 * features.sum()
    there = rows.to(features.device)
    part = replace(batch, features=(features[there],), labels=labels[there], index=index[rows])
    return Supervised().loss(heads, part)
