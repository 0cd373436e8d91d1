"""What experts look at in items: mean images of the classes, and distributions of observables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from twofold.domains import Data, Source
from twofold.domains.domain import Domain
from twofold.domains.names import domain_by_name
from twofold.domains.observables import read_off
from twofold.report import wording
from twofold.report.charts import Curve, heat_map, line_chart
from twofold.report.contact_sheet import label_name
from twofold.report.training import Figure, abridged

_ITEMS = 2000  # of each class: enough for a mean, and read in a moment
_BATCH = 256
_CLASSES, _CHANNELS = 6, 3
_BINS = 32
_TAIL = 0.005
"""Share of the items at each end of a distribution that is not drawn."""


@dataclass(frozen=True)
class MeanImages:
    """The mean of some items, a map for each channel."""

    title: str
    """Of which items it is."""
    maps: list[Markup]
    """One for each channel."""


@dataclass(frozen=True)
class Observed:
    """What the items of a run are like, as experts look at them."""

    title: str
    """What the items are called."""
    means: list[MeanImages]
    """Mean images of the classes, and their difference if there are two; none of vectors."""
    caption: str
    """What to see in those."""
    distributions: list[Figure]
    """One for each observable."""


def observed(data: Data) -> Observed | None:
    """The items to train on as experts see them; None if their domain names no observables.

    Args:
        data: Items, and their classes if they have some.
    """
    domain, source = domain_by_name(data.train.domain), data.train
    if not domain.observables:
        return None
    members = dict(_by_class(source))
    pictured = source.height * source.width > 1
    return Observed(
        title=domain.items.capitalize(),
        means=list(_mean_images(source, domain, members)) if pictured else [],
        caption=_caption(source, domain, members),
        distributions=list(_distributions(source, domain, members)),
    )


def _by_class(source: Source) -> Iterator[tuple[str, np.ndarray]]:
    """Rows of some items of each class, or of all under no name if there are no classes."""
    if source.labels is None or not source.classes:
        yield "", _some(np.arange(len(source)))
        return
    for label in np.unique(source.labels)[:_CLASSES]:
        yield label_name(source, int(label)), _some(np.flatnonzero(source.labels == label))


def _some(rows: np.ndarray) -> np.ndarray:
    return rows[:: -(-len(rows) // _ITEMS)]


def _mean_images(
    source: Source, domain: Domain, members: dict[str, np.ndarray]
) -> Iterator[MeanImages]:
    """Those of every class on the scale of their channel; second minus first where there are two.

    Channels that are no amounts have no logarithms, so those shown are those of the pictures.
    """
    count = source.channels
    channels = domain.colours.get(count, tuple(range(min(count, _CHANNELS))))
    names = [domain.channels.get(count, tuple(map(str, range(count))))[c] for c in channels]
    means = {name: _mean(source, rows)[list(channels)] for name, rows in members.items()}
    reaches = np.stack(list(means.values())).max(axis=(0, 2, 3))
    for name, mean in means.items():
        maps = [
            _map(image, reach, False, domain, f"{channel}, mean of {name or domain.items}", channel)
            for image, reach, channel in zip(mean, reaches, names, strict=True)
        ]
        yield MeanImages(name or f"all {domain.items}", maps)
    if len(means) == 2:
        (first, before), (second, after) = means.items()
        change, title = after - before, f"{second} minus {first}"
        reaches = np.abs(change).max(axis=(1, 2))
        maps = [
            _map(image, reach, True, domain, f"{channel}, {title}", channel)
            for image, reach, channel in zip(change, reaches, names, strict=True)
        ]
        yield MeanImages(title, maps)


def _map(
    image: np.ndarray, reach: float, signed: bool, domain: Domain, description: str, channel: str
) -> Markup:
    rows, columns = domain.axes
    return heat_map(
        image,
        reach=float(reach) or 1.0,
        signed=signed,
        x_label=columns,
        y_label=f"{channel}, {rows}",
        description=description,
    )


def _mean(source: Source, rows: np.ndarray) -> np.ndarray:
    total = np.zeros(source.items.shape[1:])
    for start in range(0, len(rows), _BATCH):
        total += source.items[rows[start : start + _BATCH]].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def _caption(source: Source, domain: Domain, members: dict[str, np.ndarray]) -> str:
    """Of how many items, and how colours are to be read."""
    counts = ", ".join(
        " ".join(filter(None, [wording.count(len(rows)), name])) for name, rows in members.items()
    )
    unit = f" in {domain.unit}" if domain.unit else ""
    text = f"Means of training {domain.items} as stored ({counts}){unit}, on logarithmic scales"
    text += "; classes share the scale of their channel." if len(members) > 1 else "."
    if len(members) == 2:
        text += " Of the difference, red is more in the second and blue more in the first."
    classes = 0 if source.labels is None or not source.classes else len(np.unique(source.labels))
    return text + (f" The first {_CLASSES} of {classes} classes." if classes > _CLASSES else "")


def _distributions(
    source: Source, domain: Domain, members: dict[str, np.ndarray]
) -> Iterator[Figure]:
    """A histogram for each observable, the classes on the same bins."""
    found = {name: read_off(source.items, domain.name, rows) for name, rows in members.items()}
    for observable, words in domain.observables.items():
        columns = {name: values[observable] for name, values in found.items()}
        edges = _bins(np.concatenate(list(columns.values())))
        medians = ", ".join(
            " ".join(filter(None, [name, wording.significant(float(np.median(values)))]))
            for name, values in columns.items()
        )
        caption = f"{words[:1].upper()}{words[1:]}: median {medians}."
        svg = line_chart(
            [_steps(abridged(name), values, edges) for name, values in columns.items()],
            x_label=words,
            y_label=f"share of {domain.items} in %",
            description=caption,
        )
        yield Figure(svg, caption)


def _bins(values: np.ndarray) -> np.ndarray:
    """Edges around all values but the outermost; around whole numbers if they are that."""
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    if np.array_equal(values, np.rint(values)):
        width = max(1, round((high - low) / _BINS))
        return np.arange(np.floor(low), high + width + 1, width) - 0.5
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)


def _steps(name: str, values: np.ndarray, edges: np.ndarray) -> Curve:
    """A histogram as the line around its bars."""
    shares = 100 * np.histogram(values, edges)[0] / len(values)
    return Curve(name, np.repeat(edges, 2), np.pad(np.repeat(shares, 2), 1))
