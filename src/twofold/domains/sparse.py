"""Images that are nearly all zero, kept as what they hit: in memory, or mapped from files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twofold.domains.cache import damaged

_COUNTS, _CELLS, _VALUES, _ABOUT = "counts.npy", "cells", "values", "sparse.json"


@dataclass(frozen=True, eq=False)
class SparseItems:
    """Items `(n, channels, height, width)` of which only the cells that are not 0 are kept.

    Indexing gives arrays with every cell; `select` gives items that share what is kept.

    Example:
        >>> dense = np.zeros((3, 1, 2, 2), np.float32)
        >>> dense[1, 0, 1, 0] = 7
        >>> items = compress(dense)
        >>> items.shape, items.counts.tolist(), items[1].tolist()
        ((3, 1, 2, 2), [0, 1, 0], [[[0.0, 0.0], [7.0, 0.0]]])
        >>> items.select(np.array([1, 1]))[:][:, 0, 1, 0].tolist()
        [7.0, 7.0]
    """

    item_shape: tuple[int, int, int]
    """Channels, height and width of an item."""
    begins: np.ndarray
    """Place of each item's first hit in `cells` and `values`, int64 `(n,)`."""
    counts: np.ndarray
    """How many hits each item has, int64 `(n,)`."""
    cells: np.ndarray
    """Cell of each hit, counted through an item, uint16 or uint32 `(hits,)`."""
    values: np.ndarray
    """Value of each hit, not 0, `(hits,)`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of items, channels, height and width."""
        return (len(self.begins), *self.item_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """Always 4."""
        return 4

    @property
    def occupancy(self) -> float:
        """Share of the cells that are hit, in [0, 1]."""
        return float(self.counts.sum() / math.prod(self.shape))

    @property
    def compression(self) -> float:
        """How many times smaller the items are than arrays of every cell."""
        hit_bytes = self.cells.itemsize + self.values.itemsize
        return self.values.itemsize / max(self.occupancy * hit_bytes, 1e-9)

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, index: Any, /) -> Any:
        begins, counts = self.begins[index], self.counts[index]
        if np.ndim(begins) == 0:
            return self._dense(begins[None], counts[None])[0]
        return self._dense(begins, counts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def select(self, index: np.ndarray) -> SparseItems:
        """The items at `index`, in that order; nothing is copied but their places."""
        return replace(self, begins=self.begins[index], counts=self.counts[index])

    def _dense(self, begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
        dense = np.zeros((len(begins), math.prod(self.item_shape)), self.dtype)
        ends = np.cumsum(counts)
        hits = np.arange(counts.sum()) + np.repeat(begins - ends + counts, counts)
        starts = np.arange(len(begins)) * dense.shape[1]
        dense.reshape(-1)[np.repeat(starts, counts) + self.cells[hits]] = self.values[hits]
        return dense.reshape(-1, *self.item_shape)


def compress(dense: np.ndarray, *, channels_last: bool = False) -> SparseItems:
    """What an array of items hits.

    Args:
        dense: Items `(n, channels, height, width)`; NaN is a hit like any number but 0.
        channels_last: Whether they are `(n, height, width, channels)` instead.
    """
    count, *sizes = dense.shape
    rows = np.ascontiguousarray(dense).reshape(count, -1)
    hits = np.flatnonzero(rows.reshape(-1) != 0)
    counts = np.count_nonzero(rows, axis=1).astype(np.int64)
    values = rows.reshape(-1)[hits]
    cells = hits - np.repeat(np.arange(count) * rows.shape[1], counts)
    if channels_last:
        # The hits alone are moved: they are few, and the array may be big.
        channels = sizes.pop()
        sizes.insert(0, channels)
        cells = cells % channels * math.prod(sizes[1:]) + cells // channels
    channels, height, width = sizes
    kind = np.uint16 if rows.shape[1] <= 2**16 else np.uint32
    return SparseItems(
        item_shape=(channels, height, width),
        begins=np.cumsum(counts) - counts,
        counts=counts,
        cells=cells.astype(kind),
        values=values,
    )


def joined(pieces: Sequence[SparseItems]) -> SparseItems:
    """All items of freshly compressed pieces of one shape and type, one piece after the other."""
    counts = np.concatenate([piece.counts for piece in pieces])
    return SparseItems(
        item_shape=pieces[0].item_shape,
        begins=np.cumsum(counts) - counts,
        counts=counts,
        cells=np.concatenate([piece.cells for piece in pieces]),
        values=np.concatenate([piece.values for piece in pieces]),
    )


def write_sparse(folder: Path, pieces: Iterable[SparseItems]) -> None:
    """Writes freshly compressed pieces of one shape and type to `folder`, one after the other."""
    counts, about = [], {}
    with (folder / _CELLS).open("wb") as cells, (folder / _VALUES).open("wb") as values:
        for piece in pieces:
            piece.cells.tofile(cells)
            piece.values.tofile(values)
            counts.append(piece.counts)
            about = {
                "item_shape": piece.item_shape,
                "cells": piece.cells.dtype.str,
                "values": piece.values.dtype.str,
            }
    np.save(folder / _COUNTS, np.concatenate(counts))
    (folder / _ABOUT).write_text(json.dumps(about))


def read_sparse(folder: Path) -> SparseItems:
    """The items in `folder`: cells and values stay there, mapped.

    Raises:
        TwofoldError: If anything there is missing or short.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text())
        counts: np.ndarray = np.load(folder / _COUNTS)
        hits = int(counts.sum())
        channels, height, width = about["item_shape"]
        return SparseItems(
            item_shape=(channels, height, width),
            begins=np.cumsum(counts) - counts,
            counts=counts,
            cells=_mapped(folder / _CELLS, about["cells"], hits),
            values=_mapped(folder / _VALUES, about["values"], hits),
        )
    except (OSError, ValueError, KeyError) as error:
        raise damaged(folder, error) from None


def _mapped(path: Path, kind: str, count: int) -> np.ndarray:
    if count == 0:  # an empty file cannot be mapped
        return np.empty(0, kind)
    return np.memmap(path, np.dtype(kind), mode="r", shape=(count,))
