"""Folders of image files: decoded once by several threads, then memory-mapped."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twofold.domains.arrays import Opened
from twofold.domains.cache import cache_folder, damaged, key_of, publish
from twofold.domains.folders import (
    File,
    FileKind,
    FolderOptions,
    Stored,
    check_skipped,
    open_files,
    readable,
)
from twofold.domains.image.decode import Header, decode, read_header
from twofold.domains.image.names import IMAGE_SUFFIXES
from twofold.domains.workers import read_all
from twofold.errors import TwofoldError

_FORMAT = 2  # counted up when decoding changes, so that no older cache is taken for a new one
_LARGEST_OWN_SIZE = 256
_DEFAULT_SIZE = 96
_KIND = FileKind("images", IMAGE_SUFFIXES, "image")


class _Plan(NamedTuple):
    size: int
    channels: int
    deep: bool


def open_folder(root: Path, image_size: int | None, options: FolderOptions) -> Opened:
    """Opens a folder of image files, from the cache if no file has changed since."""
    if image_size is not None and image_size < 1:
        raise TwofoldError(f"image_size is {image_size}; it must be at least 1 pixel")

    def store(files: Sequence[File], wanted: Sequence[str]) -> Stored:
        stored = cache_folder(options.cache) / f"images-{_key(root, files, image_size)}"
        if not stored.is_dir():
            publish(stored, lambda folder: _build(folder, root, wanted, image_size, options))
        return _load(stored)

    return open_files(root, _KIND, options, store)


def _key(root: Path, files: Sequence[File], image_size: int | None) -> str:
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
        headers = dict(readable(ids, found, skipped))
        check_skipped(root, tuple(skipped.items()), len(ids), options.max_bad, _KIND.items)
        while True:
            plan = _plan(headers, image_size)
            decode_all = partial(decode, **plan._asdict())
            decoded = read(decode_all, [root / id for id in headers], task="Decoding images")
            rows = (row for _, row in readable(headers, decoded, skipped))
            _write(folder / "items.npy", plan, len(headers), rows)
            headers = {id: header for id, header in headers.items() if id not in skipped}
            # A file that failed after all must not have decided what the others became.
            if not headers or _plan(headers, image_size) == plan:
                break
    scaled = sum(h.height != plan.size or h.width != plan.size for h in headers.values())
    index = {
        "ids": list(headers),
        "skipped": [(id, skipped[id]) for id in ids if id in skipped],
        "notes": [f"scaled to {plan.size} px: {scaled:,}"] if scaled else [],
    }
    (folder / "index.json").write_text(json.dumps(index))


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


def _load(stored: Path) -> Stored:
    try:
        index = json.loads((stored / "index.json").read_text())
        items: np.ndarray = np.load(stored / "items.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise damaged(stored, error) from None
    return Stored(
        items=items[: len(index["ids"])],
        ids=tuple(index["ids"]),
        skipped=tuple((id, reason) for id, reason in index["skipped"]),
        notes=tuple(index["notes"]),
    )
