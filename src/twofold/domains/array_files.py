"""Files of arrays with names, .npz and .h5: which array is the items, which the labels and ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile

from twofold.domains.arrays import (
    LabelColumn,
    checked_groups,
    checked_labels,
    checked_times,
    is_array,
    texts,
    to_numpy,
)
from twofold.domains.damage import UNREADABLE, check_memory, unreadable, written
from twofold.errors import TwofoldError, nearest

NAMED_SUFFIXES = (".npz", ".h5", ".hdf5")
"""Files that hold several arrays, each by its name."""

_LABELS = ("labels", "label", "y", "targets", "target", "classes")
_IDS = ("ids", "id")

Labels = Sequence[object] | np.ndarray | str | Path
"""One class for each item, or the .npy file that holds them."""


class Entry(NamedTuple):
    """One array of a file that holds several: what it is, and how to read it."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    open: Callable[[], Any]
    """What gives the array, or the rows of a slice of it, when it is indexed."""
    attributes: Mapping[str, Any] = MappingProxyType({})
    """What the file says of it: the `classes` it numbers, the `unit` of its numbers."""

    def __str__(self) -> str:
        return f"{self.key} {self.shape} {self.dtype}"

    @property
    def part(self) -> str:
        """Which side of a split its name says: train, test, val, or nothing."""
        return part_of(self.key)

    @property
    def stem(self) -> str:
        """Its name without the side of the split."""
        return " ".join(word for word in _words(self.key) if word != self.part)

    def read(self) -> np.ndarray:
        """The whole array."""
        check_memory(str(self), self.shape, self.dtype)
        return np.asarray(self.open()[()])


class Keys(NamedTuple):
    """Names of arrays in a file; each is found, or left out, if None."""

    key: str | None = None
    """The items; needless where one array alone can be them."""
    label_key: str | None = None
    """Their labels; those of a usual name are found."""
    group_key: str | None = None
    """Their groups; none unless named."""
    time_key: str | None = None
    """Their times; none unless named."""

    def refuse(self) -> None:
        """Refuses any name, for data that hold no arrays by name."""
        for option, value in self._asdict().items():
            if value is not None:
                raise TwofoldError(
                    f"{option} is {value!r}, but only {', '.join(NAMED_SUFFIXES)} files hold "
                    "arrays by name"
                )


UNNAMED = Keys()
"""Everything is found."""


class Chosen(NamedTuple):
    """An array of items with what belongs to it."""

    items: Entry
    labels: LabelColumn | None
    ids: np.ndarray | None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None


@contextmanager
def named_arrays(path: Path) -> Iterator[list[Entry]]:
    """Every array of a .npz or .h5 file, readable within the context.

    Raises:
        TwofoldError: If the file is none, is damaged, or leads to arrays in another file.
    """
    read = _npz_arrays if path.suffix.lower() == ".npz" else _h5_arrays
    try:
        yield from read(path)
    except TwofoldError:
        raise
    except UNREADABLE as error:
        raise unreadable(path, error) from None


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file, as a read-only memory map."""
    try:
        with np.errstate(over="raise"):  # of a shape that no number can count
            return np.lib.format.open_memmap(path, mode="r")
    except (*UNREADABLE, ArithmeticError) as error:
        raise unreadable(path, error) from None


def given_labels(labels: Labels | None) -> LabelColumn | None:
    """Labels that were handed over, or the path of a .npy file that holds them."""
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        if not Path(labels).is_file():
            raise TwofoldError(f"labels: there is no file '{labels}'; give an array or a .npy file")
        return LabelColumn(checked_labels(str(labels), read_npy(Path(labels))))
    array = to_numpy(labels) if is_array(labels) else np.asarray(labels)
    return LabelColumn(checked_labels("labels", array))


def choose(
    path: Path,
    entries: Sequence[Entry],
    keys: Keys,
    *,
    labels: LabelColumn | None,
    layouts: Mapping[int, str],
    items: str,
) -> tuple[list[Chosen], tuple[str, ...]]:
    """The items to open, or their train and test half, with labels and ids; and what to remark.

    Args:
        path: The file, for errors.
        entries: Its arrays.
        keys: Names of some of them.
        labels: Labels in place of the file's.
        layouts: By the number of dimensions that items may have, what these are.
        items: What the items are called.
    """
    if labels is not None and keys.label_key is not None:
        raise TwofoldError("labels and label_key both name the labels; give one of them")
    train = _choose_items(path, entries, keys.key, layouts, items)
    siblings = {e.part: e for e in entries if e.stem == train.stem and e.part != train.part}
    test = (siblings.get("test") or siblings.get("val")) if train.part == "train" else None
    notes: tuple[str, ...] = ()
    chosen = []
    for entry in (train, test) if test else (train,):
        found = labels if entry is train else None
        if found is None:
            label_entry = _find_labels(path, entry, train, entries, keys.label_key)
            found, remark = _read_labels(label_entry, strict=keys.label_key is not None)
            notes += remark
        ids = next((e.read() for e in entries if e.stem in _IDS and e.part == entry.part), None)
        groups, times = (
            _read_column(path, entry, train, entries, name, checked)
            for name, checked in ((keys.group_key, checked_groups), (keys.time_key, checked_times))
        )
        chosen.append(Chosen(entry, found, ids, groups, times))
    if test and test.part == "test" and "val" in siblings:
        notes += (f"{siblings['val'].key} is not used",)
    return chosen, notes


def part_of(name: str) -> str:
    """Which side of a split a name says: train, test, val, or nothing.

    Example:
        >>> part_of("train/jets_1.h5"), part_of("contest.h5")
        ('train', '')
    """
    return next((word for word in _words(name) if word in ("train", "test", "val")), "")


def usual(entries: Sequence[Entry], stem: str) -> str | None:
    """The array of a usual name, of all items or of those to train on; None if there is none."""
    return next((e.key for e in entries if e.stem == stem and e.part in ("", "train")), None)


def file_attributes(path: Path) -> Mapping[str, Any]:
    """What an HDF5 file says of itself; nothing, of another file."""
    if path.suffix.lower() == ".npz":
        return {}
    import h5py

    with h5py.File(path, "r") as file:
        return dict(file.attrs)


def by_key(path: Path, entries: Sequence[Entry], key: str) -> Entry:
    """The array of that name."""
    named = {entry.key: entry for entry in entries}
    if key.strip("/") in named:
        return named[key.strip("/")]
    guess = nearest(key, named)
    hint = f" did you mean {guess!r}?" if guess else ""
    raise TwofoldError(f"'{path}' has no array {key!r};{hint} (it holds {_listing(entries)})")


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


def _choose_items(
    path: Path, entries: Sequence[Entry], key: str | None, layouts: Mapping[int, str], items: str
) -> Entry:
    if key is not None:
        return by_key(path, entries, key)
    candidates = [e for e in entries if e.dtype.kind in "buif" and len(e.shape) in layouts]
    if not candidates:
        raise TwofoldError(
            f"'{path}' holds no {items} {' or '.join(layouts.values())}, but {_listing(entries)}"
        )
    if len(candidates) == 1:
        return candidates[0]
    train = [entry for entry in candidates if entry.part == "train"]
    if len(train) != 1 or any(entry.stem != train[0].stem for entry in candidates):
        raise TwofoldError(
            f"'{path}' holds several arrays that could be the {items}; name one by key= "
            f"({_listing(candidates)})"
        )
    return train[0]


def _find_labels(
    path: Path, items: Entry, train: Entry, entries: Sequence[Entry], label_key: str | None
) -> Entry | None:
    """The labels that were named, or their test half, or those of a usual name."""
    stems: Sequence[str] = _LABELS
    if label_key is not None:
        named = by_key(path, entries, label_key)
        if items is train:
            return named
        stems = (named.stem,)
    return next((e for e in entries if e.stem in stems and e.part == items.part), None)


def _read_column(
    path: Path,
    items: Entry,
    train: Entry,
    entries: Sequence[Entry],
    key: str | None,
    checked: Callable[[str, np.ndarray], np.ndarray],
) -> np.ndarray | None:
    """A checked column that was named, or its test half."""
    if key is None:
        return None
    named = by_key(path, entries, key)
    halves = [e for e in entries if e.stem == named.stem and e.part == items.part]
    entry = named if items is train else next(iter(halves), None)
    return None if entry is None else checked(f"{entry.key} of '{path}'", entry.read())


def _listing(entries: Sequence[Entry]) -> str:
    return "; ".join(map(str, entries)) or "nothing"


def _read_labels(
    entry: Entry | None, *, strict: bool
) -> tuple[LabelColumn | None, tuple[str, ...]]:
    """Labels of one array; one that was not asked for and holds no classes is only mentioned."""
    if entry is None:
        return None, ()
    try:
        return _label_column(entry), ()
    except TwofoldError as error:
        if strict:
            raise
        return None, (f"not used as labels: {error}",)


def _label_column(entry: Entry) -> LabelColumn:
    """Checked labels: numbers if they have a unit, by name if their classes are named."""
    values = checked_labels(entry.key, entry.read())
    units = (entry.attributes.get(name) for name in ("unit", "units"))
    unit = next((texts(unit)[0] for unit in units if unit is not None), "")
    if unit and values.dtype.kind in "iu":
        values = values.astype(np.float32)
    named = np.ravel(entry.attributes.get("classes", ()))
    classes = texts(named) if named.dtype.kind in "OSU" else ()
    if not classes or values.dtype.kind not in "iu":
        return LabelColumn(values, unit=unit)
    if values.min() < 0 or values.max() >= len(classes):
        raise TwofoldError(
            f"{entry.key} numbers classes from {values.min()} to {values.max()}, but its "
            f"attribute 'classes' names {len(classes)} ({', '.join(classes)})"
        )
    return LabelColumn(np.array(classes)[values], classes)


def _npz_arrays(path: Path) -> Iterator[list[Entry]]:
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
        yield [_npz_entry(archive, key) for key in archive.files]


def _npz_entry(archive: NpzFile, key: str) -> Entry:
    """Shape and type of a member, from its header: the others need not be read."""
    members = archive.zip
    assert members is not None  # it is None only once the archive is closed
    with members.open(key if key in members.namelist() else f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
    return Entry(key, shape, dtype, lambda: archive[key])


def _h5_arrays(path: Path) -> Iterator[list[Entry]]:
    import h5py

    entries: list[Entry] = []
    seen: set[int] = set()  # groups, which may hold one another

    def collect(group: Any, prefix: str) -> None:
        seen.add(h5py.h5o.get_info(group.id).addr)
        for name in group:
            key, link = prefix + name, group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(path, key)
            if not isinstance(link, h5py.HardLink):
                continue
            node = group[name]
            if isinstance(node, h5py.Group):
                if h5py.h5o.get_info(node.id).addr not in seen:
                    collect(node, f"{key}/")
            elif isinstance(node, h5py.Dataset) and node.shape is not None:
                if node.external or (node.is_virtual and node.virtual_sources()):
                    raise _elsewhere(path, key)
                opened = partial(written, node)
                entries.append(Entry(key, node.shape, node.dtype, opened, node.attrs))

    with h5py.File(path, "r") as file:
        collect(file, "")
        yield entries


def _elsewhere(path: Path, key: str) -> TwofoldError:
    return TwofoldError(
        f"{key} of '{path}' lies in another file, and links to other files are not followed; "
        "open that file itself"
    )
