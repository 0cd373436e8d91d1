"""Arrays of jets in files and in memory: what is known of them before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.domains.array_files import UNNAMED, Keys, by_key, choose, named_arrays, read_npy
from twofold.domains.arrays import LabelColumn
from twofold.domains.jet.channels import CHANNELS
from twofold.errors import TwofoldError

_LAYOUT = "(n, eta, phi, channels) or (n, channels, eta, phi)"
_STEM = "x jets"  # of X_jets, X_jets_train, test/X_jets, ...
_PIECE_BYTES = 64 * 2**20


class Table(NamedTuple):
    """An array of jets that has not been read yet."""

    what: str
    """What errors call it."""
    shape: tuple[int, ...]
    """Its shape as stored."""
    dtype: np.dtype[Any]
    """Type of its jets, once they are read: the smallest of floats that holds what is stored."""
    channels_last: bool
    """Whether the channels of a jet come last as stored."""
    step: int
    """How many jets are read together."""
    pieces: Callable[[], Iterator[np.ndarray]]
    """Reads all jets in order, some together."""
    labels: LabelColumn | None = None
    """Label of each jet."""
    ids: np.ndarray | None = None
    """Name of each jet."""
    groups: np.ndarray | None = None
    """Group of each jet."""
    times: np.ndarray | None = None
    """Time of each jet."""
    path: Path | None = None
    """The file it lies in."""
    side: str = ""
    """The side of a split that its name says: train, test, val, or nothing."""
    stamp: tuple[str | int, ...] | None = None
    """What changes whenever the file does."""

    @property
    def jets(self) -> int:
        """How many jets it holds."""
        return self.shape[0]

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Channels, eta and phi."""
        return (self.shape[3], *self.shape[1:3]) if self.channels_last else self.shape[1:]


def tables_in(
    path: Path,
    keys: Keys = UNNAMED,
    labels: LabelColumn | None = None,
) -> tuple[list[Table], tuple[str, ...]]:
    """The jets in a file, or their train and test half, and what to remark.

    Args:
        path: A .h5, .npz or .npy file.
        keys: Names of its arrays; if none is given, the jets are `X_jets`, or the only array that
            can be them.
        labels: Labels in place of the file's.
    """
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        pieces = partial(_pieces_of_file, path, "", str(path))
        table = _table(str(path), array, pieces, labels, None)
        return [table._replace(path=path, stamp=_stamp(path, ""))], ()
    with named_arrays(path) as entries:
        if keys.key is None:
            usual = [e for e in entries if e.stem == _STEM and e.part in ("", "train")]
            keys = keys._replace(key=usual[0].key if len(usual) == 1 else None)
        chosen, notes = choose(
            path,
            entries,
            keys,
            labels=labels,
            layouts={4: _LAYOUT},
            items="jets",
        )
        tables = []
        for found in chosen:
            entry = found.items
            what = f"{entry.key} of '{path}'"
            pieces = partial(_pieces_of_file, path, entry.key, what)
            table = _table(what, entry.open(), pieces, *found[1:])
            stamp = _stamp(path, entry.key)
            tables.append(table._replace(path=path, side=entry.part, stamp=stamp))
    return tables, notes


def table_of(array: np.ndarray, what: str, labels: LabelColumn | None) -> Table:
    """The jets in an array, called `what` in errors."""
    return _table(what, array, lambda: _pieces(what, array, _step(array)), labels, None)


def _table(
    what: str,
    stored: Any,
    pieces: Callable[[], Iterator[np.ndarray]],
    labels: LabelColumn | None,
    ids: np.ndarray | None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> Table:
    shape = tuple(stored.shape)
    channels_last = _channels_last(what, shape, stored.dtype)
    known = {"labels": labels and labels.values, "ids": ids, "groups": groups, "times": times}
    for name, values in known.items():
        if values is not None and len(values) != shape[0]:
            raise TwofoldError(
                f"{what} holds {shape[0]:,} jets, but there are {len(values):,} {name}; "
                "there must be one for each"
            )
    return Table(
        what=what,
        shape=shape,
        dtype=np.result_type(stored.dtype, np.float16),
        channels_last=channels_last,
        step=_step(stored),
        pieces=pieces,
        labels=labels,
        ids=ids,
        groups=groups,
        times=times,
    )


def _channels_last(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether channels come last; refuses what cannot be jets."""
    if dtype.kind not in "buif":
        raise TwofoldError(f"{what} has type {dtype}; jets are images of one shape, {_LAYOUT}")
    if len(shape) != 4 or 0 in shape:
        raise TwofoldError(f"{what} has shape {shape}; jets must be {_LAYOUT}, none of them 0")
    sides = {False: shape[2:], True: shape[1:3]}
    places = [last for last, at in ((False, 1), (True, 3)) if shape[at] in CHANNELS]
    if len(places) == 2:
        places = [last for last in places if sides[last][0] == sides[last][1]]
        if len(places) != 1:
            raise TwofoldError(
                f"{what} has shape {shape}, whose channels may come first or last; pad the images "
                "with zeros to another size"
            )
    if not places:
        known = " or ".join(f"{count} ({', '.join(names)})" for count, names in CHANNELS.items())
        raise TwofoldError(
            f"{what} has shape {shape}; jets have {known} channels, first or last: leave others "
            "out, or open them as images (domain 'image')"
        )
    return places[0]


def _step(stored: Any) -> int:
    """How many jets to read together: whole chunks of the file, up to 64 MiB if one is smaller."""
    jet_bytes: int = stored.dtype.itemsize * int(np.prod(stored.shape[1:]))
    wanted = max(1, _PIECE_BYTES // jet_bytes)
    chunk: int = (getattr(stored, "chunks", None) or (1,))[0]
    return max(chunk, wanted // chunk * chunk)


def _pieces_of_file(path: Path, key: str, what: str) -> Iterator[np.ndarray]:
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        yield from _pieces(what, array, _step(array))
        return
    with named_arrays(path) as entries:
        stored = by_key(path, entries, key).open()
        yield from _pieces(what, stored, _step(stored))


def _pieces(what: str, stored: Any, step: int) -> Iterator[np.ndarray]:
    for start in range(0, len(stored), step):
        try:
            piece = np.asarray(stored[start : start + step])
        except OSError as error:
            reason = str(error).splitlines()[0]
            raise TwofoldError(
                f"cannot read {what} beyond jet {start:,} of {len(stored):,} ({reason}); "
                "copy the file again"
            ) from None
        yield piece


def _stamp(path: Path, key: str) -> tuple[str | int, ...]:
    status = path.stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns, key
