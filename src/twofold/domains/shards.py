"""Packed shards as items: opened from a folder or a URL, read where they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from twofold.domains.cache import new_items
from twofold.domains.shard_index import Index, PartIndex, Place, read_index
from twofold.domains.shard_maps import Maps, map_arrays
from twofold.domains.source import Data, Source
from twofold.domains.window_order import WindowOrder, plan
from twofold.errors import TwofoldError
from twofold.items import Items, Order

CACHE_GB = 8.0
"""Gigabytes of shards that are near at a time."""
_CHUNK_BYTES = 64 * 2**20


class PackedIds(Sequence[str]):
    """Ids as they are stored, each of which becomes a string when it is asked for.

    Example:
        >>> ids = PackedIds(np.array([b"a", b"b", b"c"]))
        >>> ids[1], list(ids[1:]), len(ids)
        ('b', ['b', 'c'], 3)
    """

    def __init__(self, stored: np.ndarray) -> None:
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> PackedIds: ...
    def __getitem__(self, index: int | slice) -> str | PackedIds:
        if isinstance(index, slice):
            return PackedIds(self.stored[index])
        return _text(self.stored[index])

    def __iter__(self) -> Iterator[str]:
        return map(_text, self.stored)


@dataclass(frozen=True, eq=False)
class Shards:
    """Items `(n, channels, height, width)` in shards, or a run of them.

    Indexing gives copies; `select` of neighbours gives items that share the shards.
    """

    maps: Maps
    """The shards."""
    starts: np.ndarray
    """Number of the first item of each shard, and of all items, int64 `(shards + 1,)`."""
    first: int
    """Number of the first item of this run."""
    count: int
    """How many items there are in this run."""
    extremes: tuple[float, float]
    """The smallest and the largest value of all items."""
    packed: str
    """Digest of all shards, and of what belongs to each item."""

    @cached_property
    def _items(self) -> dict[str, Any]:
        about: dict[str, Any] = dict(self.maps.shards[0].arrays["items"])
        return about

    @property
    def digest(self) -> str:
        """Changes with what was packed, and with which of it this is."""
        return f"{self.packed} {self.first} {self.count}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of items, channels, height and width."""
        return (self.count, *self._items["shape"][1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that items are stored in."""
        dtype: np.dtype[Any] = np.dtype(self._items["dtype"])
        return dtype

    @property
    def ndim(self) -> int:
        """Always 4."""
        return 4

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """One item by its number; or those of a slice, or of numbers `(n,)`, copied."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(self.count))
        rows = np.asarray(index, np.int64)
        found: np.ndarray = self._read(np.atleast_1d(rows))
        return found if rows.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def select(self, index: np.ndarray) -> Items:
        """Those at `index`: neighbours share the shards, others are copied."""
        if len(index) and np.array_equal(index, index[0] + np.arange(len(index))):
            return replace(self, first=self.first + int(index[0]), count=len(index))
        rows = new_items((len(index), *self.shape[1:]), self.dtype)
        order = np.argsort(index, kind="stable")  # so that each shard is read once
        step = max(1, _CHUNK_BYTES // max(1, rows[:1].nbytes))
        for start in range(0, len(order), step):
            some = order[start : start + step]
            rows[some] = self[index[some]]
        return rows

    def order(
        self,
        batch_size: int,
        steps: int,
        *,
        seed: int,
        epoch: int,
        firsts: np.ndarray | None = None,
    ) -> Order:
        """A random order that goes through few shards at a time; see `WindowOrder`."""
        begins = np.clip(self.starts, self.first, self.first + self.count) - self.first
        by_place = None
        if firsts is not None:
            by_place = np.argsort(firsts, kind="stable")
            begins = np.searchsorted(firsts[by_place], begins)
        sizes = np.diff(begins)
        sizes = sizes[sizes > 0]
        largest = max(shard.bytes for shard in self.maps.shards)
        order = WindowOrder(
            sizes,
            batch_size=batch_size,
            steps=steps,
            plan=plan(sizes, largest, most_bytes=self.maps.most_bytes, batch_size=batch_size),
            seed=seed,
            epoch=epoch,
            ahead=_Ahead(self, None if by_place is None or firsts is None else firsts[by_place]),
        )
        return order if by_place is None else _OfGroups(order, by_place)

    def expect(self, first: int, last: int) -> None:
        """Items from `first` up to `last` are about to be read."""
        ends = np.array([first, last - 1]) + self.first
        begin, end = np.searchsorted(self.starts, ends, side="right") - 1
        self.maps.expect(range(int(begin), int(end) + 1))

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if rows.size and not (-self.count <= rows.min() and rows.max() < self.count):
            raise IndexError(f"there are {self.count} items; asked for {rows.min()}..{rows.max()}")
        numbers = np.where(rows < 0, rows + self.count, rows) + self.first
        shard = np.searchsorted(self.starts, numbers, side="right") - 1
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for number in np.unique(shard).tolist():
            held = shard == number
            found[held] = self.maps[number][numbers[held] - self.starts[number]]
        return found


class _Ahead(NamedTuple):
    """Tells shards which samples are about to be read."""

    shards: Shards
    firsts: np.ndarray | None
    """The first item of each group in the order in which they lie, if the samples are groups."""

    def expect(self, first: int, last: int) -> None:
        if self.firsts is None:
            self.shards.expect(first, last)
        else:
            end = self.firsts[last] if last < len(self.firsts) else len(self.shards)
            self.shards.expect(int(self.firsts[first]), int(end))


@dataclass(frozen=True)
class _OfGroups:
    """An order of groups, which go by other numbers than that in which they lie."""

    order: WindowOrder
    by_place: np.ndarray

    def __getitem__(self, places: slice) -> np.ndarray:
        found: np.ndarray = self.by_place[self.order[places]]
        return found


def open_shards(
    data: str | Path, *, cache_gb: float = CACHE_GB, cache: str | Path | None = None
) -> Data | Source:
    """Opens what was packed: a train and a test set, or one set if only that was packed.

    Args:
        data: The folder of the shards, or its URL for fsspec.
        cache_gb: Gigabytes of shards of either that are near at a time, > 0; the order of an epoch
            depends on it, for items are shuffled within what is near.
        cache: Folder for what is fetched; $TWOFOLD_CACHE or ~/.cache/twofold if None.

    Raises:
        TwofoldError: If there are no such shards, or if they are half packed or damaged.
    """
    if not cache_gb > 0:
        raise TwofoldError(f"cache_gb is {cache_gb}; it must be > 0")
    index, place = read_index(data), Place(str(data))
    train, *rest = (
        _source(index, part, place, cache_gb * 1e9, cache) for part in index.parts.values()
    )
    note = f"{index.note}; {sum(len(part.shards) for part in index.parts.values()):,} shards"
    return Data(index.name, train, rest[0], note) if rest else train


def _source(
    index: Index, part: PartIndex, place: Place, most_bytes: float, cache: str | Path | None
) -> Source:
    columns = map_arrays(place, part.columns, cache)
    counts = [shard.items for shard in part.shards]
    digests = "".join(stored.digest for stored in (part.columns, *part.shards))
    shards = Shards(
        Maps(place, part.shards, most_bytes=most_bytes, cache=cache),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        first=0,
        count=sum(counts),
        extremes=(part.low, part.high),
        packed=hashlib.blake2b(digests.encode(), digest_size=8).hexdigest(),
    )
    groups = columns.get("groups")
    if groups is not None and groups.dtype.kind == "S":
        groups = np.char.decode(groups, "utf-8")
    return Source(
        name=index.name,
        items=shards,
        ids=PackedIds(columns["ids"]),
        labels=columns.get("labels"),
        label_names=index.label_names if "labels" in columns else (),
        label_unit=index.label_unit if "labels" in columns else "",
        groups=groups,
        times=columns.get("times"),
        domain=index.domain,
    )


def _text(stored: bytes) -> str:
    return bytes(stored).decode("utf-8", "surrogateescape")
