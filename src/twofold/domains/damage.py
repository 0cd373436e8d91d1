"""Files that are damaged, or made to do harm: what parsers raise, and what the user is told."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tokenize
import zipfile
import zlib
from functools import lru_cache
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

_PATIENCE = 30.0  # seconds for the texts of a file,
_SLOWEST = 2**20  # and bytes of it a second beyond that
_READ_TEXTS = """
import sys, h5py
def read(name, node):
    for key in node.attrs: node.attrs[key]
    if isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype): node[()]
with h5py.File(sys.argv[1]) as file:
    read("", file)
    file.visititems(read)
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


def check_texts(path: Path) -> None:
    """Refuses an HDF5 file whose texts are damaged so that reading them would never end.

    HDF5 goes round in circles there and cannot be stopped, so another process tries it first.

    Raises:
        ValueError: If it came to no end.
    """
    about = path.stat()
    if not _ends(path, about.st_size, about.st_mtime_ns):
        raise ValueError("its texts are damaged: reading them does not end")


@lru_cache(maxsize=64)
def _ends(path: Path, size: int, _: int) -> bool:
    """Whether reading the texts of a file comes to an end, well or not; asked once a version."""
    command = [sys.executable, "-I", "-c", _READ_TEXTS, str(path)]
    patience = _PATIENCE + size / _SLOWEST
    try:
        subprocess.run(command, capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return False
    return True


def written(node: Any) -> Any:
    """An HDF5 array, of text as strings; one that is all shape and no contents is refused.

    Raises:
        ValueError: If none of its numbers was ever written: they would be read as zeros; or if it
            holds texts, as `check_texts`.
    """
    import h5py

    if h5py.check_string_dtype(node.dtype):
        check_texts(Path(node.file.filename))
        return node.asstr()
    if node.dtype.kind in "biufc" and node.size and not node.id.get_storage_size():
        raise ValueError(
            f"the numbers of {node.name.strip('/')} {node.shape} were never written; write it again"
        )
    return node


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
