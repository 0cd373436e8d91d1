"""The table beside a folder's images: `metadata.csv`, which says more of each file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from twofold.domains.arrays import Opened, checked_groups
from twofold.errors import TwofoldError, unknown

TABLE = "metadata.csv"
"""Name of the table, in the folder itself."""

_FILES = ("path", "id")


def with_groups(opened: Opened, root: Path, column: str) -> Opened:
    """The images of a folder with their groups, a column of its table.

    Args:
        opened: The images; their ids are paths from `root`, as the table names them.
        root: The folder.
        column: Name of the column of groups.

    Raises:
        TwofoldError: If there is no such table or column, or if an image is not listed in it just
            once with its group.
    """
    path = root / TABLE
    listed = _column(path, column)
    missing = [id for source in opened.sources for id in source.ids if id not in listed]
    if missing:
        raise TwofoldError(
            f"'{path}' lists no image '{missing[0]}', one of {len(missing):,} it leaves out; list "
            "each once, by its path in the folder"
        )
    sources = []
    for source in opened.sources:
        values = np.array([listed[id] for id in source.ids])
        sources.append(replace(source, groups=checked_groups(f"{column} of '{path}'", values)))
    return opened._replace(sources=tuple(sources))


def _column(path: Path, column: str) -> Mapping[str, str]:
    """The column's value for each file that the table lists."""
    try:
        # File names need not be valid Unicode; a byte order mark is what spreadsheets write.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            key = next((name for name in _FILES if name in names), None)
            if key is None:
                raise TwofoldError(
                    f"'{path}' has no column '{_FILES[0]}' with the path of each image in the "
                    f"folder; it has {', '.join(names) or 'none'}"
                )
            if column not in names:
                raise unknown(f"column of '{path}'", column, names)
            return _by_file(path, key, column, rows)
    except FileNotFoundError:
        raise TwofoldError(
            f"'{path}' does not exist; it is the table whose column '{_FILES[0]}' names each "
            f"image and whose column {column!r} its group"
        ) from None
    except (OSError, csv.Error) as error:
        raise TwofoldError(f"cannot read '{path}': {error}") from None


def _by_file(path: Path, key: str, column: str, rows: csv.DictReader[str]) -> Mapping[str, str]:
    listed: dict[str, str] = {}
    for row in rows:
        file, value = row[key], row[column]
        if file in listed:
            raise TwofoldError(
                f"'{path}' lists '{file}' again in line {rows.line_num}; list each image once"
            )
        if not file or not value:
            raise TwofoldError(
                f"'{path}' has no {column if file else key} in line {rows.line_num}; fill it in: "
                "an image that is alone has a group of its own"
            )
        listed[file] = value
    return listed
