"""Folders of files of any kind: found, divided into parts, and labelled by their subfolders."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from twofold.domains.arrays import Opened, encode_classes
from twofold.domains.source import Source
from twofold.domains.workers import Unreadable
from twofold.errors import TwofoldError
from twofold.items import Items

T = TypeVar("T")
Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How files are decoded; see `open_data`."""

    cache: str | Path | None = None
    """Folder for decoded images."""
    workers: int | None = None
    """Threads that decode."""
    max_bad: float = 0.05
    """Share of files that may be unreadable, in [0, 1]."""
    progress: bool | None = None
    """Whether to draw a progress bar on stderr; if None, on a terminal after a second."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise TwofoldError(f"workers is {self.workers}; it must be at least 1")
        if not 0 <= self.max_bad <= 1:
            raise TwofoldError(f"max_bad is {self.max_bad}; it is a share and must be in [0, 1]")


class FileKind(NamedTuple):
    """Which files of a folder are items."""

    items: str
    """What the items are called, more than one of them."""
    suffixes: tuple[str, ...]
    """How the names of their files end."""
    domain: str
    """What kind of items they are: a name of `twofold list`."""


class File(NamedTuple):
    """One file of a folder; with its like it tells whether anything has changed."""

    id: str
    """Path from the root, with forward slashes."""
    size: int
    mtime: int


class Stored(NamedTuple):
    """What the files hold, decoded, in the order of their ids."""

    items: Items
    ids: tuple[str, ...]
    skipped: Skipped
    notes: tuple[str, ...]


class _Side(NamedTuple):
    prefix: str
    """What the ids of the side begin with: "train/", or nothing if the root is undivided."""
    ids: tuple[str, ...]


def open_files(
    root: Path,
    kind: FileKind,
    options: FolderOptions,
    store: Callable[[Sequence[File], Sequence[str]], Stored],
) -> Opened:
    """The items of a folder, with the classes that its subfolders name.

    Args:
        root: The folder.
        kind: Which of its files are items.
        options: How many of them may be unreadable.
        store: Decodes those of the given ids, or finds them decoded if no file has changed.
    """
    files = _find(root, kind)
    sides, notes = _given_sides([file.id for file in files], kind.items)
    wanted = [id for side in sides for id in side.ids]
    items, ids, skipped, remarks = store(files, wanted)
    check_skipped(root, skipped, len(wanted), options.max_bad, kind.items)

    found = [_Side(s.prefix, tuple(id for id in ids if id.startswith(s.prefix))) for s in sides]
    for side in found:
        if not side.ids:
            one = kind.items.removesuffix("s")
            raise TwofoldError(f"'{root / side.prefix}' holds no readable {one}")
    labels, label_names, unlabelled = _classes(found, kind.items)
    folder = root.resolve()
    whole = Source(name=folder.name, items=items, ids=ids, folder=folder, domain=kind.domain)
    ends = np.cumsum([len(side.ids) for side in found])
    sources = tuple(
        replace(
            whole.take(np.arange(end - len(side.ids), end)),
            labels=numbers,
            label_names=() if numbers is None else label_names,
            skipped=tuple(entry for entry in skipped if entry[0].startswith(side.prefix)),
        )
        for side, end, numbers in zip(found, ends, labels, strict=True)
    )
    return Opened(sources, notes + remarks + unlabelled)


def _find(root: Path, kind: FileKind) -> list[File]:
    others: Counter[str] = Counter()
    files = []
    for path in _walk(root):
        if path.suffix.lower() not in kind.suffixes:
            others[path.suffix.lower() or path.name] += 1
            continue
        try:
            status = path.stat()
        except OSError:  # a dangling link: it is counted with the files that cannot be decoded
            files.append(File(path.relative_to(root).as_posix(), -1, -1))
            continue
        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            id = path.relative_to(root).as_posix()
            files.append(File(id, status.st_size, status.st_mtime_ns))
    if not files:
        most = ", ".join(suffix for suffix, _ in others.most_common(3))
        raise TwofoldError(
            f"folder '{root}' holds no {', '.join(kind.suffixes)} files"
            + (f", only {others.total():,} others such as {most}" if others else "; it is empty")
        )
    return sorted(files)


def _walk(root: Path) -> Iterator[Path]:
    """Every file that is not hidden; a folder that links reach several times comes once."""

    def refuse(error: OSError) -> None:
        raise TwofoldError(f"cannot list folder '{error.filename}': {error.strerror}") from None

    seen = set()
    for folder, subfolders, names in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _given_sides(ids: Sequence[str], items: str) -> tuple[list[_Side], tuple[str, ...]]:
    """The train and test folders if there are both, otherwise everything."""
    tops = Counter(id.split("/")[0] for id in ids if "/" in id)
    by_name = {top.lower(): top for top in tops}
    test = next((by_name[name] for name in ("test", "val") if name in by_name), None)
    if test is None or "train" not in by_name:
        return [_Side("", tuple(ids))], ()
    prefixes = (f"{by_name['train']}/", f"{test}/")
    sides = [_Side(p, tuple(id for id in ids if id.startswith(p))) for p in prefixes]
    unused = len(ids) - sum(len(side.ids) for side in sides)
    return sides, (f"{items} outside {' and '.join(prefixes)} not used: {unused:,}",) * (unused > 0)


def _classes(
    sides: Sequence[_Side], items: str
) -> tuple[list[np.ndarray | None], tuple[str, ...], tuple[str, ...]]:
    """Class numbers of each side, the classes' names, and a remark if there can be none."""
    folders = [[posixpath.dirname(id[len(side.prefix) :]) for id in side.ids] for side in sides]
    loose = [sum(folder == "" for folder in part) for part in folders]
    if loose[0] or len(set(folders[0])) < 2:
        loosely = f"{items} outside the class folders, so no labels: {loose[0]:,}"
        return [None for _ in sides], (), (loosely,) if 0 < loose[0] < len(folders[0]) else ()
    labelled = [np.array(part) for part, outside in zip(folders, loose, strict=True) if not outside]
    numbers, names = encode_classes(labelled)
    return [*numbers, *[None] * (len(sides) - len(numbers))], names, ()


def readable(
    ids: Iterable[str], results: Iterable[T | Unreadable], skipped: dict[str, str]
) -> Iterator[tuple[str, T]]:
    """Each id with its result; those that could not be read are noted in `skipped` instead."""
    for id, result in zip(ids, results, strict=True):
        if isinstance(result, Unreadable):
            skipped[id] = result.reason
        else:
            yield id, result


def check_skipped(root: Path, skipped: Skipped, total: int, max_bad: float, items: str) -> None:
    """Refuses a folder of which more files than allowed cannot be read."""
    if len(skipped) <= max_bad * total and len(skipped) < total:
        return
    first = ", ".join(f"{id} ({reason})" for id, reason in skipped[:3])
    more = ", ..." if len(skipped) > 3 else ""
    if len(skipped) == total:
        raise TwofoldError(
            f"no {items.removesuffix('s')} in folder '{root}' can be read: {first}{more}"
        )
    raise TwofoldError(
        f"{len(skipped):,} of {total:,} {items} in '{root}' cannot be read, more than "
        f"max_bad={max_bad:g} allows: {first}{more}"
    )
