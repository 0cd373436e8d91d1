"""Files that are damaged, or made to do harm: what parsers raise, and what the user is told."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from twofold.errors import TwofoldError

UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What parsers raise on files that are damaged, or made to do harm."""

_PATIENCE = 30.0  # seconds for another process to try a file,
_SLOWEST = 2**20  # and bytes of it a second beyond that
_SPARE, _SWOLLEN = 2**28, 64  # bytes of memory that any file may take, and how many for each of its
_OUT_OF_MEMORY, _REFUSED = 3, 4  # exit statuses that say so
_READ_TEXTS = """
import sys, h5py
def read(name, node):
    for key in node.attrs: node.attrs[key]
    if isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype): node[()]
with h5py.File(sys.argv[1]) as file:
    read("", file)
    file.visititems(read)
"""
_READ_COLUMNS = f"""
import pathlib, resource, sys
import pyarrow.parquet
pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # it takes no more than it is asked for
path, room, *known = sys.argv[1:]
if (taken := pathlib.Path("/proc/self/statm")).exists():  # elsewhere no limit would hold
    most = int(taken.read_text().split()[0]) * resource.getpagesize() + int(room)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    held = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    if sum(held) != (rows := file.metadata.num_rows):
        raise ValueError(f"it has {{rows}} rows, its groups {{sum(held)}}; write it again")
    names = [name for name in file.schema_arrow.names if name in known]
    file.read(columns=names, use_threads=False)
except Exception as error:
    said = str(error) or type(error).__name__
    print(said, file=sys.stderr)
    is_full = isinstance(error, MemoryError) or "bad_alloc" in said
    sys.exit({_OUT_OF_MEMORY} if is_full else {_REFUSED})
"""


def unreadable(path: Path, error: Exception) -> TwofoldError:
    """The error for a file that is damaged or of another kind."""
    return TwofoldError(f"cannot read '{path}': {_reason(error)}")


def check_memory(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuses an array that is larger than the machine's memory, before any of it is read.

    Raises:
        MemoryError: With both sizes.
    """
    needed = math.prod(shape) * dtype.itemsize
    held = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > held:
        raise MemoryError(f"{what} takes {needed / 2**30:,.0f} GiB of {held / 2**30:,.0f}")


def check_room(path: Path, needed: int) -> None:
    """Refuses contents of a compressed file that take far more memory than any sound file's.

    Raises:
        ValueError: With the size of the file, and the remedy.
    """
    size = path.stat().st_size
    if needed > _room(size):
        raise _swollen(size)


def check_texts(path: Path) -> None:
    """Refuses an HDF5 file whose texts are damaged so that reading them would never end.

    HDF5 goes round in circles there and cannot be stopped, so another process tries it first.

    Raises:
        ValueError: If it came to no end.
    """
    if _tried(_READ_TEXTS, path) is None:
        raise ValueError("its texts are damaged: reading them does not end")


def check_columns(path: Path, names: Iterable[str]) -> None:
    """Refuses a Parquet file that takes far more memory than it has bytes.

    A few bytes may claim billions of values, and room is made for them before they are looked at.
    So another process, which has little memory, tries it first; what fails there is not read here.

    Raises:
        ValueError: If that process ran out of memory, could not read it, died or came to no end.
    """
    size = path.stat().st_size
    done = _tried(_READ_COLUMNS, path, str(_room(size)), *names)
    if done is None or done.returncode < 0:
        raise ValueError("its columns are damaged: reading them does not end well; write it again")
    if done.returncode == _OUT_OF_MEMORY:
        raise _swollen(size)
    if done.returncode == _REFUSED:
        raise ValueError(done.stderr.decode("utf-8", "replace"))


def _room(size: int) -> int:
    return _SPARE + _SWOLLEN * size


def _swollen(size: int) -> ValueError:
    return ValueError(
        f"its {size:,} bytes would take more than {_room(size) / 2**20:,.0f} MiB of memory; "
        "write it again, uncompressed"
    )


def _tried(script: str, path: Path, *args: str) -> subprocess.CompletedProcess[bytes] | None:
    """What became of another process that reads a file, None if it comes to no end."""
    about = path.stat()
    return _tried_once(script, path, about.st_size, about.st_mtime_ns, *args)


@lru_cache(maxsize=64)
def _tried_once(
    script: str, path: Path, size: int, _: int, *args: str
) -> subprocess.CompletedProcess[bytes] | None:
    """Asked once a version of the file."""
    command = [sys.executable, "-I", "-c", script, str(path), *args]
    patience = _PATIENCE + size / _SLOWEST
    try:
        return subprocess.run(command, capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return None


def written(node: Any) -> Any:
    """An HDF5 array, of text as strings; one that is all shape and no contents is refused.

    Raises:
        ValueError: If some of its values were never written: they would be read as zeros; or if
            it holds texts, as `check_texts`.
    """
    import h5py

    is_text = h5py.check_string_dtype(node.dtype)
    if is_text:
        check_texts(Path(node.file.filename))
    if is_text or node.dtype.kind in "biufc":  # others are refused for what they are
        _check_written(node)
    return node.asstr() if is_text else node


def _check_written(node: Any) -> None:
    what = f"{node.name.strip('/')} {node.shape}"
    if node.size and not node.id.get_storage_size():
        raise ValueError(f"the values of {what} were never written; write it again")
    if node.chunks is None:
        return
    in_row = math.prod(map(_how_many, node.shape[1:], node.chunks[1:]))
    needed = in_row * _how_many(node.shape[0], node.chunks[0])
    if (missing := needed - node.id.get_num_chunks()) > 0:
        held = Counter[int]()
        node.id.chunk_iter(lambda chunk: held.update([chunk.chunk_offset[0]]))
        first = next(row for row in count(0, node.chunks[0]) if held[row] < in_row)
        raise ValueError(
            f"{missing:,} of {needed:,} chunks of {what} were never written, the first at row "
            f"{first:,}; write the rest, or leave those rows out"
        )


def _how_many(length: int, chunk: int) -> int:
    """Chunks that hold so many rows, the last of them in part."""
    return -(-length // chunk)


def _reason(error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason or "Python object" in reason:
        return (
            "it holds pickled objects, which could run code and are never loaded; "
            "save one plain array, as np.stack makes of a list of images"
        )
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is" + (f" ({error})" if str(error) else "")
    if isinstance(error, SyntaxError | TypeError | tokenize.TokenError | RecursionError):
        return "its header is damaged"
    if "truncated file" in reason:  # HDF5 says at which byte; the remedy is the same
        return "it ends before its contents do (truncated); copy it again"
    return reason
