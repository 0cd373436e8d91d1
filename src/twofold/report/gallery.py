"""Pictures of the page: views of items, nearest neighbours, and the map of the embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.clips import Clips
from twofold.report import embedding_map, wording
from twofold.report.contact_sheet import chosen, label_name, prescription_lines, rendered
from twofold.report.contact_sheet import item_names as names_of
from twofold.report.pictures import Scale, data_uri, displayable, scale_of, shrink, sprite
from twofold.report.sound import heard_note, sound_uri

if TYPE_CHECKING:
    from twofold.augment import Views
    from twofold.domains import Data, Source
    from twofold.items import Items
    from twofold.positives import Groups
    from twofold.preprocess import Preprocess

_VIEW_ROWS, _VIEW_PIXELS, _VIEW_BYTES = 6, 112, 6_000
_HEARD_ROWS, _HEARD_COLUMNS = 4, 3
_QUERIES, _THUMB_PIXELS, _THUMB_BYTES = 12, 64, 2_500
_SPRITE_BYTES, _SPRITE_PIXELS = 700_000, 32


@dataclass(frozen=True)
class Shown:
    """One picture with its words."""

    uri: str
    """The picture itself, as a data address."""
    alt: str
    """The picture in words."""
    lines: tuple[str, ...] = ()
    """What is printed below it."""
    same: bool | None = None
    """Whether it has the class of the item it is shown for; None if unknown."""
    sound: str = ""
    """What it sounds like, as a data address; empty if it is not to be heard."""


@dataclass(frozen=True)
class ViewSheet:
    """Items beside their views."""

    of: str
    """What is shown, a row for each."""
    headings: list[str]
    """One per column."""
    rows: list[list[Shown]]
    """The item first, then its views."""
    prescription: list[str]
    """One line per word in use."""
    by_class: bool
    """Whether items were taken in turn from every class."""
    note: str
    """How pictures differ from values, if they do."""


@dataclass(frozen=True)
class Neighbours:
    """One test item with the training items nearest to it."""

    query: Shown
    """The test item."""
    nearest: list[Shown]
    """Training items, the nearest first."""
    verdict: str
    """How many are of its class; empty if that is not known."""


@dataclass(frozen=True)
class Map:
    """The embeddings on a plane."""

    groups: list[embedding_map.Group]
    """The points by class."""
    width: int
    """Of the drawing."""
    height: int
    """Of the drawing."""
    points: dict[str, Any]
    """What the page's script needs to name the point under the finger."""
    perplexity: float
    """Of the t-SNE: about how many neighbours each point minds."""
    has_labels: bool
    """Whether colours mean classes."""
    has_errors: bool
    """Whether it is known which points the kNN gets wrong."""
    note: str
    """How pictures differ from values, if they do."""


def view_sheet(
    data: Data, views: Views, preprocess: Preprocess | None, groups: Groups | None = None
) -> ViewSheet:
    """A few training items, or groups of them, with their views and what was drawn for each."""
    index, names = chosen(data.train, _VIEW_ROWS, seed=0, groups=groups)
    unit, columns, captions, headings = rendered(data.train, views, index, 2, preprocess, groups)
    scale = scale_of(unit, 0, 1, domain=data.train.domain)
    items = data.train.items
    sounds = _sounds(items, (unit, *columns))
    heard = heard_note(items.window, items.sample_rate) if isinstance(items, Clips) else ""
    note = " ".join(filter(None, [scale.note, heard]))
    columns = [displayable(column, scale) for column in (unit, *columns)]
    rows = []
    for i, name in enumerate(names):
        uri = _uri(columns[0][i], _VIEW_PIXELS, _VIEW_BYTES)
        row = [Shown(uri, f"{name}, as stored", (name,), sound=sounds.get((i, 0), ""))]
        for j, (texts, heading) in enumerate(zip(captions, headings[1:], strict=True), start=1):
            lines = tuple(texts[i].split("  ")) if texts[i] else ("unchanged",)
            uri = _uri(columns[j][i], _VIEW_PIXELS, _VIEW_BYTES)
            alt = f"{name}, {heading}: {', '.join(lines)}"
            row.append(Shown(uri, alt, lines, sound=sounds.get((i, j), "")))
        rows.append(row)
    by_class = data.train.labels is not None and groups is None
    of = "training items" if groups is None else "groups of training items"
    return ViewSheet(of, headings, rows, prescription_lines(views), by_class, note)


def neighbours(data: Data, arrays: dict[str, np.ndarray], scale: Scale) -> list[Neighbours]:
    """The first test items of the evaluation, each with its nearest training items."""
    found = []
    queries = arrays["query_index"][:_QUERIES]
    query_pictures = displayable(data.test.items[queries], scale)
    labelled = data.train.labels is not None and data.test.labels is not None
    query_names = names_of(data.test, queries)
    for row, name in enumerate(query_names):
        nearest = arrays["neighbour_index"][row]
        pictures = displayable(data.train.items[nearest], scale)
        similar = arrays["neighbour_similarity"][row]
        names = names_of(data.train, nearest)
        same = [other == name if labelled else None for other in names]
        shown = [
            Shown(
                _uri(picture, _THUMB_PIXELS, _THUMB_BYTES),
                f"{_mark(match)}{other}, cosine {cosine:.2f}",
                (f"{cosine:.2f}",),
                match,
            )
            for picture, other, cosine, match in zip(pictures, names, similar, same, strict=True)
        ]
        query = Shown(
            _uri(query_pictures[row], _THUMB_PIXELS, _THUMB_BYTES), f"Test item: {name}", (name,)
        )
        found.append(Neighbours(query, shown, _verdict(names, same) if labelled else ""))
    return found


def neighbour_agreement(data: Data, arrays: dict[str, np.ndarray]) -> str:
    """How often neighbours share a class, over all queries, with its interval.

    Neighbours of one query are no independent trials, so the interval is taken over queries.
    """
    if data.train.labels is None or data.test.labels is None:
        return ""
    queries = data.test.labels[arrays["query_index"]]
    alike = (data.train.labels[arrays["neighbour_index"]] == queries[:, None]).mean(axis=1)
    if len(alike) < 2:
        return ""
    mean, reach = alike.mean(), 1.96 * alike.std(ddof=1) / np.sqrt(len(alike))
    bounds = wording.interval((max(0.0, mean - reach), min(1.0, mean + reach)))
    return (
        f"Over all {len(alike)} test items drawn for this, {wording.percent(mean)} of the nearest "
        f"{arrays['neighbour_index'].shape[1]} training items have their class (95 % interval over "
        f"items: {bounds})."
    )


def embedding_plot(
    data: Data | None, arrays: dict[str, np.ndarray], scale: Scale | None
) -> Map | None:
    """The map of the test embeddings; without data it has neither classes nor pictures."""
    features, index = arrays.get("map_features"), arrays.get("map_index")
    if features is None or index is None:
        return None
    points = embedding_map.pixels(embedding_map.embed(features))
    if not len(points):
        return None
    index = index[: len(points)]
    source = None if data is None else data.test
    labels = None if source is None or source.labels is None else source.labels[index]
    names = class_names(source) if source is not None and labels is not None else ["all"]
    predicted = arrays.get("predictions")
    wrong = None if labels is None or predicted is None else predicted[index] != labels
    order = {} if labels is None else {int(v): i for i, v in enumerate(np.unique(labels))}
    described: dict[str, Any] = {
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "group": [0] * len(points) if labels is None else [order[int(v)] for v in labels],
        "names": names if labels is None else [names[label] for label in order],
        "ids": [f"test item {i}" for i in index] if source is None else _ids(source, index),
    }
    if wrong is not None and predicted is not None:
        described["wrong"] = [
            names[int(p)] if missed else ""
            for p, missed in zip(predicted[index], wrong, strict=True)
        ]
    if source is not None and scale is not None:
        described |= _thumbnails(displayable(source.items[index], scale))
    return Map(
        groups=embedding_map.groups(points, labels, names, wrong),
        width=embedding_map.WIDTH,
        height=embedding_map.HEIGHT,
        points=described,
        perplexity=embedding_map.perplexity(len(points)),
        has_labels=labels is not None,
        has_errors=wrong is not None and bool(wrong.any()),
        note=scale.note if scale else "",
    )


def class_names(source: Source) -> list[str]:
    """The name of every class a source, or a classifier trained on its like, can give."""
    highest = 0 if source.labels is None else int(source.labels.max())
    return [label_name(source, i) for i in range(max(highest + 1, len(source.label_names)))]


def picture_scale(data: Data, low: float | None, high: float | None) -> Scale:
    """One scale for all pictures of the page, fitted to a sample of the training items."""
    step = max(1, len(data.train) // 200)
    return scale_of(data.train.items[::step], low, high, domain=data.train.domain)


def _thumbnails(pictures: np.ndarray) -> dict[str, Any]:
    """All pictures in one sprite sheet, as small as the page can afford."""
    small = np.stack([np.asarray(shrink(picture, _SPRITE_PIXELS)) for picture in pictures])
    columns = int(np.ceil(np.sqrt(len(small))))
    return {
        "sprite": data_uri(sprite(small, columns), budget=_SPRITE_BYTES),
        "columns": columns,
        "tile": [int(small.shape[2]), int(small.shape[1])],
    }


def _sounds(items: Items, columns: Sequence[np.ndarray]) -> dict[tuple[int, int], str]:
    """What clips and their views sound like, by row and column: the first ones of each."""
    if not isinstance(items, Clips):
        return {}
    return {
        (i, j): sound_uri(waveform, items.sample_rate)
        for j, column in enumerate(columns[:_HEARD_COLUMNS])
        for i, waveform in enumerate(column[:_HEARD_ROWS])
    }


def _uri(picture: np.ndarray, limit: int, budget: int) -> str:
    return data_uri(shrink(picture, limit), budget=budget)


def _ids(source: Source, index: np.ndarray) -> list[str]:
    """Ids short enough to be read: the end of a path says more than its beginning."""
    ids = [str(source.ids[int(i)]) for i in index]
    ids = [f"item {key}" if key.isdigit() else key for key in ids]
    return [key if len(key) <= 48 else f"…{key[-47:]}" for key in ids]


def _mark(same: bool | None) -> str:
    return {True: "Same class: ", False: "Other class: ", None: ""}[same]


def _verdict(names: Sequence[str], same: Sequence[bool | None]) -> str:
    """How many neighbours are of the item's class, and what the others are."""
    others = [name for name, match in zip(names, same, strict=True) if not match]
    text = f"{len(names) - len(others)} of {len(names)} alike"
    counted = {name: others.count(name) for name in others}
    listed = ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in counted.items())
    return f"{text}; {listed}" if listed else text
