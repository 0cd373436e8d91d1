"""Images in .npy, .npz and .h5 files: which array is the images, which the labels and the ids."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.npyio import NpzFile

from twofold.domains.image.arrays import (
    Opened,
    Part,
    checked_labels,
    is_array,
    to_numpy,
    to_sources,
)
from twofold.errors import TwofoldError, nearest

NAMED_SUFFIXES = (".npz", ".h5", ".hdf5")
"""Those among them that hold several arrays, each by its name."""

_LABELS = ("labels", "label", "y", "targets", "target", "classes")
_IDS = ("ids", "id")

Labels = Sequence[object] | np.ndarray | str | Path
"""One class for each image, or the .npy file that holds them."""


class _Entry(NamedTuple):
    """One array of a file that holds several: what it is, and how to read it."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray]

    def __str__(self) -> str:
        return f"{self.key} {self.shape} {self.dtype}"

    @property
    def words(self) -> list[str]:
        return re.findall(r"[^\W_]+", self.key.lower())

    @property
    def part(self) -> str:
        """Which side of a split its name says: train, test, val, or nothing."""
        return next((word for word in self.words if word in ("train", "test", "val")), "")

    @property
    def stem(self) -> str:
        """Its name without the side of the split."""
        return " ".join(word for word in self.words if word != self.part)


def open_array_file(
    path: Path,
    *,
    key: str | None = None,
    label_key: str | None = None,
    labels: np.ndarray | None = None,
) -> Opened:
    """Opens a .npy file as a memory map, or finds images, labels and ids in a .npz or .h5 file."""
    if labels is not None and label_key is not None:
        raise TwofoldError("labels and label_key both name the labels; give one of them")
    if path.suffix.lower() == ".npy":
        return to_sources(path.stem, [Part(str(path), read_npy(path), labels)])
    read = _read_npz if path.suffix.lower() == ".npz" else _read_h5
    return read(path, lambda entries: _choose(path, entries, key, label_key, labels))


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file, as a read-only memory map."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(path, error) from None


def given_labels(labels: Labels | None) -> np.ndarray | None:
    """Labels that were handed over, or the path of a .npy file that holds them."""
    if labels is None:
        return None
    if isinstance(labels, str | Path):
        if not Path(labels).is_file():
            raise TwofoldError(f"labels: there is no file '{labels}'; give an array or a .npy file")
        return checked_labels(str(labels), read_npy(Path(labels)))
    return checked_labels("labels", to_numpy(labels) if is_array(labels) else np.asarray(labels))


def _choose(
    path: Path,
    entries: list[_Entry],
    key: str | None,
    label_key: str | None,
    labels: np.ndarray | None,
) -> Opened:
    train = _choose_items(path, entries, key)
    siblings = {e.part: e for e in entries if e.stem == train.stem and e.part != train.part}
    test = (siblings.get("test") or siblings.get("val")) if train.part == "train" else None
    notes: tuple[str, ...] = ()
    parts = []
    for entry in (train, test) if test else (train,):
        found = labels if entry is train else None
        if found is None:
            label_entry = _find_labels(path, entry, train, entries, label_key)
            found, remark = _read_labels(label_entry, strict=label_key is not None)
            notes += remark
        ids = next((e.read() for e in entries if e.stem in _IDS and e.part == entry.part), None)
        parts.append(Part(f"{entry.key} of '{path}'", entry.read(), found, ids))
    if test and test.part == "test" and "val" in siblings:
        notes += (f"{siblings['val'].key} is not used",)
    opened = to_sources(path.stem, parts)
    return Opened(opened.sources, opened.notes + notes)


def _choose_items(path: Path, entries: list[_Entry], key: str | None) -> _Entry:
    if key is not None:
        return _by_key(path, entries, key)
    images = [e for e in entries if e.dtype.kind in "buif" and len(e.shape) in (3, 4)]
    if not images:
        raise TwofoldError(
            f"'{path}' holds no images (n, height, width) or (n, channels, height, width), "
            f"but {_listing(entries)}"
        )
    if len(images) == 1:
        return images[0]
    train = [entry for entry in images if entry.part == "train"]
    if len(train) != 1 or any(entry.stem != train[0].stem for entry in images):
        raise TwofoldError(
            f"'{path}' holds several arrays that could be the images; name one by key= "
            f"({_listing(images)})"
        )
    return train[0]


def _find_labels(
    path: Path, items: _Entry, train: _Entry, entries: list[_Entry], label_key: str | None
) -> _Entry | None:
    """The labels that were named, or their test half, or those of a usual name."""
    stems: Sequence[str] = _LABELS
    if label_key is not None:
        named = _by_key(path, entries, label_key)
        if items is train:
            return named
        stems = (named.stem,)
    return next((e for e in entries if e.stem in stems and e.part == items.part), None)


def _by_key(path: Path, entries: list[_Entry], key: str) -> _Entry:
    by_key = {entry.key: entry for entry in entries}
    if key.strip("/") in by_key:
        return by_key[key.strip("/")]
    guess = nearest(key, by_key)
    hint = f" did you mean {guess!r}?" if guess else ""
    raise TwofoldError(f"'{path}' has no array {key!r};{hint} (it holds {_listing(entries)})")


def _listing(entries: list[_Entry]) -> str:
    return "; ".join(map(str, entries)) or "nothing"


def _read_labels(
    entry: _Entry | None, *, strict: bool
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels of one array; one that was not asked for and holds no classes is only mentioned."""
    if entry is None:
        return None, ()
    try:
        return checked_labels(entry.key, entry.read()), ()
    except TwofoldError as error:
        if strict:
            raise
        return None, (f"not used as labels: {error}",)


def _read_npz(path: Path, choose: Callable[[list[_Entry]], Opened]) -> Opened:
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            return choose([_npz_entry(path, archive, key) for key in archive.files])
    except TwofoldError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None


def _npz_entry(path: Path, archive: NpzFile, key: str) -> _Entry:
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
    return _Entry(key, shape, dtype, lambda: archive[key])


def _read_h5(path: Path, choose: Callable[[list[_Entry]], Opened]) -> Opened:
    import h5py

    entries: list[_Entry] = []

    def collect(key: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            text = h5py.check_string_dtype(node.dtype) is not None
            read = (lambda: node.asstr()[()]) if text else (lambda: node[()])
            entries.append(_Entry(key, node.shape, node.dtype, read))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(collect)
            return choose(entries)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> TwofoldError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason or "Python object" in reason:
        reason = (
            "it holds pickled objects, which could run code and are never loaded; "
            "save one plain array, as np.stack makes of a list of images"
        )
    return TwofoldError(f"cannot read '{path}': {reason}")
