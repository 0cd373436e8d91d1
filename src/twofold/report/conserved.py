"""What a head that ends in one number or two has learned, beside the label of held-out items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.domains import Data, Source
from twofold.domains.names import domain_by_name
from twofold.encoder import load
from twofold.errors import TwofoldError
from twofold.evaluate.conservation import monotone_fit, monotone_r2, spearman_abs
from twofold.monitor import few_outputs, watched_items
from twofold.report import wording
from twofold.report.points import Shading, by_rank, point_chart, rank_shares
from twofold.report.run_folder import RunFolder
from twofold.report.summary import Tile
from twofold.report.training import Figure, abridged

_ITEMS = 1_500  # drawn, and as many that the monotone function is fitted to
_EPOCHS = 8
_FITTED = 200  # places at which that function is drawn
_LETTERS = 32  # that a label's name has room for beside another


@dataclass(frozen=True)
class Conserved:
    """What a head of one number or two makes of items that training never saw."""

    charts: list[Figure]
    """Against the label, through the training, and over the coordinates of states."""
    tile: Tile | None
    """How well one number orders the label; None for two, and for a run without an encoder."""


@dataclass(frozen=True, eq=False)
class _Shown:
    """Items with their outputs, of which each is turned so that it rises with the label."""

    items: Source
    """Held-out items."""
    outputs: np.ndarray
    """Of these `(items, outputs)`."""
    labels: np.ndarray
    """Of these `(items,)`."""
    known: np.ndarray
    """Outputs of training items `(items, outputs)`."""
    known_labels: np.ndarray
    """Their labels `(items,)`."""


def learned(run: RunFolder, data: Data) -> Conserved | None:
    """What a head of one output or two says, where one number labels each item.

    Args:
        run: What the run has left so far.
        data: Its data.

    Returns:
        None for other heads, for other labels, and for labels that are all the same.
    """
    watched = watched_items(data.test)
    if watched is None or watched.labels is None or not np.ptp(watched.labels):
        return None
    label = _label(run, data.test.label_unit)
    shown = _shown(run, data)
    course = _course(run, watched, label)
    if shown is None:
        charts = list(course)
        return Conserved(charts, None) if charts else None
    two = shown.outputs.shape[1] == 2
    against, tile = (_plane(shown, label), None) if two else _against(shown, label)
    return Conserved([against, *course, *_portraits(shown, label)], tile)


def _label(run: RunFolder, unit: str) -> str:
    """What the label is called, as far as that is known, with its unit."""
    settings = run.config.get("data")
    key = settings.get("label_key") if isinstance(settings, Mapping) else None
    return abridged(f"{key or 'label'} in {unit}" if unit else str(key or "label"), _LETTERS)


def _shown(run: RunFolder, data: Data) -> _Shown | None:
    """What the encoder says of some items; None if its head is another, or it is not at hand."""
    train, test = _some(data.train), _some(data.test)
    if train.labels is None or test.labels is None or train.labels.ndim > 1:
        return None
    try:
        encoder = load(run.path)
        layer = few_outputs(encoder.readings)
        if layer is None:
            return None
        known, outputs = (encoder.embed(source.items, layer=layer) for source in (train, test))
    except TwofoldError:  # the run goes on, or its network is one of the user's own
        return None
    signs = _signs(known, train.labels)
    return _Shown(test, signs * outputs, test.labels, signs * known, train.labels)


def _some(source: Source) -> Source:
    count = min(len(source), _ITEMS)
    return source.take(np.linspace(0, len(source) - 1, count).astype(np.int64))


def _signs(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 for each output that rises with the label, -1 for those that fall."""
    ranks = np.apply_along_axis(rank_shares, 0, outputs) - 0.5
    return np.where((rank_shares(labels) - 0.5) @ ranks < 0, -1.0, 1.0)


def _against(shown: _Shown, label: str) -> tuple[Figure, Tile]:
    """One output by the label, with the function of it that tells the label best."""
    known, output = shown.known[:, 0], shown.outputs[:, 0]
    order = wording.decimals(spearman_abs(output, shown.labels), 4)
    r2 = wording.decimals(monotone_r2(known, shown.known_labels, output, shown.labels), 4)
    up = np.linspace(output.min(), output.max(), _FITTED)
    caption = (
        f"What was learned against the {label}, of {_count(shown.items)}: |rank correlation| "
        f"{order}, R² {r2} after a monotone fit to training items, the line."
    )
    figure = _figure(
        caption,
        shown.labels,
        output,
        line=(monotone_fit(known, shown.known_labels, up), up),
        x_label=label,
        y_label=_names(1)[0],
    )
    detail = f"R² {r2} after a monotone fit, n = {wording.count(len(output))}"
    return figure, Tile("Conserved, |rank correlation|", order, detail, "conserved")


def _plane(shown: _Shown, label: str) -> Figure:
    """Two outputs against each other, in the colours of the label."""
    first, second = _names(2)
    return _figure(
        f"The two numbers that were learned, of {_count(shown.items)}. Colour: {label}.",
        *shown.outputs.T,
        shading=by_rank(label, shown.labels),
        x_label=first,
        y_label=second,
    )


def _course(run: RunFolder, watched: Source, label: str) -> Iterator[Figure]:
    """Each output by the label after some epochs, most of them early, when it changes most."""
    assert watched.labels is not None
    measured = [record for record in run.epochs if record.get("watched")]
    places = np.geomspace(1, len(measured) or 1, _EPOCHS).round().astype(np.int64) - 1
    records = [measured[place] for place in np.unique(places)] if len(measured) > 1 else []
    outputs = [np.array(record["watched"]) for record in records]
    if not outputs or any(len(found) != len(watched) for found in outputs):
        return
    at = np.linspace(0, 1, len(records))
    ticks = {float(a): str(record["epoch"]) for a, record in zip(at, records, strict=True)}
    shading = Shading("after epoch", np.repeat(at, len(watched)), ticks)
    signs = _signs(outputs[-1], watched.labels)
    for column, name in enumerate(_names(len(signs))):
        yield _figure(
            f"How it came about: {_count(watched)} after some of the epochs, from dark to bright.",
            np.tile(watched.labels, len(records)),
            np.concatenate([signs[column] * found[:, column] for found in outputs]),
            shading=shading,
            x_label=label,
            y_label=name,
        )


def _portraits(shown: _Shown, label: str) -> Iterator[Figure]:
    """The first position and its momentum, in the colours of each output and of the label."""
    dim = shown.items.channels
    if shown.items.domain != "trajectory" or dim % 2:
        return
    states = np.asarray(shown.items.items).reshape(-1, dim)
    which, reading = ("", " States of one value form a ring.") if dim == 2 else ("₁", "")
    names = (*_names(shown.outputs.shape[1]), label)
    for name, values in zip(names, (*shown.outputs.T, shown.labels), strict=True):
        yield _figure(
            f"Phase portrait of {_count(shown.items)}. Colour: {name}, each colour of as many "
            f"states.{reading}",
            states[:, 0],
            states[:, dim // 2],
            shading=by_rank(name, values),
            x_label=f"position q{which}",
            y_label=f"momentum p{which}",
        )


def _figure(caption: str, x: np.ndarray, y: np.ndarray, **how: Any) -> Figure:
    return Figure(point_chart(x, y, description=caption, **how), caption)


def _count(source: Source) -> str:
    return f"{wording.count(len(source))} held-out {domain_by_name(source.domain).items}"


def _names(outputs: int) -> tuple[str, ...]:
    """What each output is called."""
    return ("what was learned",) if outputs == 1 else ("first number", "second number")
