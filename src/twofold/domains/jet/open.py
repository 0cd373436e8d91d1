"""One function that opens any set of jets: files as physicists have them, and arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.domains.array_files import NAMED_SUFFIXES, Keys, Labels, given_labels, part_of
from twofold.domains.arrays import LabelColumn, Opened, Part, as_sources, is_array, texts, to_numpy
from twofold.domains.image.names import NAMES, existing_path
from twofold.domains.jet.compression import compressed
from twofold.domains.jet.tables import Table, table_of, tables_in
from twofold.domains.pairing import as_stored, open_pair, refuse_labels
from twofold.domains.source import Data, Source
from twofold.domains.sparse import SparseItems
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

    Jets = str | Path | Sequence[str | Path] | np.ndarray | Tensor | Source

_SUFFIXES = (".h5", ".hdf5")
_COLUMNS = ("groups", "times")


def open_data(
    data: Jets | Data,
    *,
    key: str | None = None,
    label_key: str | None = None,
    group_key: str | None = None,
    time_key: str | None = None,
    groups: np.ndarray | Tensor | Sequence[object] | None = None,
    labels: Labels | None = None,
    test: Jets | None = None,
    test_labels: Labels | None = None,
    test_fraction: float = 0.2,
    image_size: int | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: bool | None = None,
) -> Data:
    """Opens jets to train on and to test on.

    Jets are images `(n, eta, phi, channels)` or `(n, channels, eta, phi)` of energies in GeV, with
    3 channels (tracks, ECAL, HCAL) or 8 (tracks, dz, d0, ECAL, HCAL, BPIX1, BPIX2, BPIX3), where
    dz and d0 may be negative. A file is read once, some jets at a time, into a compressed copy
    in the cache, from which it is mapped ever after: neither needs to fit in memory.

    Where the data brings its own test part (arrays such as `X_jets_train` and `X_jets_test`; files
    such as `train.h5` and `test.h5`), or `test` is given, that is the test set. Otherwise a share
    of the jets is held out (see `twofold.domains.split`).

    Args:
        data: A .h5, .npz or .npy file, a list or folder of .h5 files, whose jets are taken
            together, a numpy array, a torch tensor, a `Source`, or a `Data`, which comes back as it
            is.
        key: Name of the jets in a file; `X_jets`, or the only array that can be them, if None.
        label_key: Name of the labels there: classes, or numbers to regress such as `m0` or `pt`,
            whose attribute `unit` is their unit; `y`, `labels` and the like if None. An attribute
            `classes` of class numbers names them.
        group_key: Name of the groups there, such as events: strings or whole numbers.
        time_key: Name of the times there, in any unit.
        groups: Group of each jet of an array.
        labels: Labels `(n,)` of jets in one array, or a .npy file of them.
        test: A set to test on; anything that `data` can be.
        test_labels: Labels of `test` if that is an array.
        test_fraction: Share held out where no test set is given, in (0, 1).
        image_size: Refused unless the jets have it: they are used as stored.
        seed: Chooses what is held out.
        cache: Folder for compressed jets; $TWOFOLD_CACHE or ~/.cache/twofold if None.
        progress: Whether to draw a progress bar on stderr; if None, on a terminal after a second.

    Returns:
        Train and test set, and a note on what they are.

    Raises:
        TwofoldError: If the data is missing, empty, damaged or no jets, in one line.

    Example:
        >>> jets = np.zeros((50, 40, 40, 3), np.float32)
        >>> jets[:, 20, 20] = 0.5
        >>> open_data(jets, labels=["gluon", "quark"] * 25).note
        'array: 50 jets of 3x40x40 float32, 2 classes; random split 40 + 10 (seed 0); ...'
    """

    def open_one(jets: Jets, labels: Labels | None, beside: Source | None) -> Opened:
        what = "data" if beside is None else "test"
        keys = Keys(key, label_key, group_key, time_key)
        if beside is None and not _holds_names(jets):
            keys.refuse()
        opened = _open(jets, what, keys, labels, cache, progress)
        return as_stored(opened, image_size, beside)

    return open_pair(
        data,
        test,
        open_one,
        labels=labels,
        test_labels=test_labels,
        groups=groups,
        test_fraction=test_fraction,
        seed=seed,
        items="jets",
    )


def _open(
    data: Jets,
    what: str,
    keys: Keys,
    labels: Labels | None,
    cache: str | Path | None,
    progress: bool | None,
) -> Opened:
    if isinstance(data, Source):
        refuse_labels(labels, "a Source carries its own")
        return Opened((data,), ())
    notes: tuple[str, ...] = ()
    if is_array(data):
        name = "array"
        tables = [table_of(to_numpy(data), what, given_labels(labels))]
    elif isinstance(data, str | Path | Sequence):
        name, base, paths = _files(data, what)
        if len(paths) > 1:
            refuse_labels(labels, "each of several files has its own")
        tables, notes = _tables(base, paths, keys, labels)
    else:
        raise TwofoldError(
            f"{what} is a {type(data).__name__}; jets come from a path, a list of paths, a numpy "
            "array, a torch tensor or a Source (np.stack makes an array of a list)"
        )
    sides, unused = _sides(tables)
    columns = [_labels(side) for side in sides]
    items = [compressed(side, cache=cache, progress=progress) for side in sides]
    parts = [
        Part(what, jets, column, _ids(side), *(_of_all(side, name) for name in _COLUMNS))
        for jets, side, (column, _) in zip(items, sides, columns, strict=True)
    ]
    notes += unused + tuple(remark for _, remark in columns if remark)
    notes += _remarks(items)
    return Opened(as_sources(name, parts, domain="jet"), notes)


def _holds_names(data: object) -> bool:
    if isinstance(data, str | Path):
        path = Path(data).expanduser()
        return path.is_dir() or path.suffix.lower() in NAMED_SUFFIXES
    return not is_array(data) and isinstance(data, Sequence)


def _files(data: str | Path | Sequence[object], what: str) -> tuple[str, Path, list[Path]]:
    """What a file, a folder or a list of files is called, where it lies, and its files."""
    if isinstance(data, str | Path):
        if data in NAMES:
            raise TwofoldError(f"'{data}' holds images, not jets; leave the domain out")
        path = existing_path(data)
        if not path.is_dir():
            return path.stem, path.parent, [path]
        found = [file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES]
        files = sorted(file for file in found if not file.name.startswith("."))
        if not files:
            raise TwofoldError(f"folder '{path}' holds no {' or '.join(_SUFFIXES)} files")
        return path.resolve().name, path, files
    if not data or not all(isinstance(one, str | Path) for one in data):
        kinds = ", ".join(sorted({type(one).__name__ for one in data})) or "nothing"
        raise TwofoldError(
            f"{what} is a list of {kinds}; a list names files (np.stack makes an array of a list)"
        )
    files = sorted(existing_path(str(one)).absolute() for one in data)
    folder = next((file for file in files if file.is_dir()), None)
    if folder is not None:
        raise TwofoldError(f"'{folder}' is a folder; give a folder alone, or a list of files")
    base = Path(os.path.commonpath([file.parent for file in files]))
    return base.name, base, files


def _tables(
    base: Path,
    paths: Sequence[Path],
    keys: Keys,
    labels: Labels | None,
) -> tuple[list[Table], tuple[str, ...]]:
    """What the files hold; jets of one file among several are named after it."""
    tables: list[Table] = []
    notes: tuple[str, ...] = ()
    for path in paths:
        found, remarks = tables_in(path, keys, given_labels(labels))
        notes += remarks
        if len(paths) > 1:
            found = [_named_after(path.relative_to(base).as_posix(), table) for table in found]
        tables += found
    return tables, notes


def _named_after(file: str, table: Table) -> Table:
    ids = map(str, range(table.jets)) if table.ids is None else texts(table.ids)
    return table._replace(
        side=table.side or part_of(file), ids=np.array([f"{file}:{one}" for one in ids])
    )


def _sides(tables: list[Table]) -> tuple[list[list[Table]], tuple[str, ...]]:
    """The tables to train on and those to test on, if their names say so; else all together."""
    by_side: dict[str, list[Table]] = {}
    for table in tables:
        by_side.setdefault(table.side, []).append(table)
    test = next((side for side in ("test", "val") if side in by_side), "")
    if "train" not in by_side or not test:
        return [tables], ()
    used = [by_side.pop("train"), by_side.pop(test)]
    return used, tuple(f"{table.what} is not used" for side in by_side.values() for table in side)


def _labels(tables: Sequence[Table]) -> tuple[LabelColumn | None, str]:
    """Labels of all jets, if all have some, or else a remark."""
    columns = [table.labels for table in tables if table.labels is not None]
    if len(columns) < len(tables):
        without = next(table.what for table in tables if table.labels is None)
        return None, f"labels are not used: {without} has none" if columns else ""
    first = columns[0]
    for table, column in zip(tables, columns, strict=True):
        if _kind(column) != _kind(first):
            raise TwofoldError(
                f"labels of {table.what} are {_kind(column)}, those of {tables[0].what} "
                f"{_kind(first)}; jets that are opened together need labels that are alike"
            )
    values = np.concatenate([column.values for column in columns])
    classes = dict.fromkeys(name for column in columns for name in column.classes)
    return LabelColumn(values, tuple(classes), first.unit), ""


def _kind(column: LabelColumn) -> str:
    values = column.values
    if values.dtype != np.float32:
        return "names" if values.dtype.kind == "U" else "class numbers"
    several = f"{values.shape[1]} " if values.ndim > 1 else ""
    return f"{several}numbers{column.unit and f' in {column.unit}'}"


def _ids(tables: Sequence[Table]) -> np.ndarray | None:
    ids = [table.ids for table in tables if table.ids is not None]
    return np.concatenate(ids) if ids else None


def _of_all(tables: Sequence[Table], column: str) -> np.ndarray | None:
    """A column of all jets, if all have it."""
    parts = [getattr(table, column) for table in tables if getattr(table, column) is not None]
    return np.concatenate(parts) if len(parts) == len(tables) else None


def _remarks(sets: Sequence[SparseItems]) -> tuple[str, ...]:
    jets = sum(map(len, sets))
    occupancy = sum(items.occupancy * len(items) for items in sets) / jets
    remarks = [f"{100 * occupancy:.3g} % of the cells are hit"]
    if min(items.compression for items in sets) < 1:
        remarks[0] += ", too many to be smaller when compressed"
    if empty := sum(int((items.counts == 0).sum()) for items in sets):
        remarks.append(f"jets without any energy: {empty:,}")
    return tuple(remarks)
