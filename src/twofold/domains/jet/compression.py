"""Jets read once, checked, and kept compressed: in the cache if they come from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from twofold.domains.cache import cache_folder, key_of, publish
from twofold.domains.jet.channels import energies
from twofold.domains.jet.tables import Table
from twofold.domains.sparse import SparseItems, compress, joined, read_sparse, write_sparse
from twofold.domains.workers import tracked
from twofold.errors import TwofoldError

_FORMAT = 1  # counted up when reading changes, so that no older cache is taken for a new one


def compressed(
    tables: Sequence[Table], *, cache: str | Path | None, progress: bool | None
) -> SparseItems:
    """The jets of all tables, one table after the other.

    Tables in files are read once: the next time, unless a file has changed, their jets are mapped
    from the cache. What is no jet leaves nothing there.

    Raises:
        TwofoldError: If tables differ in shape or type, or hold NaN, infinity, negative energies
            or no energy at all.
    """
    _check_alike(tables)
    pieces = tracked(
        chain.from_iterable(_checked(table) for table in tables),
        sum(-(-table.jets // table.step) for table in tables),
        "Reading jets",
        progress,
    )
    if any(table.stamp is None for table in tables):
        return joined(list(pieces))
    stored = cache_folder(cache) / f"jets-{key_of([_FORMAT, *(t.stamp for t in tables)])}"
    if not stored.is_dir():
        publish(stored, lambda folder: write_sparse(folder, pieces))
    return read_sparse(stored)


class _Finding:
    """Counts the values of some kind and remembers the first."""

    def __init__(self) -> None:
        self.count, self.first = 0, 0

    def add(self, found: np.ndarray, piece: SparseItems, start: int) -> None:
        """Those that are `found` among the hits of a piece whose first jet has number `start`."""
        if not self.count and found.any():
            ends = np.cumsum(piece.counts)
            self.first = start + int(np.searchsorted(ends, found.argmax(), side="right"))
        self.count += int(found.sum())


def _checked(table: Table) -> Iterator[SparseItems]:
    """The pieces of a table; refuses them after the last, when all that is wrong is counted."""
    channels, eta, phi = table.item_shape
    is_energy = np.isin(np.arange(channels), energies(channels))
    unreal, negative = _Finding(), _Finding()
    start = hits = 0
    for dense in table.pieces():
        piece = compress(dense.astype(table.dtype, copy=False), channels_last=table.channels_last)
        unreal.add(~np.isfinite(piece.values), piece, start)
        below = piece.values < 0
        negative.add(below & is_energy[piece.cells // (eta * phi)], piece, start)
        start += len(piece)
        hits += len(piece.values)
        yield piece
    if unreal.count:
        raise TwofoldError(
            f"{table.what} holds {unreal.count:,} values that are NaN or infinite, the first in "
            f"jet {unreal.first:,}; replace them (np.nan_to_num) or leave those jets out"
        )
    if negative.count:
        raise TwofoldError(
            f"{table.what} holds {negative.count:,} negative energies, the first in jet "
            f"{negative.first:,}; energies are at least 0: set them to 0 or leave those jets out"
        )
    if not hits:
        raise TwofoldError(f"{table.what} holds no energy: all {table.jets:,} jets are empty")


def _check_alike(tables: Sequence[Table]) -> None:
    first = tables[0]
    for table in tables[1:]:
        if (table.item_shape, table.dtype) != (first.item_shape, first.dtype):
            raise TwofoldError(
                f"{first.what} holds {_kind(first)} and {table.what} {_kind(table)}; "
                "jets that are opened together must be alike"
            )


def _kind(table: Table) -> str:
    return f"{'x'.join(map(str, table.item_shape))} {table.dtype}"
