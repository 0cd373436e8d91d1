"""The table beside the files of a folder: `metadata.csv`, which says more of each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twofold.domains.arrays import (
    LabelColumn,
    Opened,
    checked_groups,
    checked_labels,
    checked_times,
    encode_labels,
)
from twofold.domains.source import Source
from twofold.errors import TwofoldError, unknown

TABLE = "metadata.csv"
"""Name of the table, in the folder itself."""

_FILES = ("path", "id")


def with_columns(
    opened: Opened,
    root: Path,
    *,
    labels: str | None = None,
    groups: str | None = None,
    times: str | None = None,
) -> Opened:
    """The items of a folder with what the table beside their files says of each.

    Args:
        opened: The items; their ids are paths from `root`, as the table names them.
        root: The folder.
        labels: Name of the column of labels, classes or numbers to regress; None for none.
        groups: Name of the column of groups; None for none.
        times: Name of the column of times; None for none.

    Raises:
        TwofoldError: If there is no such table or column, or if a file is not listed in it once
            with what is asked of it.
    """
    path = root / TABLE
    sources = opened.sources
    if labels is not None:
        what, found = f"{labels} of '{path}'", _values(path, labels, sources)
        columns = [LabelColumn(values) for values in _labels(what, found)]
        encoded, names = encode_labels(columns)
        sources = tuple(
            replace(source, labels=values, label_names=names)
            for source, values in zip(sources, encoded, strict=True)
        )
    if groups is not None:
        what, found = f"{groups} of '{path}'", _values(path, groups, sources)
        sources = tuple(
            replace(source, groups=checked_groups(what, values))
            for source, values in zip(sources, found, strict=True)
        )
    if times is not None:
        what, found = f"{times} of '{path}'", _values(path, times, sources)
        sources = tuple(
            replace(source, times=_numbers(what, values))
            for source, values in zip(sources, found, strict=True)
        )
    return opened._replace(sources=sources)


def _values(path: Path, column: str, sources: Sequence[Source]) -> list[np.ndarray]:
    """A column's value for each item, source by source."""
    listed = _column(path, column)
    missing = [id for source in sources for id in source.ids if id not in listed]
    if missing:
        raise TwofoldError(
            f"'{path}' lists no file '{missing[0]}', one of {len(missing):,} it leaves out; list "
            "each once, by its path in the folder"
        )
    return [np.array([listed[id] for id in source.ids]) for source in sources]


def _labels(what: str, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Labels as numbers if all are numbers, or else by name."""
    try:
        numbers = np.concatenate(parts).astype(np.float64)
    except ValueError:
        return list(parts)
    ends = np.cumsum([len(values) for values in parts])
    return np.split(checked_labels(what, numbers), ends[:-1])


def _numbers(what: str, values: np.ndarray) -> np.ndarray:
    """The numbers that strings are."""
    try:
        return checked_times(what, np.array([float(value) for value in values.tolist()]))
    except ValueError as error:
        raise TwofoldError(f"{what} is no number: {error}; give times as numbers") from None


def _column(path: Path, column: str) -> Mapping[str, str]:
    """The column's value for each file that the table lists."""
    try:
        # File names need not be valid Unicode; a byte order mark is what spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise TwofoldError(f"'{path}' has two columns {twice!r}; rename one of them")
            key = next((name for name in _FILES if name in names), None)
            if key is None:
                raise TwofoldError(
                    f"'{path}' has no column '{_FILES[0]}' with the path of each file in the "
                    f"folder; it has {', '.join(names) or 'none'}"
                )
            if column not in names:
                raise unknown(f"column of '{path}'", column, names)
            return _by_file(path, key, column, rows)
    except FileNotFoundError:
        raise TwofoldError(
            f"'{path}' does not exist; it is the table whose column '{_FILES[0]}' names each "
            f"file and whose column {column!r} says what is asked of it"
        ) from None
    except (OSError, csv.Error) as error:
        raise TwofoldError(f"cannot read '{path}': {error}") from None


def _by_file(path: Path, key: str, column: str, rows: csv.DictReader[str]) -> Mapping[str, str]:
    listed: dict[str, str] = {}
    for row in rows:
        if None in row:  # cells beyond the last column: one with a comma that is not quoted, say
            raise TwofoldError(
                f"'{path}' has more cells than columns in line {rows.line_num}; quote those that "
                "hold a comma"
            )
        file, value = row[key], row[column]
        if file in listed:
            raise TwofoldError(
                f"'{path}' lists '{file}' again in line {rows.line_num}; list each file once"
            )
        if not file or not value:
            raise TwofoldError(
                f"'{path}' has no {column if file else key} in line {rows.line_num}; fill it in"
                + (": what is alone has a group of its own" if file else "")
            )
        listed[file] = value
    return listed
