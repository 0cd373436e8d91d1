"""Is it learning? Health and an online kNN while the run goes on, from training data alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from twofold.augment import Views
from twofold.domains import Source
from twofold.evaluate import accuracy, features, health, knn, two_views
from twofold.evaluate.health import EPOCH
from twofold.hardware import Hardware
from twofold.items import Items
from twofold.method import Method
from twofold.positives import Groups, read
from twofold.preprocess import Preprocess

_HEALTH_ITEMS = 2048
_BANK_ITEMS = 10_000


class Monitor:
    """Measures an encoder on part of the training data.

    Health comes from the features of two views of the same items, or of two items of the same
    groups where these are the positives. The kNN classifies the
    held-out items, which the run does not train on, by their neighbours among the others.

    Args:
        trained: Items the run trains on.
        held_out: Items it does not, with labels; None if there are no labels.
        views: Gives the two views, drawn from an epoch of their own, or two if it has one view.
        preprocess: What the encoder reads.
        hardware: Device and precision.
        groups: Groups whose items are positives of each other.
    """

    def __init__(
        self,
        trained: Source,
        held_out: Source | None,
        *,
        views: Views,
        preprocess: Preprocess,
        hardware: Hardware,
        groups: Groups | None = None,
    ) -> None:
        self.bank = _evenly(trained, _BANK_ITEMS)
        self.queries = held_out
        self.preprocess, self.hardware = preprocess, hardware
        source = self.bank
        index = np.arange(min(_HEALTH_ITEMS, len(source)))
        if groups is not None:
            source = trained
            index = groups.members(np.arange(min(_HEALTH_ITEMS, len(groups))), EPOCH)
        images = read(source.items, index, preprocess)
        self.pair = [view.numpy() for view in two_views(views, images, index)]

    def __call__(self, method: Method) -> dict[str, Any]:
        """The record of one epoch: `knn` (or None) and `health`."""
        encoder = method.encoder
        read = self.preprocess.of_views
        first, second = (self._features(encoder, view, read) for view in self.pair)
        state = health(first, pair=second)
        return {"knn": self._knn(encoder), "health": vars(state)}

    def _knn(self, encoder: nn.Module) -> Mapping[str, Any] | None:
        if self.queries is None or self.bank.labels is None or self.queries.labels is None:
            return None
        predicted = knn(
            self._features(encoder, self.bank.items, self.preprocess),
            self.bank.labels,
            self._features(encoder, self.queries.items, self.preprocess),
        )
        return accuracy(predicted, self.queries.labels)

    def _features(self, encoder: nn.Module, items: Items, preprocess: Preprocess) -> Tensor:
        return features(
            encoder,
            items,
            preprocess,
            precision=self.hardware.precision,
            device=self.hardware.device,
        )


def _evenly(source: Source, count: int) -> Source:
    if len(source) <= count:
        return source
    return source.take(np.linspace(0, len(source) - 1, count).astype(np.int64))
