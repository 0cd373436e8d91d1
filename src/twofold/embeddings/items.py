"""The items of a part of some data in the order in which their embeddings are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from twofold.clips import Clips, joined
from twofold.domains import Data, Source
from twofold.errors import unknown
from twofold.items import Items as Stored
from twofold.items import Shuffled

Part = Literal["all", "train", "test"]

_PARTS = ("all", "train", "test")


class Items:
    """Items of one part of some data, or of both, by their place in the order they are written in.

    Both parts of an array that was split come in the order of the array; otherwise, and if they
    are packed, the training items come first. Only the items that are asked for are read.

    Args:
        data: The items.
        part: `train`, `test` or `all`.

    Example:
        >>> from twofold.domains.image import open_data
        >>> images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
        >>> data = open_data(images, test_fraction=0.4, seed=1)
        >>> data.test.ids, Items(data).ids(range(3)), Items(data).parts(range(3))
        (('1',), ['0', '1', '2'], ['train', 'test', 'train'])
    """

    def __init__(self, data: Data, part: Part = "all") -> None:
        if part not in _PARTS:
            raise unknown("part", part, _PARTS)
        named = {"train": data.train, "test": data.test}
        self._names = tuple(named) if part == "all" else (part,)
        self._sources = tuple(named[name] for name in self._names)
        self._ends = np.cumsum([len(source) for source in self._sources])
        self._order = _stored_order(self._sources)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def fingerprint(self) -> str:
        """Changes with the shape, type, labels or contents of the items; see `Source`."""
        return "-".join(source.fingerprint() for source in self._sources)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Name of each class."""
        return self._sources[0].label_names

    @property
    def labelled(self) -> bool:
        """Whether every item has a label."""
        return all(source.labels is not None for source in self._sources)

    @property
    def from_files(self) -> bool:
        """Whether every item has a file of its own."""
        return all(source.folder is not None for source in self._sources)

    def stored(self, places: Sequence[int] | np.ndarray) -> np.ndarray | Clips:
        """Items `(len(places), channels, height, width)` as stored."""
        items = [source.items for source in self._sources]
        clips = [some for some in items if isinstance(some, Clips)]
        return self._clips(clips, places) if clips else self._gathered(items, places)

    def labels(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """Labels of items that all have one, as in `Source`."""
        columns = [source.labels for source in self._sources if source.labels is not None]
        return self._gathered(columns, places)

    def ids(self, places: Sequence[int] | np.ndarray) -> list[str]:
        """Names of items."""
        located = zip(*map(np.ndarray.tolist, self._located(places)), strict=True)
        return [self._sources[number].ids[row] for number, row in located]

    def paths(self, places: Sequence[int] | np.ndarray) -> list[str]:
        """Files of items that all have one."""
        folders = [source.folder or Path() for source in self._sources]
        numbers = self._located(places)[0].tolist()
        return [
            str(folders[number] / name)
            for number, name in zip(numbers, self.ids(places), strict=True)
        ]

    def parts(self, places: Sequence[int] | np.ndarray) -> list[str]:
        """Which part each item is of, `train` or `test`."""
        return [self._names[number] for number in self._located(places)[0].tolist()]

    def _located(self, places: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of the source that holds each item, and the item's row there."""
        rows = self._order[np.asarray(places, dtype=np.int64)]
        numbers = np.searchsorted(self._ends, rows, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return numbers, rows - starts[numbers]

    def _clips(self, columns: Sequence[Clips], places: Sequence[int] | np.ndarray) -> Clips:
        """Clips of several sources at some places, as long as they are."""
        numbers, rows = self._located(places)
        held = [np.flatnonzero(numbers == number) for number in range(len(columns))]
        parts = [column.select(rows[own]) for column, own in zip(columns, held, strict=True)]
        return joined(parts).select(np.argsort(np.concatenate(held)))

    def _gathered(
        self, columns: Sequence[Stored], places: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """Rows of columns, one column for each source, at some places."""
        found = np.empty((len(places), *columns[0].shape[1:]), dtype=columns[0].dtype)
        numbers, rows = self._located(places)
        for number in np.unique(numbers).tolist():
            held = numbers == number
            found[held] = columns[number][rows[held]]
        return found


def _stored_order(sources: Sequence[Source]) -> np.ndarray:
    """Where to find each item of an array that was split; as they come if it is another source."""
    as_they_come = np.arange(sum(map(len, sources)))
    if any(isinstance(source.items, Shuffled) for source in sources):
        return as_they_come
    ids = [name for source in sources for name in source.ids]
    if not all(name.isdecimal() for name in ids):
        return as_they_come
    numbers = np.array([int(name) for name in ids])
    order = np.argsort(numbers)
    # An array for training and one for testing count from 0 each.
    return order if np.array_equal(numbers[order], as_they_come) else as_they_come
