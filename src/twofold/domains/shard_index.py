"""What a folder of packed shards says of itself, here or behind a URL. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from twofold.errors import TwofoldError

INDEX = "index.json"
FORMAT = "twofold shards 1"
_DIGEST = "blake2b-128"


class Stored(NamedTuple):
    """A file of arrays, and what tells whether it is still the one that was written."""

    file: str
    """Its name in the folder."""
    bytes: int
    """Its size."""
    digest: str
    """BLAKE2b of its contents, 32 hex digits."""
    arrays: Mapping[str, Any]
    """Where its arrays lie, uncompressed: `offset`, `dtype` and `shape` by name."""

    @property
    def items(self) -> int:
        """How many items it holds."""
        return int(self.arrays["items"]["shape"][0])


@dataclass(frozen=True, kw_only=True)
class PartIndex:
    """The shards of the training or of the test items."""

    columns: Stored
    """What belongs to each item: ids, and labels, groups and times if there are any."""
    shards: tuple[Stored, ...]
    """The items, in the random order in which they were packed."""
    low: float
    """The smallest value of all items."""
    high: float
    """The largest."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """Everything that was packed."""

    name: str
    """What the data are called."""
    domain: str
    """What kind of items they are."""
    note: str
    """What was packed, in one line."""
    plan: str
    """Tells data and settings apart: those of shards that another packing may go on with."""
    label_names: tuple[str, ...]
    """Name of each class."""
    label_unit: str
    """Unit of labels that are numbers."""
    parts: Mapping[str, PartIndex]
    """`train`, and `test` if there is one; none while they are being packed."""

    def text(self) -> str:
        """As it is written down."""
        parts = {
            name: {
                "low": part.low,
                "high": part.high,
                "columns": part.columns._asdict(),
                "shards": [shard._asdict() for shard in part.shards],
            }
            for name, part in self.parts.items()
        }
        about = {name: value for name, value in vars(self).items() if name != "parts"}
        return json.dumps({"format": FORMAT, "digest": _DIGEST, **about, "parts": parts})


class Place(NamedTuple):
    """A folder, or a URL that fsspec reads."""

    where: str

    @property
    def folder(self) -> Path | None:
        """The folder; None if it is a URL."""
        return None if is_url(self.where) else Path(self.where).expanduser()

    def open(self, file: str) -> BinaryIO:
        """A file in it, to read.

        Raises:
            TwofoldError: If the package that reads such URLs is not installed.
            Exception: Whatever a file system raises; each has its own.
        """
        if self.folder is not None:
            return (self.folder / file).open("rb")
        fsspec = need_fsspec(self.where)
        try:
            system, root = fsspec.url_to_fs(self.where)
        except (ImportError, ValueError) as error:  # no backend, or an unknown protocol
            raise TwofoldError(f"'{self.where}' cannot be read: {_one_line(error)}") from None
        opened: BinaryIO = system.open(f"{root.rstrip('/')}/{file}", "rb")
        return opened


def is_url(data: object) -> bool:
    """Whether data are named by a URL.

    Example:
        >>> is_url("s3://bucket/shards"), is_url("shards")
        (True, False)
    """
    return isinstance(data, str) and "://" in data


def is_shards(data: object) -> bool:
    """Whether data are a folder of shards, or a URL, which nothing else is opened by."""
    if is_url(data):
        return True
    return isinstance(data, str | Path) and _is_index(Path(data).expanduser() / INDEX)


def read_index(data: str | Path) -> Index:
    """What shards say of themselves.

    Raises:
        TwofoldError: If there are none, if they cannot be reached, or if they are half packed.
    """
    place = Place(str(data))
    try:
        with place.open(INDEX) as file:
            said = json.loads(file.read())
        if said.get("format") != FORMAT:
            raise ValueError(f"its format is {said.get('format')!r}, not {FORMAT!r}")
        index = _index(said)
    except FileNotFoundError:
        raise TwofoldError(
            f"'{data}' holds no {INDEX}; give the folder that `twofold pack` wrote"
        ) from None
    except TwofoldError:
        raise
    except Exception as error:  # every file system has its own
        raise TwofoldError(f"cannot read {INDEX} of '{data}': {_one_line(error)}") from None
    if not index.parts:
        raise TwofoldError(
            f"'{data}' is half packed; the `twofold pack` that began it goes on with it"
        )
    return index


def read_plan(folder: Path) -> str | None:
    """The plan of shards that are packed or half packed; None if there are none."""
    path = folder / INDEX
    return str(json.loads(path.read_text())["plan"]) if _is_index(path) else None


def check_new(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder that nothing can be packed into, before anything is read."""
    if folder.exists() and not folder.is_dir():
        raise TwofoldError(f"{folder} is a file; shards need a folder of their own")
    if not _is_index(folder / INDEX):
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise TwofoldError(f"{folder} holds something else; shards need a folder of their own")
        return
    if not overwrite and json.loads((folder / INDEX).read_text())["parts"]:
        raise TwofoldError(
            f"{folder} is packed already; choose another --out, or replace it with --overwrite"
        )


def need_fsspec(url: str) -> Any:
    """The package fsspec, which reads URLs.

    Raises:
        TwofoldError: If it is not installed.
    """
    try:
        import fsspec.core
    except ModuleNotFoundError:
        raise TwofoldError(
            f"'{url}' is a URL, which needs fsspec: pip install 'twofold[remote]'"
        ) from None
    return fsspec.core


def unreached(what: str, error: Exception) -> str:
    """That a file cannot be read, and why, in one line."""
    return f"cannot read {what}: {_one_line(error)}"


def _is_index(path: Path) -> bool:
    try:
        return path.is_file() and bool(json.loads(path.read_text()).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError):
        return False


def _index(said: dict[str, Any]) -> Index:
    parts = {
        name: PartIndex(
            low=part["low"],
            high=part["high"],
            columns=_file(part["columns"]),
            shards=tuple(map(_file, part["shards"])),
        )
        for name, part in said["parts"].items()
    }
    names = ("name", "domain", "note", "plan", "label_unit")
    about = {name: str(said[name]) for name in names}
    return Index(**about, label_names=tuple(said["label_names"]), parts=parts)


def _file(said: dict[str, Any]) -> Stored:
    stored = Stored(**said)
    if PurePosixPath(stored.file).name != stored.file:
        raise ValueError(f"it names a file of another folder, {stored.file!r}")
    return stored


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
