"""What a file of emoji holds, artist by artist: in words and in a figure."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.folder import write_atomically

_SHOWN = 14  # concepts in a figure
_MUTED = "#666666"


class Columns(NamedTuple):
    """What is known of each picture `(n,)`, and of each artist."""

    category: np.ndarray
    concept: np.ndarray
    artist: np.ndarray
    sets: dict[str, dict[str, str]]


def read_columns(path: Path) -> Columns:
    """What a file of emoji says of its pictures."""
    import h5py

    with h5py.File(path) as file:
        category, concept, artist = (
            file[name].asstr()[:].astype(str) for name in ("labels", "concept", "artist")
        )
        return Columns(category, concept, artist, json.loads(file.attrs["sets"]))


def summary(path: Path) -> list[str]:
    """How much there is, by category and by artist, and who may be named for it."""
    known = read_columns(path)
    concepts, categories = len(np.unique(known.concept)), Counter(known.category.tolist())
    lines = [
        f"{len(known.artist):,} pictures of {concepts:,} concepts by {len(known.sets)} artists",
        ", ".join(f"{name} {count:,}" for name, count in sorted(categories.items())),
    ]
    drawn, width = Counter(known.artist.tolist()), max(map(len, known.sets))
    for name, about in known.sets.items():
        words = f"{about['version']}, {about['author']}, {about['licence']}"
        lines.append(f"{name:<{width}}  {drawn[name]:,} drawings: {words}")
    return lines


def write_figure(path: Path, out: Path) -> None:
    """Draws some concepts as each artist has them, the categories in turn."""
    import h5py
    from matplotlib.figure import Figure

    known = read_columns(path)
    shown, artists = _chosen(known), list(known.sets)
    figure = Figure(figsize=(0.62 * len(shown) + 1.5, 0.66 * len(artists) + 0.5))
    cells = figure.subplots(len(artists), len(shown), squeeze=False)
    figure.subplots_adjust(left=1.45 / figure.get_figwidth(), right=0.995, bottom=0.01, top=0.86)
    with h5py.File(path) as file:
        for places, artist in zip(cells, artists, strict=True):
            places[0].set_ylabel(artist, rotation=0, ha="right", va="center", fontsize=9)
            for axes, concept in zip(places, shown, strict=True):
                _draw_picture(axes, file, known, concept, artist)
    for axes, concept in zip(cells[0], shown, strict=True):
        axes.set_title(concept.replace("-", "\n"), fontsize=6, color=_MUTED, va="bottom")
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=150)
    write_atomically(out, packed.getvalue())


def _chosen(known: Columns) -> list[str]:
    """Concepts that most artists have drawn, evenly from each category, the categories in turn."""
    _, first, counts = np.unique(known.concept, return_index=True, return_counts=True)
    most = first[counts == counts.max()]
    turns = []
    for category in np.unique(known.category[most]):
        own = most[known.category[most] == category]
        places = np.linspace(0, len(own) - 1, 2 + min(_SHOWN, len(own))).round().astype(np.int64)
        turns += list(enumerate(dict.fromkeys(own[places[1:-1]].tolist())))
    return [str(known.concept[row]) for _, row in sorted(turns)[:_SHOWN]]


def _draw_picture(axes: Any, file: Any, known: Columns, concept: str, artist: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for row in np.flatnonzero((known.concept == concept) & (known.artist == artist)):
        axes.imshow(np.moveaxis(file["X"][int(row)], 0, -1))
