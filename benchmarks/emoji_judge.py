"""How drawings by several artists are judged: by category, across artists, and by artist."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor, nn

import twofold
from twofold.domains import Source
from twofold.evaluate import accuracy, features, knn, linear_probe, retrieval, whiten
from twofold.evaluate.intervals import Figure
from twofold.simulation.emoji.observed import Columns, read_columns

HELD_OUT = 0.25
"""Share of the concepts that no training sees."""
PAIRS = (("noto", "twemoji"), ("twemoji", "openmoji"), ("openmoji", "fluent-emoji-flat"))
"""Artists between whom concepts are looked for, beside all pairs."""
LEFT_OUT = ("noto", "openmoji")
"""Artists who are judged alone, too."""
NEIGHBOURS = 10


class Half(NamedTuple):
    """Drawings to learn from or to judge on, with what is known of each."""

    source: Source
    concept: np.ndarray
    artist: np.ndarray

    def where(self, rows: np.ndarray) -> Half:
        """Some of them."""
        return Half(self.source.take(np.flatnonzero(rows)), self.concept[rows], self.artist[rows])


def halves(path: Path) -> tuple[Half, Half]:
    """Concepts to learn from and concepts to judge on, always the same."""
    known = read_columns(path)
    with h5py.File(path) as file:
        rows = {name: row for row, name in enumerate(file["ids"].asstr()[:])}
    data = twofold.open_data(path, group_key="concept", test_fraction=HELD_OUT)
    train, test = (half(part, known, rows) for part in (data.train, data.test))
    return train, test


def half(part: Source, known: Columns, rows: dict[str, int]) -> Half:
    """Drawings with what the file says of each."""
    own = [rows[name] for name in part.ids]
    return Half(part, known.concept[own], known.artist[own])


def judge(
    encoder: nn.Module,
    prepare: Any,
    train: Half,
    test: Half,
    *,
    left_out: str = "",
    whitened: bool = True,
) -> dict[str, Any]:
    """All figures of an encoder.

    Args:
        encoder: Maps what `prepare` gives to features.
        prepare: From stored drawings to what the encoder reads.
        train: Of concepts that were learned from.
        test: Of others.
        left_out: An artist who was not learned from, and then is the only one to be judged.
        whitened: Whether an artist alone is judged by features that are.
    """
    known, new = (features(encoder, part.source.items, prepare) for part in (train, test))
    seen = torch.from_numpy(train.artist != left_out)
    white = [whiten(part, known[seen]).float() for part in (known, new)]
    best = white if whitened else [known, new]
    found = {f"alone/{artist}": alone(*best, train, test, artist) for artist in LEFT_OUT}
    if left_out:
        return {f"alone/{left_out}": found[f"alone/{left_out}"]}
    return found | {
        "plain": by_distance(known, new, train, test),
        "white": by_distance(*white, train, test),
        "linear": accuracy(
            linear_probe(known, train.source.labels, new).predictions, test.source.labels
        ),
        "artist": artist_told(known, new, train, test),
    }


def by_distance(known: Tensor, new: Tensor, train: Half, test: Half) -> dict[str, Any]:
    """What cosines tell: categories, and concepts across artists."""
    voted = knn(known, train.source.labels, new, k=NEIGHBOURS)
    across = {pair: found_across(new, test, *pair) for pair in permutations(artists(test), 2)}
    return {
        "knn": accuracy(voted, test.source.labels),
        "all pairs": float(np.mean([found["value"] for found in across.values()])),
        "pairs": {" to ".join(pair): across[pair] for pair in PAIRS},
    }


def artists(part: Half) -> list[str]:
    """Names of the artists."""
    return np.unique(part.artist).tolist()


def found_across(new: Tensor, test: Half, one: str, other: str) -> Figure:
    """How often the drawing of another artist nearest to one's shows the same concept."""
    numbers = np.unique(test.concept, return_inverse=True)[1]
    shared = np.intersect1d(test.concept[test.artist == one], test.concept[test.artist == other])
    rows = [
        np.flatnonzero((test.artist == artist) & np.isin(test.concept, shared))
        for artist in (one, other)
    ]
    (asked, wanted), (bank, offered) = ((new[row], numbers[row]) for row in rows)
    return retrieval(asked, wanted, bank, offered, ks=(1,)).figures["r@1"]


def alone(known: Tensor, new: Tensor, train: Half, test: Half, artist: str) -> dict[str, Any]:
    """How one artist's drawings are understood by those of the others."""
    others, own = train.artist != artist, test.artist == artist
    labels, wanted = train.source.labels[others], test.source.labels[own]
    voted = knn(known[others], labels, new[own], k=NEIGHBOURS)
    across = [
        found_across(new, test, *pair)["value"]
        for pair in permutations(artists(test), 2)
        if artist in pair
    ]
    return {"knn": accuracy(voted, wanted), "pairs": float(np.mean(across))}


def whole(part: Half) -> np.ndarray:
    """Which drawings are of concepts that every artist has drawn."""
    names, counts = np.unique(part.concept, return_counts=True)
    return np.isin(part.concept, names[counts == len(artists(part))])


def artist_told(known: Tensor, new: Tensor, train: Half, test: Half) -> Figure:
    """How well a linear probe tells artists; as each has drawn the same concepts, chance is 1/n."""
    (learned, classes), (asked, wanted) = (
        (part[whole(side)], np.unique(side.artist, return_inverse=True)[1][whole(side)])
        for part, side in ((known, train), (new, test))
    )
    return accuracy(linear_probe(learned, classes, asked).predictions, wanted)
