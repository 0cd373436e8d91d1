"""Folders of image files: found, decoded once by several threads, then memory-mapped."""

from __future__ import annotations

import json
import math
import os
import posixpath
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from twofold.domains.arrays import Opened, encode_classes
from twofold.domains.cache import cache_folder, damaged, key_of, publish
from twofold.domains.image.decode import Header, decode, read_header
from twofold.domains.image.names import IMAGE_SUFFIXES as SUFFIXES
from twofold.domains.source import Source
from twofold.domains.workers import Unreadable, read_all
from twofold.errors import TwofoldError

_FORMAT = 1  # counted up when decoding changes, so that no older cache is taken for a new one
_LARGEST_OWN_SIZE = 256
_DEFAULT_SIZE = 96

T = TypeVar("T")
Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How image files are decoded; see `open_data`."""

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


class _File(NamedTuple):
    id: str
    """Path from the root, with forward slashes."""
    size: int
    mtime: int


class _Part(NamedTuple):
    prefix: str
    """What the ids of the part begin with: "train/", or nothing if the root is undivided."""
    ids: tuple[str, ...]


class _Stored(NamedTuple):
    items: np.ndarray
    ids: tuple[str, ...]
    skipped: Skipped
    notes: tuple[str, ...]


class _Plan(NamedTuple):
    size: int
    channels: int
    deep: bool


def open_folder(root: Path, image_size: int | None, options: FolderOptions) -> Opened:
    """Opens a folder of image files, from the cache if no file has changed since."""
    if image_size is not None and image_size < 1:
        raise TwofoldError(f"image_size is {image_size}; it must be at least 1 pixel")
    files = _find_images(root)
    parts, notes = _given_parts([file.id for file in files])
    wanted = [id for part in parts for id in part.ids]
    stored = cache_folder(options.cache) / f"images-{_key(root, files, image_size)}"
    if not stored.is_dir():
        publish(stored, lambda folder: _build(folder, root, wanted, image_size, options))
    items, ids, skipped, remarks = _load(stored)
    _check_skipped(root, skipped, len(wanted), options.max_bad)

    found = [_Part(p.prefix, tuple(id for id in ids if id.startswith(p.prefix))) for p in parts]
    for part in found:
        if not part.ids:
            raise TwofoldError(f"'{root / part.prefix}' holds no readable image")
    labels, label_names, unlabelled = _classes(found)
    ends = np.cumsum([len(part.ids) for part in found])
    sources = tuple(
        Source(
            name=root.resolve().name,
            items=items[end - len(part.ids) : end],
            ids=part.ids,
            labels=numbers,
            label_names=() if numbers is None else label_names,
            skipped=tuple(entry for entry in skipped if entry[0].startswith(part.prefix)),
            folder=root.resolve(),
        )
        for part, end, numbers in zip(found, ends, labels, strict=True)
    )
    return Opened(sources, notes + remarks + unlabelled)


def _find_images(root: Path) -> list[_File]:
    others: Counter[str] = Counter()
    files = []
    for path in _walk(root):
        if path.suffix.lower() not in SUFFIXES:
            others[path.suffix.lower() or path.name] += 1
            continue
        try:
            status = path.stat()
        except OSError:  # a dangling link: it is counted with the files that cannot be decoded
            files.append(_File(path.relative_to(root).as_posix(), -1, -1))
            continue
        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            id = path.relative_to(root).as_posix()
            files.append(_File(id, status.st_size, status.st_mtime_ns))
    if not files:
        most = ", ".join(suffix for suffix, _ in others.most_common(3))
        raise TwofoldError(
            f"folder '{root}' holds no {', '.join(SUFFIXES)} files"
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


def _given_parts(ids: Sequence[str]) -> tuple[list[_Part], tuple[str, ...]]:
    """The train and test folders if there are both, otherwise everything."""
    tops = Counter(id.split("/")[0] for id in ids if "/" in id)
    by_name = {top.lower(): top for top in tops}
    test = next((by_name[name] for name in ("test", "val") if name in by_name), None)
    if test is None or "train" not in by_name:
        return [_Part("", tuple(ids))], ()
    prefixes = (f"{by_name['train']}/", f"{test}/")
    parts = [_Part(p, tuple(id for id in ids if id.startswith(p))) for p in prefixes]
    unused = len(ids) - sum(len(part.ids) for part in parts)
    return parts, (f"images outside {' and '.join(prefixes)} not used: {unused:,}",) * (unused > 0)


def _classes(
    parts: Sequence[_Part],
) -> tuple[list[np.ndarray | None], tuple[str, ...], tuple[str, ...]]:
    """Class numbers of each part, the classes' names, and a remark if there can be none."""
    folders = [[posixpath.dirname(id[len(part.prefix) :]) for id in part.ids] for part in parts]
    loose = [sum(folder == "" for folder in part) for part in folders]
    if loose[0] or len(set(folders[0])) < 2:
        loosely = f"images outside the class folders, so no labels: {loose[0]:,}"
        return [None for _ in parts], (), (loosely,) if 0 < loose[0] < len(folders[0]) else ()
    labelled = [np.array(part) for part, outside in zip(folders, loose, strict=True) if not outside]
    numbers, names = encode_classes(labelled)
    return [*numbers, *[None] * (len(parts) - len(numbers))], names, ()


def _key(root: Path, files: Sequence[_File], image_size: int | None) -> str:
    # The root is part of it: two folders unpacked from archives may agree in all else.
    return key_of([_FORMAT, str(root.resolve()), image_size, *files])


def _build(
    folder: Path, root: Path, ids: Sequence[str], image_size: int | None, options: FolderOptions
) -> None:
    """Decodes the files into `folder`: items.npy and, for each of its rows, an id in index.json."""
    read = partial(read_all, workers=options.workers, progress=options.progress)
    skipped: dict[str, str] = {}
    with warnings.catch_warnings():
        # Doubtful files are worth no line on the terminal each: they decode, or they are listed.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        found = read(read_header, [root / id for id in ids], task="Reading headers")
        headers = dict(_readable(ids, found, skipped))
        _check_skipped(root, tuple(skipped.items()), len(ids), options.max_bad)
        plan = _plan(headers, image_size)
        decode_all = partial(decode, **plan._asdict())
        decoded = read(decode_all, [root / id for id in headers], task="Decoding images")
        rows = (row for _, row in _readable(headers, decoded, skipped))
        _write(folder / "items.npy", plan, len(headers), rows)
    scaled = sum(h.height != plan.size or h.width != plan.size for h in headers.values())
    index = {
        "ids": [id for id in headers if id not in skipped],
        "skipped": [(id, skipped[id]) for id in ids if id in skipped],
        "notes": [f"scaled to {plan.size} px: {scaled:,}"] if scaled else [],
    }
    (folder / "index.json").write_text(json.dumps(index))


def _readable(
    ids: Iterable[str], results: Iterable[T | Unreadable], skipped: dict[str, str]
) -> Iterator[tuple[str, T]]:
    """Each id with its result; those that could not be read are noted in `skipped` instead."""
    for id, result in zip(ids, results, strict=True):
        if isinstance(result, Unreadable):
            skipped[id] = result.reason
        else:
            yield id, result


def _plan(headers: dict[str, Header], image_size: int | None) -> _Plan:
    """What all images are decoded to, so that the richest of them loses nothing but size."""
    by_channels = {header.channels: id for id, header in headers.items()}
    if len(by_channels) > 1 and not by_channels.keys() <= {1, 3}:
        examples = ", ".join(f"'{id}' has {count}" for count, id in sorted(by_channels.items()))
        raise TwofoldError(f"images of one folder need the same channels, but {examples}")
    shapes = {(header.height, header.width) for header in headers.values()}
    height, width = shapes.pop()
    if image_size is None:
        keep = not shapes and height == width <= _LARGEST_OWN_SIZE
        image_size = height if keep else _DEFAULT_SIZE
    return _Plan(image_size, max(by_channels), any(header.deep for header in headers.values()))


def _write(path: Path, plan: _Plan, count: int, rows: Iterable[np.ndarray]) -> None:
    # Written, not mapped: a full disk is then an error and not the end of the process.
    dtype = np.dtype(np.uint16 if plan.deep else np.uint8)
    shape = (count, plan.channels, plan.size, plan.size)
    with path.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        end = file.tell() + math.prod(shape) * dtype.itemsize
        for row in rows:
            file.write(np.ascontiguousarray(row).data)
        file.truncate(end)  # rows that failed after all leave the end empty


def _load(stored: Path) -> _Stored:
    try:
        index = json.loads((stored / "index.json").read_text())
        items: np.ndarray = np.load(stored / "items.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise damaged(stored, error) from None
    return _Stored(
        items=items[: len(index["ids"])],
        ids=tuple(index["ids"]),
        skipped=tuple((id, reason) for id, reason in index["skipped"]),
        notes=tuple(index["notes"]),
    )


def _check_skipped(root: Path, skipped: Skipped, total: int, max_bad: float) -> None:
    if len(skipped) <= max_bad * total and len(skipped) < total:
        return
    first = ", ".join(f"{id} ({reason})" for id, reason in skipped[:3])
    more = ", ..." if len(skipped) > 3 else ""
    if len(skipped) == total:
        raise TwofoldError(f"no image in folder '{root}' can be read: {first}{more}")
    raise TwofoldError(
        f"{len(skipped):,} of {total:,} images in '{root}' cannot be read, more than "
        f"max_bad={max_bad:g} allows: {first}{more}"
    )
