"""Where decoded data is kept between runs, and how it gets there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    import numpy as np

_MEMORY_BYTES = 2 * 2**30  # items lie in memory up to here


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder for decoded data, made if missing: `cache`, $TWOFOLD_CACHE or ~/.cache/twofold.

    Whatever it holds can be made again; it may be deleted at any time that no run uses it.
    """
    folder = Path(cache or os.environ.get("TWOFOLD_CACHE") or "~/.cache/twofold").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def new_items(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Room for items: in memory up to 2 GiB, beyond in a nameless file in the cache folder.

    The file goes when the array goes.
    """
    import numpy as np

    if math.prod(shape) * dtype.itemsize <= _MEMORY_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def key_of(what: object) -> str:
    """Twenty-four hex digits that tell one listing of files and options from another."""
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=12).hexdigest()


def publish(target: Path, build: Callable[[Path], None]) -> None:
    """Lets `build` fill a folder beside `target` and gives it that name once it is complete.

    Two processes that build the same target at once both succeed: the first to finish is kept.
    What one that was killed had begun to build is removed by the next.
    """
    try:
        with _building(target) as partial:
            build(partial)
            try:
                partial.rename(target)
            except OSError:
                if not target.is_dir():  # not a lost race but a full or read-only disk
                    raise
    except OSError as error:
        raise _unwritable(target.parent, error) from None


@contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A folder to build in, locked as long as this process lives: the system lets go if it dies."""
    with ExitStack() as leave:
        with _lock(target.parent, wait=True):  # so that nobody takes ours for an abandoned one
            for other in target.parent.glob(f".{target.name}-*"):
                with _lock(other) as abandoned:
                    if abandoned:
                        shutil.rmtree(other, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
            leave.callback(shutil.rmtree, partial, ignore_errors=True)
            leave.enter_context(_lock(partial))
        yield partial


@contextmanager
def _lock(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """A block with a folder locked, and whether it is: not if another process has the lock, nor
    where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(opened)


def damaged(folder: Path, error: Exception) -> TwofoldError:
    """The error for what lies in the cache and cannot be read."""
    return TwofoldError(f"the cache '{folder}' is damaged ({error}); delete it")


def _unwritable(folder: Path, error: OSError) -> TwofoldError:
    return TwofoldError(
        f"cannot write the cache in '{folder}' ({error.strerror or error}); "
        "name another folder with cache= or TWOFOLD_CACHE"
    )
