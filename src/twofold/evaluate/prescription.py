"""What embeddings keep of an augmentation: how alike they stay, and what they tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor

from twofold.augment import Augmentation, Draws, Views, permutation
from twofold.domains.names import domain_by_name
from twofold.erasure import Eraser, fit_eraser
from twofold.evaluate.decode import Decoded, decode
from twofold.evaluate.features import frozen
from twofold.evaluate.similarity import Similarity, similarity
from twofold.items import Items, Shuffled
from twofold.preprocess import Preprocess
from twofold.reading import Readings

KEPT = 0.9
"""Share of the way from chance to the ceiling from which an augmentation counts as kept."""
FORGOTTEN = 0.1
"""Share up to which it counts as ignored."""
ALIKE = 0.5
"""Share of the way from unrelated to equal from which embeddings count as alike."""

_TRAIN, _TEST = 8000, 4000  # items that a probe learns from and is judged on
_ROWS = 20_000  # embeddings that an eraser is fitted to
_TOLD = 0.02  # what a ceiling must be above chance for a share of the way to mean anything
_EVEN = 0.5  # probability of an augmentation that a probe has to notice


class Evidence(TypedDict):
    """What one reading of an encoder shows of one augmentation."""

    similarity: Similarity
    """How alike the embeddings of an item and of its changed self are."""
    decoded: Decoded
    """How well a fresh linear probe recovers what was drawn from the changed item's embedding."""
    decoded_mlp: Decoded
    """The same of a probe with a hidden layer, which sees what is not linear, too."""


class Unchanged(NamedTuple):
    """Embeddings by reading of items as they are, of those that `observe` uses."""

    train: dict[str, Tensor]
    test: dict[str, Tensor]


def encode_unchanged(
    readings: Readings,
    train: Items,
    test: Items,
    preprocess: Preprocess,
    *,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
) -> Unchanged:
    """What `observe` compares with, the same for every augmentation; arguments are as there."""
    where = torch.device(device)
    parts = (_part(train, 1, _TRAIN), test[:_TEST])
    encoded = (_encode(readings, p, preprocess, None, 0, batch_size, where) for p in parts)
    return Unchanged(*(one.embeddings for one in encoded))


def observe(
    readings: Readings,
    augmentation: tuple[str, Augmentation],
    train: Items,
    test: Items,
    preprocess: Preprocess,
    *,
    unchanged: Unchanged | None = None,
    seed: int = 0,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
) -> dict[str, Evidence]:
    """What each reading of an encoder keeps of one augmentation.

    Nothing else is drawn. A binary augmentation is applied to half of the items, so that there is
    something to notice; any other to all. The probe learns from `train` and is judged on `test`,
    which the encoder should not have been trained on.

    Args:
        readings: What can be read of the encoder.
        augmentation: Its name and its settings, suited to the items' channels.
        train: Items as stored `(n, channels, height, width)`; at most 8000 of one half serve.
        test: The same, the first 4000.
        preprocess: What the encoder reads.
        unchanged: What `encode_unchanged` gave for the same items, to spare doing it for each
            augmentation.
        seed: Of the draws and of the probe.
        batch_size: Items encoded at a time.
        device: Where to compute.

    Returns:
        Evidence by the name of the reading.
    """
    name, settings = augmentation
    if unchanged is None:
        unchanged = encode_unchanged(
            readings, train, test, preprocess, batch_size=batch_size, device=device
        )
    train, test = _part(train, 1, _TRAIN), test[:_TEST]
    views, always = (
        _views({name: settings}, preprocess, seed, always=changed) for changed in (False, True)
    )
    target = views.target(name)

    def encode(items: Items, drawn: Views, epoch: int) -> _Encoded:
        return _encode(readings, items, preprocess, drawn, epoch, batch_size, torch.device(device))

    learned, judged = encode(train, views, 0), encode(test, views, 1)
    changed = encode(test, always, 1) if settings.target == "binary" else judged

    def recover(reading: str, probe: Literal["linear", "mlp"]) -> Decoded:
        return decode(
            learned.embeddings[reading],
            torch.from_numpy(target.values(learned.draws[name])),
            judged.embeddings[reading],
            torch.from_numpy(target.values(judged.draws[name])),
            kind=target.kind,
            seed=seed,
            probe=probe,
        )

    return {
        reading: Evidence(
            similarity=similarity(
                unchanged.test[reading], changed.embeddings[reading], unchanged.train[reading]
            ),
            decoded=recover(reading, "linear"),
            decoded_mlp=recover(reading, "mlp"),
        )
        for reading in unchanged.test
    }


def noticeable(augmentation: Augmentation) -> Augmentation:
    """The augmentation drawn so that there is something to tell: a binary one for half the items.

    Example:
        >>> from twofold.augment import IMAGE
        >>> noticeable(IMAGE["flip"]).probability, noticeable(IMAGE["hue"]).probability
        (0.5, 1.0)
    """
    return replace(augmentation, probability=_EVEN if augmentation.target == "binary" else 1.0)


class Verdict(TypedDict):
    """What is made of the evidence."""

    share: float
    """How far the linear probe gets from chance, 0, to the ceiling, 1."""
    alike: float
    """How far similarity gets from that of unrelated items, 0, to that of equal embeddings, 1."""
    does: Literal["kept", "partly kept", "ignored"]
    """What the embedding does with the augmentation."""
    achieved: bool | None
    """Whether it is what was prescribed; None where nothing was."""


def judge(evidence: Evidence, word: str | None = None, *, ceiling: float = 1.0) -> Verdict:
    """What evidence amounts to, and whether an embedding does what a word asks of it.

    `sensitive` and `both` ask that a probe gets at least 90 % of the way from chance to the
    ceiling, `blind` that it gets at most 10 %. `invariant` asks that embeddings stay alike, at
    least half the way from unrelated items to equal embeddings; it may still be recovered.

    Args:
        evidence: What was observed.
        word: What was prescribed; None or `off` if nothing was.
        ceiling: What the probe reaches on an encoder trained for this augmentation alone; 1, which
            no probe surpasses, if none was.

    Example:
        >>> alike = {"value": 0.2, "random": 0.0}
        >>> seen = Evidence(similarity=alike, decoded={"value": 0.95, "chance": 0.25})
        >>> judge(seen, "sensitive")["achieved"], judge(seen, "invariant")["achieved"]
        (True, False)
    """
    decoded, alike = evidence["decoded"], evidence["similarity"]
    gap = ceiling - decoded["chance"]
    share = (decoded["value"] - decoded["chance"]) / gap if gap > _TOLD else 0.0
    close = (alike["value"] - alike["random"]) / max(1 - alike["random"], 1e-6)
    kept, forgotten = share >= KEPT, share <= FORGOTTEN
    achieved = {
        "sensitive": kept,
        "both": kept,
        "blind": forgotten,
        "invariant": close >= ALIKE,
    }
    return Verdict(
        share=share,
        alike=close,
        does="kept" if kept else "ignored" if forgotten else "partly kept",
        achieved=achieved.get(word or "off"),
    )


def blinded(
    readings: Readings,
    augmentations: Mapping[str, Augmentation],
    items: Items,
    preprocess: Preprocess,
    *,
    seed: int = 0,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
) -> dict[str, Eraser]:
    """Erasers that make embeddings blind to augmentations, as far as linear probes can tell.

    Fitted to half of the items under fresh draws, 20,000 rows or so; `observe` trains its probes
    on the other half, for which nothing was fitted. Only what the contrast reads is blinded: the
    first route's features and the projector's layers.

    Args:
        readings: What can be read of the encoder, nothing erased.
        augmentations: To be blind to, by name, suited to the items' channels.
        items: Training items as stored `(n, channels, height, width)`.
        preprocess: What the encoder reads.
        seed: Of the draws.
        batch_size: Items encoded at a time.
        device: Where to compute.

    Returns:
        An eraser by the name of the reading; none without augmentations.
    """
    if not augmentations:
        return {}
    views = _views(augmentations, preprocess, seed)
    targets = [views.target(name) for name in augmentations]
    items = _part(items, 0, _ROWS)
    rows = [
        _encode(readings, items, preprocess, views, epoch, batch_size, torch.device(device))
        for epoch in range(max(1, _ROWS // len(items)))
    ]
    columns = torch.cat(
        [
            torch.from_numpy(
                np.concatenate([t.columns(row.draws[t.name]) for t in targets], axis=1)
            )
            for row in rows
        ]
    )
    others = readings.routes[1:]
    return {
        name: fit_eraser(torch.cat([row.embeddings[name] for row in rows]), columns)
        for name in readings.names
        if name not in others
    }


def _part(items: Items, half: int, count: int) -> Items:
    """At most `count` items of one random half of them."""
    near = 2 * count if isinstance(items, Shuffled) else len(items)
    order = permutation(min(near, len(items)), seed=0, epoch=0)[half::2]
    part: Items = items[np.sort(order[:count])]
    return part


class _Encoded(NamedTuple):
    embeddings: dict[str, Tensor]
    draws: Draws


def _views(
    augmentations: Mapping[str, Augmentation],
    preprocess: Preprocess,
    seed: int,
    *,
    always: bool = False,
) -> Views:
    """Views that these augmentations alone make: of binary ones half, so that they tell apart."""
    return Views(
        {
            name: replace(kind, probability=1.0) if always else noticeable(kind)
            for name, kind in augmentations.items()
        },
        dict.fromkeys(augmentations, "both"),
        channels=preprocess.channels,
        size=preprocess.size,
        signals=preprocess.sample_rate is not None,
        seed=seed,
        num_views=1,
        renderer=domain_by_name(preprocess.domain).tools.render,
    )


def _encode(
    readings: Readings,
    items: Items,
    preprocess: Preprocess,
    views: Views | None,
    epoch: int,
    batch_size: int,
    device: torch.device,
) -> _Encoded:
    """Embeddings of items by reading, changed by the views if there are any, and what was drawn."""
    index = np.arange(len(items))
    draws = {} if views is None else views.draw(index, epoch, 0)
    parts: list[dict[str, Tensor]] = []
    with frozen(readings.to(device)):
        for start in range(0, len(items), batch_size):
            some = slice(start, start + batch_size)
            images = preprocess.fitted(preprocess.unit(items[some], device))
            if views is not None:
                part = {key: {k: v[some] for k, v in drawn.items()} for key, drawn in draws.items()}
                images = views.render(images, part)
            parts.append(readings(preprocess.standardize(images)))
    return _Encoded(
        {name: torch.cat([p[name] for p in parts]).float().cpu() for name in parts[0]}, draws
    )
