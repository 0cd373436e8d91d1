"""Embeddings read back from a file, ours or another system's, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twofold.domains.array_files import named_arrays
from twofold.domains.arrays import checked_labels, encode_classes, texts
from twofold.domains.damage import UNREADABLE, check_columns, check_room, unreadable
from twofold.embeddings.extras import need_pyarrow
from twofold.errors import TwofoldError, nearest
from twofold.plain import plain_from_json

SUFFIXES = (".npz", ".parquet")
PARTS = ("train", "test")
METADATA = "twofold"
"""Key of what a .parquet file says of itself, as JSON."""

_COLUMNS = {
    "embedding": "embeddings",
    "id": "ids",
    "label": "labels",
    "part": "part",
    "path": "path",
}
"""Columns of a .parquet file, and what a .npz file calls the same."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of items, with what is known of each.

    Example:
        >>> found = Embeddings(np.eye(2, dtype=np.float32), ids=np.array(["a", "b"]))
        >>> len(found), found.dim
        (2, 2)
    """

    embeddings: np.ndarray
    """Embeddings `(n, dim)`, float32, all finite."""
    ids: np.ndarray
    """Name of each item, strings `(n,)`, no two alike in one part."""
    labels: np.ndarray | None = None
    """Class of each item, int64 `(n,)`, counted from 0; or numbers to regress, float32 `(n,)` or
    `(n, targets)`."""
    label_names: tuple[str, ...] = ()
    """Name of each class."""
    part: np.ndarray | None = None
    """`train` or `test` for each item, strings `(n,)`."""
    paths: np.ndarray | None = None
    """File of each item, strings `(n,)`."""

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        """Dimension of an embedding."""
        return int(self.embeddings.shape[1])

    def take(self, rows: np.ndarray) -> Embeddings:
        """Those in some rows, in that order."""
        return replace(
            self,
            embeddings=self.embeddings[rows],
            ids=self.ids[rows],
            labels=None if self.labels is None else self.labels[rows],
            part=None if self.part is None else self.part[rows],
            paths=None if self.paths is None else self.paths[rows],
        )


def read_embeddings(path: str | Path) -> Embeddings:
    """Reads embeddings that `twofold embed` or another system wrote.

    A .npz file holds the array `embeddings` `(n, dim)` and, if they are known, `ids`, `labels`
    (whole numbers, strings, or numbers to regress), `label_names`, `part` ("train" or "test") and
    `path`. A .parquet file holds the columns embedding, id, label, part and path. Items without
    ids are numbered.

    Args:
        path: A .npz file, or a .parquet file if pyarrow is installed.

    Raises:
        TwofoldError: If the file cannot be read or would run code, lacks embeddings, or holds
            values that are not finite, ids that occur twice or columns of another length.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "e.npz")
        >>> np.savez(path, embeddings=np.ones((3, 4)), labels=["cat", "dog", "cat"])
        >>> found = read_embeddings(path)
        >>> found.labels.tolist(), found.label_names, found.ids.tolist()
        ([0, 1, 0], ('cat', 'dog'), ['0', '1', '2'])
    """
    path = Path(path)
    check_file(path)
    arrays = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    if "embeddings" not in arrays:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise TwofoldError(f"{path} has no array 'embeddings' (n, dim); it holds {held}")
    embeddings = _checked_embeddings(path, arrays["embeddings"])
    count = len(embeddings)
    for name in ("ids", "labels", "part", "path"):
        if name in arrays and arrays[name].shape[:1] != (count,):
            raise TwofoldError(
                f"{path}: {name} has shape {arrays[name].shape} for {count} embeddings; "
                "there must be one for each"
            )
    ids = _text(path, "ids", arrays["ids"]) if "ids" in arrays else np.arange(count).astype(str)
    part = _text(path, "part", arrays["part"]) if "part" in arrays else None
    _check_part(path, part)
    _check_unique(path, ids, part)
    labels, label_names = _labels(path, arrays)
    return Embeddings(
        embeddings=embeddings,
        ids=ids,
        labels=labels,
        label_names=label_names,
        part=part,
        paths=_text(path, "path", arrays["path"]) if "path" in arrays else None,
    )


def check_file(path: Path) -> None:
    """Refuses what is no file of embeddings by its name, before anything heavy is imported."""
    if path.suffix not in SUFFIXES:
        raise TwofoldError(
            f"{path} is no file of embeddings; its name must end in .npz or .parquet"
        )
    if not path.is_file():
        names = [entry.name for entry in path.parent.glob("*") if entry.suffix in SUFFIXES]
        guess = nearest(path.name, names)
        hint = f"; did you mean {path.parent / guess}?" if guess else "; check the path"
        raise TwofoldError(f"{path} does not exist{hint}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    known = {*_COLUMNS.values(), "label_names"}
    with named_arrays(path) as entries:
        # The names of other arrays tell a user what to rename; their values are left alone.
        return {e.key: e.read() if e.key in known else np.empty(0) for e in entries}


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    arrow = need_pyarrow(f"{path} is a .parquet file")
    try:
        check_columns(path, _COLUMNS)
        file = arrow.parquet.ParquetFile(path, pre_buffer=False)
        names = file.schema_arrow.names
        table = file.read(columns=[name for name in names if name in _COLUMNS])
        arrays = {
            _COLUMNS[name]: _column(arrow, path, name, table[name]) for name in table.column_names
        }
    except TwofoldError:
        raise
    except (*UNREADABLE, arrow.ArrowException) as error:
        raise unreadable(path, error) from None
    if "embedding" not in names:
        raise TwofoldError(
            f"{path} has no column 'embedding'; it holds {', '.join(names) or 'nothing'}"
        )
    label_names = _label_names(path, (table.schema.metadata or {}).get(METADATA.encode(), b"{}"))
    # Classes are stored by name; those that were written keep their numbers.
    if "labels" in arrays and set(arrays["labels"].reshape(-1).tolist()) <= set(label_names):
        numbers = {name: number for number, name in enumerate(label_names)}
        arrays["labels"] = np.array([numbers[name] for name in arrays["labels"]], dtype=np.int64)
        arrays["label_names"] = np.array(label_names, dtype=str)
    return arrays


def _label_names(path: Path, metadata: bytes) -> list[str]:
    """Names of classes that a .parquet file says it was written with."""
    try:
        facts = plain_from_json(metadata)
    except ValueError as error:
        raise unreadable(path, error) from None
    names = facts.get("label_names", []) if isinstance(facts, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TwofoldError(f"{path}: its metadata does not name classes; write the file again")
    return names


def _column(arrow: Any, path: Path, name: str, column: Any) -> np.ndarray:
    """A column as an array; lists of one length are its rows."""
    if column.null_count:
        raise TwofoldError(f"{path}: {column.null_count} values of column {name} are missing")
    kinds = arrow.types
    listed = (
        kinds.is_list(column.type)
        or kinds.is_large_list(column.type)
        or kinds.is_fixed_size_list(column.type)
    )
    if kinds.is_nested(column.type.value_type if listed else column.type):
        raise TwofoldError(
            f"{path}: column {name} holds {column.type}; it must be plain values or lists of them"
        )
    if not listed:
        values = np.asarray(column.to_numpy())
        if values.dtype == object:  # as strings, all of them take what the longest does
            check_room(path, 4 * len(values) * max(map(len, map(str, values)), default=0))
        return values
    lengths = arrow.compute.list_value_length(column).unique().to_pylist() or [0]
    if len(lengths) > 1:
        raise TwofoldError(
            f"{path}: the lists of column {name} have {min(lengths)} to {max(lengths)} values; all "
            "must have the same number"
        )
    chunks = [chunk.flatten() for chunk in column.chunks]
    if missing := sum(chunk.null_count for chunk in chunks):
        raise TwofoldError(f"{path}: {missing} values of column {name} are missing")
    flat = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks] or [np.empty(0)]
    return np.concatenate(flat).reshape(len(column), lengths[0])


def _checked_embeddings(path: Path, embeddings: np.ndarray) -> np.ndarray:
    if embeddings.ndim != 2 or 0 in embeddings.shape or embeddings.dtype.kind not in "fiu":
        raise TwofoldError(
            f"{path}: embeddings are {embeddings.dtype} of shape {embeddings.shape}; they must be "
            "numbers (n, dim), neither of them 0"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is told of as infinite
        embeddings = embeddings.astype(np.float32, copy=False)
    bad = ~np.isfinite(embeddings).all(axis=1)
    if bad.any():
        raise TwofoldError(
            f"{path}: {bad.sum()} of {len(bad)} embeddings hold NaN or infinity, the first in row "
            f"{bad.argmax()}; leave those items out"
        )
    return embeddings


def _labels(
    path: Path, arrays: Mapping[str, np.ndarray]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class numbers and names, or numbers to regress as they are."""
    if "labels" not in arrays:
        return None, ()
    labels = checked_labels(f"labels of {path}", arrays["labels"])
    if labels.dtype == np.float32:
        return labels, ()
    names = arrays.get("label_names", np.empty(0, dtype=str))
    if not len(names) or labels.dtype.kind == "U":
        (codes,), found = encode_classes([labels])
        return codes, found
    if labels.min() < 0 or labels.max() >= len(names):
        raise TwofoldError(
            f"{path}: labels run from {labels.min()} to {labels.max()}; with {len(names)} "
            f"label_names they must be from 0 to {len(names) - 1}"
        )
    return labels.astype(np.int64), tuple(_text(path, "label_names", names).tolist())


def _text(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Names `(n,)` as strings; whole numbers are names, too."""
    if values.ndim != 1 or values.dtype.kind not in "UTSOiu":
        raise TwofoldError(
            f"{path}: {name} is {values.dtype} of shape {values.shape}; it must be strings (n,)"
        )
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "surrogateescape")
    return np.array(texts(values), dtype=str) if values.dtype.kind == "O" else values.astype(str)


def _check_part(path: Path, part: np.ndarray | None) -> None:
    strange = sorted(set() if part is None else set(part.tolist()) - set(PARTS))
    if strange:
        raise TwofoldError(
            f"{path}: part is {strange[0]!r} for some items; it must be train or test"
        )


def _check_unique(path: Path, ids: np.ndarray, part: np.ndarray | None) -> None:
    """An array to train on and one to test on count from 0 each."""
    for name in PARTS if part is not None else ("",):
        names, counts = np.unique(ids if part is None else ids[part == name], return_counts=True)
        if (counts > 1).any():
            twice = names[counts > 1][0]
            raise TwofoldError(
                f"{path}: the id {str(twice)!r} occurs more than once; ids must be unique"
            )
