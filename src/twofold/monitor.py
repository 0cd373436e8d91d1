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
from twofold.items import Items, Shuffled, sampled
from twofold.method import Method
from twofold.positives import Groups, read
from twofold.preprocess import Preprocess
from twofold.reading import Reading, Readings

_HEALTH_ITEMS = 2048
_BANK_ITEMS = 10_000
_WATCHED_ITEMS = 120
_FEW = 2
_DIGITS = 5


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
        watched: Items that training never sees. What a head that ends in one number or two says
            of some of them is written down, for a reader to look at; nothing is chosen by it.
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
        watched: Source | None = None,
    ) -> None:
        self.bank = _evenly(trained, _BANK_ITEMS)
        self.queries = held_out
        self.watched = None if watched is None else watched_items(watched)
        self.preprocess, self.hardware = preprocess, hardware
        source = self.bank
        index = np.arange(min(_HEALTH_ITEMS, len(source)))
        if groups is not None:
            source = trained
            index = groups.members(np.arange(min(_HEALTH_ITEMS, len(groups))), EPOCH)
        images = read(source.items, index, preprocess)
        self.pair = [view.numpy() for view in two_views(views, images, index)]

    def __call__(self, method: Method) -> dict[str, Any]:
        """The record of one epoch: `knn` (or None), `health`, and `watched` if anything is."""
        encoder = method.encoder
        read = self.preprocess.of_views
        first, second = (self._features(encoder, view, read) for view in self.pair)
        state = health(first, pair=second)
        record = {"knn": self._knn(encoder), "health": vars(state)}
        return record | self._outputs(Readings(encoder, method.projector()))

    def _knn(self, encoder: nn.Module) -> Mapping[str, Any] | None:
        if self.queries is None or self.bank.labels is None or self.queries.labels is None:
            return None
        predicted = knn(
            self._features(encoder, self.bank.items, self.preprocess),
            self.bank.labels,
            self._features(encoder, self.queries.items, self.preprocess),
        )
        return accuracy(predicted, self.queries.labels)

    def _outputs(self, readings: Readings) -> dict[str, Any]:
        """What a head of few outputs says of the watched items, `(items, outputs)`."""
        layer = few_outputs(readings)
        if self.watched is None or layer is None:
            return {}
        reading = Reading(readings, layer=layer)
        # In float32 whatever the precision: in bf16 one could count the values that there are.
        found = features(reading, self.watched.items, self.preprocess, device=self.hardware.device)
        return {"watched": [[float(f"{z:.{_DIGITS}g}") for z in row] for row in found.tolist()]}

    def _features(self, encoder: nn.Module, items: Items, preprocess: Preprocess) -> Tensor:
        return features(
            encoder,
            items,
            preprocess,
            precision=self.hardware.precision,
            device=self.hardware.device,
        )


def few_outputs(readings: Readings) -> str | None:
    """The last layer of a head that ends in one number or two; None for other heads.

    Example:
        >>> from twofold.networks import build_encoder, mlp
        >>> encoder = build_encoder("mlp", channels=2, image_size=1)
        >>> few_outputs(Readings(encoder, mlp(64, 16, 1))), few_outputs(Readings(encoder))
        ('projector.2', None)
    """
    last = Reading(readings, layer=readings.layers[-1])
    return last.last if last.depth and last.num_features <= _FEW else None


def watched_items(source: Source) -> Source | None:
    """Up to 120 items by rising label, evenly over their ranks; None if labels are not numbers.

    Example:
        >>> labels = np.array([0.5, -1.5, 3.5], np.float32)
        >>> items = np.zeros((3, 2, 1, 1), np.float32)
        >>> watched_items(Source(name="toy", items=items, ids="abc", labels=labels)).ids
        ('b', 'a', 'c')
    """
    if isinstance(source.items, Shuffled):  # those far apart may have to be fetched first
        source = _evenly(source, _BANK_ITEMS)
    if source.labels is None or source.classes or source.labels.ndim > 1:
        return None
    order = np.argsort(source.labels, kind="stable")
    count = min(len(order), _WATCHED_ITEMS)
    return source.take(order[np.linspace(0, len(order) - 1, count).astype(np.int64)])


def _evenly(source: Source, count: int) -> Source:
    return source if len(source) <= count else source.take(sampled(source.items, count))
