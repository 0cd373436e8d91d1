"""Packs any data into shards: files of items in a random order, to be mapped or fetched."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from twofold.clips import Clips
from twofold.domains import Data, Source
from twofold.domains.shard_index import INDEX, Index, PartIndex, Stored, check_new, read_plan
from twofold.domains.shard_maps import digest_of
from twofold.domains.source import id_hash
from twofold.errors import TwofoldError
from twofold.folder import PARTIAL, alone, write_atomically

SHARD_MB = 128.0
"""Megabytes of a shard."""
_CHUNK_BYTES = 64 * 2**20
_PAGE = 4096
_ATTRIBUTE_BYTES = 60_000  # what an attribute has room for
_ROOM = 1.05  # of the items' bytes: what else a file holds


def pack(
    data: Data,
    out: str | Path,
    *,
    shard_mb: float = SHARD_MB,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Packs items, with all that is known of each, into a folder of HDF5 shards.

    The training items and the test items are put in a random order each, the members of a group
    next to each other, and written uncompressed: `train-00000.h5`, ... with `items`, `ids` and
    labels, groups and times if there are any, which any HDF5 library reads. `index.json` says
    where they lie, and comes last: until then the folder counts as half packed, and the same call
    goes on where it was stopped.

    Args:
        data: What to pack.
        out: The folder; created.
        shard_mb: Megabytes of a shard, > 0; members of a group share one.
        seed: Of the order.
        overwrite: Whether shards that `out` holds are replaced.
        progress: Told how many items are packed, and how many there are.
        note: Told in a line what was found, such as shards that are gone on with.

    Returns:
        The folder.

    Raises:
        TwofoldError: If the items are recordings, if `out` holds something else or other shards,
            or if the disk is too small.

    Example:
        >>> import tempfile
        >>> from twofold import open_data, pack
        >>> folder = pack(open_data("digits"), tempfile.mkdtemp(), shard_mb=0.05)
        >>> sorted(path.name for path in folder.iterdir())[:3]
        ['index.json', 'test-00000.h5', 'test.h5']
        >>> open_data(folder).train.items.shape
        (1438, 1, 8, 8)
    """
    if not shard_mb > 0:
        raise TwofoldError(f"shard_mb is {shard_mb}; it must be > 0")
    sources = {"train": data.train, "test": data.test}
    if any(isinstance(source.items, Clips) for source in sources.values()):
        raise TwofoldError(
            f"'{data.name}' holds recordings, whose lengths differ, and shards hold items of one "
            "shape; name the folder itself: it is decoded once and mapped ever after"
        )
    folder = Path(out).expanduser()
    check_new(folder, overwrite=overwrite)
    index = Index(
        name=data.name,
        domain=data.train.domain,
        note=data.note,
        plan=_plan(sources, shard_mb, seed),
        label_names=data.train.label_names,
        label_unit=data.train.label_unit,
        parts={},
    )
    with alone(folder, "packing"):
        _make_place(folder, index, sources, overwrite, note or _say_nothing)
        parts = _pack_parts(folder, sources, int(shard_mb * 1e6), seed, progress)
        write_atomically(folder / INDEX, replace(index, parts=parts).text().encode())
    return folder


def _plan(sources: dict[str, Source], shard_mb: float, seed: int) -> str:
    """Tells one packing from another."""
    prints = [source.fingerprint() for source in sources.values()]
    return hashlib.blake2b(f"{prints} {shard_mb} {seed}".encode(), digest_size=8).hexdigest()


def _make_place(
    folder: Path,
    index: Index,
    sources: dict[str, Source],
    overwrite: bool,
    note: Callable[[str], None],
) -> None:
    """The folder with an index that says what is being packed; empty unless it is gone on with."""
    begun = read_plan(folder)
    if begun is not None and not overwrite:
        if begun != index.plan:
            raise TwofoldError(
                f"{folder} is half packed with other data or settings; choose another --out, or "
                "begin again with --overwrite"
            )
        there = len(list(folder.glob("*-*.h5")))
        note(f"{folder} is half packed: going on after {there} shards")
        return
    if begun is not None:
        note(f"the shards in {folder} are replaced")
        for path in (folder / INDEX, *folder.glob("*.h5")):
            path.unlink()
    needed = _ROOM * sum(_item_bytes(source) * len(source) for source in sources.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TwofoldError(
            f"the shards take {needed / 1e9:,.1f} GB, and there are {free / 1e9:,.1f} GB free in "
            f"{folder}; choose another --out"
        )
    write_atomically(folder / INDEX, index.text().encode())


def _pack_parts(
    folder: Path,
    sources: dict[str, Source],
    shard_bytes: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, PartIndex]:
    total, before = sum(map(len, sources.values())), 0
    parts: dict[str, PartIndex] = {}
    for name, source in sources.items():

        def told(done: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        parts[name] = _pack_part(folder, name, source, shard_bytes, seed, told)
        before += len(source)
    return parts


def _pack_part(
    folder: Path,
    name: str,
    source: Source,
    shard_bytes: int,
    seed: int,
    progress: Callable[[int], None],
) -> PartIndex:
    order = _random_order(source, seed)
    columns = _columns(source, order)
    written = _stored(folder, f"{name}.h5", source, columns)
    found = []
    for number, (start, stop) in enumerate(_cuts(source, order, shard_bytes)):
        some = {column: values[start:stop] for column, values in columns.items()}
        items, file = _Rows(source, order[start:stop]), f"{name}-{number:05d}.h5"
        found.append(_stored(folder, file, source, some, items))
        progress(stop)
    ends = [_extremes(folder, shard) for shard in found]
    return PartIndex(
        columns=written,
        shards=tuple(found),
        low=min(low for low, _ in ends),
        high=max(high for _, high in ends),
    )


def _random_order(source: Source, seed: int) -> np.ndarray:
    """The items by the hash of their id, or that of their group, whose members stay together."""
    keys = source.ids if source.groups is None else map(str, source.groups.tolist())
    hashes = np.fromiter((id_hash(seed, key) for key in keys), "S16", len(source))
    return np.argsort(hashes, kind="stable")


def _columns(source: Source, order: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of each item, in the order of the shards; text as UTF-8."""
    columns = {"ids": np.array([_bytes(source.ids[i]) for i in order.tolist()])}
    for name in ("labels", "groups", "times"):
        values = getattr(source, name)
        if values is not None:
            some = values[order]
            columns[name] = np.char.encode(some, "utf-8") if some.dtype.kind == "U" else some
    return columns


def _cuts(source: Source, order: np.ndarray, shard_bytes: int) -> Iterator[tuple[int, int]]:
    """Where shards begin and end: groups are not cut."""
    count = max(1, shard_bytes // _item_bytes(source))
    ends = np.arange(1, len(order) + 1)
    if source.groups is not None:
        groups = source.groups[order]
        ends = ends[np.append(groups[1:] != groups[:-1], True)]
    start = 0
    while start < len(order):
        fitting = int(np.searchsorted(ends, start + count, side="right")) - 1
        following = int(np.searchsorted(ends, start, side="right"))  # a group may be too large
        stop = int(ends[max(fitting, following)])
        yield start, stop
        start = stop


class _Rows(NamedTuple):
    """Items of a source in an order."""

    source: Source
    order: np.ndarray

    def write(self, file: h5py.File) -> None:
        """Writes them, a few at a time, each read where it lies next to the others."""
        items = self.source.items
        shape = (len(self.order), *items.shape[1:])
        rows = file.create_dataset("items", shape, items.dtype.newbyteorder("<"))
        step = max(1, _CHUNK_BYTES // _item_bytes(self.source))
        for start in range(0, len(self.order), step):
            some = self.order[start : start + step]
            forwards = np.argsort(some)
            read = np.empty((len(some), *items.shape[1:]), items.dtype)
            read[forwards] = items[some[forwards]]
            rows[start : start + step] = read


def _stored(
    folder: Path,
    name: str,
    source: Source,
    columns: dict[str, np.ndarray],
    items: _Rows | None = None,
) -> Stored:
    """A file of the folder: written, or found to be there, whole, from an earlier call."""
    path = folder / name
    if not path.exists():
        with _whole_file(path) as file:
            if items is not None:
                items.write(file)
            for column, values in columns.items():
                file.create_dataset(column, data=values)
            _describe(file, source)
    with h5py.File(path, "r") as file:
        mapped = columns if items is None else ("items",)
        arrays = {key: _where(file[key]) for key in mapped}
    return Stored(name, path.stat().st_size, digest_of(path), arrays)


@contextmanager
def _whole_file(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write, that takes its name once all of it is on the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        # Arrays begin on pages, so that mapping them is all there is to reading them.
        with h5py.File(partial, "w", alignment_threshold=1024, alignment_interval=_PAGE) as file:
            yield file
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # of the disk, or as HDF5 tells it
        raise TwofoldError(
            f"cannot write {path}: {str(error).splitlines()[0]}; the shards before it are kept, "
            "and the same command goes on"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def _describe(file: h5py.File, source: Source) -> None:
    """What a shard says of itself, so that it is data of its own, too."""
    file.attrs["domain"] = source.domain
    if source.labels is None:
        return
    names = np.array([_bytes(name) for name in source.label_names])
    if 0 < names.nbytes <= _ATTRIBUTE_BYTES:
        file["labels"].attrs["classes"] = names
    if source.label_unit:
        file["labels"].attrs["unit"] = source.label_unit


def _where(node: Any) -> dict[str, Any]:
    dtype = np.dtype(bool) if h5py.check_enum_dtype(node.dtype) else node.dtype
    return {"offset": int(node.id.get_offset()), "dtype": dtype.str, "shape": list(node.shape)}


def _extremes(folder: Path, shard: Stored) -> tuple[float, float]:
    with h5py.File(folder / shard.file, "r") as file:
        items = file["items"]
        step = max(1, _CHUNK_BYTES // max(1, items[:1].nbytes))
        pieces = (items[start : start + step] for start in range(0, len(items), step))
        ends = [(float(piece.min()), float(piece.max())) for piece in pieces]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _item_bytes(source: Source) -> int:
    return int(np.prod(source.items.shape[1:])) * source.items.dtype.itemsize


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _say_nothing(words: str) -> None:
    del words
