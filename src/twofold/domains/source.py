"""Items with their ids, labels and groups: what every domain hands to training and evaluation."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twofold.domains.cache import new_items
from twofold.errors import TwofoldError
from twofold.items import Items, Selectable, Shuffled

_CHUNK_BYTES = 64 * 2**20
_FINGERPRINT_ITEMS = 1000


@dataclass(frozen=True, eq=False)
class Source:
    """A set of items as stored, with what is known of each.

    Example:
        >>> items = np.zeros((3, 1, 8, 8), np.uint8)
        >>> source = Source(name="toy", items=items, ids=("a", "b", "c"))
        >>> len(source), source.channels, source.take([2, 0]).ids
        (3, 1, ('c', 'a'))
    """

    name: str
    """What the set is called in reports."""
    items: Items
    """Items `(n, channels, height, width)` in their stored type; a memory map is welcome."""
    ids: Sequence[str]
    """One name for each item, no two alike."""
    labels: np.ndarray | None = None
    """Class of each item, int64 `(n,)`, counted from 0; or numbers to regress, float32 `(n,)` or
    `(n, targets)`."""
    label_names: tuple[str, ...] = ()
    """Name of each class."""
    label_unit: str = ""
    """Unit of labels that are numbers, such as GeV; blank if unknown."""
    groups: np.ndarray | None = None
    """Group of each item `(n,)`, such as its patient: a split never separates a group, and its
    items may be positives of each other."""
    times: np.ndarray | None = None
    """Time of each item, float64 `(n,)` in any unit, to tell which of a group are far apart."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Path and reason of each file that could not be read."""
    folder: Path | None = None
    """Folder in which each id is the path of the item's own file; None for items of one array."""
    domain: str = "image"
    """What kind of items they are: a name of `twofold list`."""

    def __post_init__(self) -> None:
        count = len(self.items)
        if self.items.ndim != 4 or 0 in self.items.shape:
            raise TwofoldError(
                f"items of '{self.name}' have shape {self.items.shape}; "
                "they must be (n, channels, height, width), none of them 0"
            )
        for what in ("ids", "labels", "groups", "times"):
            values = getattr(self, what)
            if values is not None and len(values) != count:
                raise TwofoldError(
                    f"'{self.name}' has {len(values)} {what} for {count} items; "
                    "there must be one for each item"
                )
        if not isinstance(self.items, Shuffled):  # it was checked when they were packed
            _check_unique(self.name, self.ids)
        if self.labels is not None:
            _check_labels(self.name, self.labels, self.label_names)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def channels(self) -> int:
        """How many channels an item has."""
        return int(self.items.shape[1])

    @property
    def height(self) -> int:
        """Height of an item in pixels."""
        return int(self.items.shape[2])

    @property
    def width(self) -> int:
        """Width of an item in pixels."""
        return int(self.items.shape[3])

    @property
    def classes(self) -> int:
        """How many classes the labels name; 0 without labels, or if they are numbers to regress."""
        if self.labels is None or self.labels.dtype != np.int64:
            return 0
        return len(self.label_names) or int(self.labels.max()) + 1

    def take(self, index: Sequence[int] | np.ndarray) -> Source:
        """The items at `index`, in that order.

        A run of neighbours is a view. Other rows are copied: into memory, or from a memory map
        beyond 2 GiB into a nameless file in the cache folder, which goes when the items go.
        """
        chosen = np.asarray(index, dtype=np.int64)
        packed, together = isinstance(self.items, Shuffled), _are_neighbours(chosen)
        run = slice(int(chosen[0]), int(chosen[-1]) + 1) if together else slice(0)
        some = run if together else chosen
        return replace(
            self,
            items=_rows(self.items, chosen, together),
            # Packed ids are left where they are, as long as they can be.
            ids=self.ids[run] if packed and together else tuple(self.ids[i] for i in chosen),
            labels=None if self.labels is None else self.labels[some],
            groups=None if self.groups is None else self.groups[some],
            times=None if self.times is None else self.times[some],
        )

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with the shape, type, labels, groups, times or contents.

        Contents are read at up to 1000 evenly spaced items, so that it stays quick on large sets;
        of packed items their digest is taken.

        Example:
            >>> zeros = Source(name="a", items=np.zeros((2, 1, 4, 4)), ids=("a", "b"))
            >>> ones = Source(name="b", items=np.ones((2, 1, 4, 4)), ids=("a", "b"))
            >>> zeros.fingerprint() == ones.fingerprint()
            False
        """
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.items.shape} {self.items.dtype.name}".encode())
        if isinstance(self.items, Shuffled):
            digest.update(self.items.digest.encode())
            return digest.hexdigest()
        count = min(len(self), _FINGERPRINT_ITEMS)
        for i in np.linspace(0, len(self) - 1, count).round().astype(np.int64):
            digest.update(np.ascontiguousarray(self.items[i]).tobytes())
        if self.labels is not None:
            digest.update(self.labels.tobytes())
            digest.update("\0".join(self.label_names).encode("utf-8", "surrogateescape"))
        if self.groups is not None:
            digest.update("\0".join(map(str, self.groups)).encode("utf-8", "surrogateescape"))
        if self.times is not None:
            digest.update(self.times.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Data:
    """A set to train on, and one that training never sees."""

    name: str
    """What the pair is called in reports."""
    train: Source
    """Items to train on."""
    test: Source
    """Items to evaluate on, of the same shape and type."""
    note: str
    """One line on what it is and how it was split."""

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Path and reason of each file that could not be read, once, whatever part it is of."""
        return tuple(dict.fromkeys((*self.train.skipped, *self.test.skipped)))

    def __post_init__(self) -> None:
        for what, here, there in (
            ("shape", self.train.items.shape[1:], self.test.items.shape[1:]),
            ("type", self.train.items.dtype, self.test.items.dtype),
            ("domain", self.train.domain, self.test.domain),
        ):
            if here != there:
                raise TwofoldError(
                    f"test items of '{self.name}' have {what} {there}, train items {here}; "
                    "both must be the same (channels, height, width) and stored type"
                )
        if self.train.labels is not None and self.test.labels is not None:
            names, others = self.train.label_names, self.test.label_names
            if names != others:
                raise TwofoldError(
                    f"the classes of '{self.name}' differ: train has {_abridged(names)}, "
                    f"test has {_abridged(others)}; give both the same label_names"
                )
            unit, other = self.train.label_unit, self.test.label_unit
            if unit and other and unit != other:
                raise TwofoldError(
                    f"labels of '{self.name}' are in {unit} to train on and in {other} to test "
                    "on; convert one of them"
                )


def split(source: Source, *, test_fraction: float = 0.2, seed: int = 0) -> tuple[Source, Source]:
    """Divides a set into one to train on and one to test on.

    Each id is hashed with the seed and the smallest hashes are the test set, so an item's side
    does not depend on the order of the items. Where there are groups, whole groups are divided.
    Packed items were put in the order of such hashes when they were packed: the first are the test
    set, whatever the seed.

    Args:
        source: What to divide.
        test_fraction: Share of the items (or groups) that is held out, in (0, 1).
        seed: Another seed gives another split.

    Returns:
        Train and test set, both in the order of `source`.

    Raises:
        TwofoldError: If `test_fraction` is out of range or there are fewer than two to divide.

    Example:
        >>> ids = [f"item{i}" for i in range(10)]
        >>> source = Source(name="toy", items=np.zeros((10, 1, 8, 8)), ids=ids)
        >>> train, test = split(source, test_fraction=0.3)
        >>> len(train), len(test), set(train.ids) & set(test.ids)
        (7, 3, set())
    """
    if not 0 < test_fraction < 1:
        raise TwofoldError(f"test_fraction is {test_fraction}; it must be in (0, 1)")
    if isinstance(source.items, Shuffled):
        first = _first_items(source, test_fraction)
        return source.take(np.arange(first, len(source))), source.take(np.arange(first))
    keys = source.ids if source.groups is None else [str(group) for group in source.groups]
    distinct = sorted(set(keys), key=lambda key: id_hash(seed, key))
    if len(distinct) < 2:
        raise _indivisible(source)
    held_out = set(distinct[: _held_out(len(distinct), test_fraction)])
    is_test = np.array([key in held_out for key in keys])
    return source.take(np.flatnonzero(~is_test)), source.take(np.flatnonzero(is_test))


def _first_items(source: Source, test_fraction: float) -> int:
    """How many of the first items are a share of the items, or of the groups, all of each."""
    groups = source.groups
    ends = np.arange(1, len(source) + 1)
    if groups is not None:  # the items of each lie together
        ends = ends[np.append(groups[1:] != groups[:-1], True)]
    if len(ends) < 2:
        raise _indivisible(source)
    return int(ends[_held_out(len(ends), test_fraction) - 1])


def _held_out(count: int, test_fraction: float) -> int:
    """How many of some items or groups are held out: one at least, and not all."""
    return min(max(1, round(test_fraction * count)), count - 1)


def _indivisible(source: Source) -> TwofoldError:
    what = "item" if source.groups is None else "group"
    return TwofoldError(f"'{source.name}' has one {what}; a split needs at least two")


def id_hash(seed: int, key: str) -> bytes:
    """Sixteen bytes that put ids, or groups, in a random order."""
    # File names need not be valid Unicode; surrogateescape gives their bytes back.
    text = f"{seed}:{key}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).digest()


def _are_neighbours(index: np.ndarray) -> bool:
    if not len(index) or index[0] < 0:
        return False
    return bool(np.array_equal(index, index[0] + np.arange(len(index))))


def _rows(items: Items, index: np.ndarray, together: bool) -> Items:
    if isinstance(items, Selectable):
        return items.select(index)
    if together:
        some: Items = items[index[0] : index[-1] + 1]
        return some
    row_bytes = items.dtype.itemsize * int(np.prod(items.shape[1:]))
    if not isinstance(items, np.memmap):
        return np.asarray(items[index])
    rows = new_items((len(index), *items.shape[1:]), items.dtype)
    chunk = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, len(index), chunk):
        rows[start : start + chunk] = items[index[start : start + chunk]]
    return rows


def _check_unique(name: str, ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(key for key, count in Counter(ids).items() if count > 1)
        raise TwofoldError(
            f"the id {twice!r} of '{name}' occurs more than once; ids must be unique"
        )


def _check_labels(name: str, labels: np.ndarray, label_names: tuple[str, ...]) -> None:
    if labels.dtype == np.float32 and labels.ndim in {1, 2}:
        if not np.isfinite(labels).all():
            raise TwofoldError(f"labels of '{name}' hold NaN or infinity; leave those items out")
        return
    if labels.dtype != np.int64 or labels.ndim != 1:
        raise TwofoldError(
            f"labels of '{name}' are {labels.dtype} of shape {labels.shape}; they must be int64 "
            "(n,) for classes, or float32 (n,) or (n, targets) for numbers to regress"
        )
    top = len(label_names) - 1 if label_names else None
    if labels.min() < 0 or (top is not None and labels.max() > top):
        raise TwofoldError(
            f"labels of '{name}' run from {labels.min()} to {labels.max()}; "
            f"they must be class numbers from 0{'' if top is None else f' to {top}'}"
        )


def _abridged(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:4])
    return f"{len(names)} ({shown}{', ...' if len(names) > 4 else ''})"
