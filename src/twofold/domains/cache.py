"""Where decoded data is kept between runs, and how it gets there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twofold.errors import TwofoldError


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


def publish(target: Path, build: Callable[[Path], None]) -> None:
    """Lets `build` fill a folder beside `target` and gives it that name once it is complete.

    Two processes that build the same target at once both succeed: the first to finish is kept.
    """
    try:
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            build(partial)
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # not a lost race but a full or read-only disk
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise _unwritable(target.parent, error) from None


def _unwritable(folder: Path, error: OSError) -> TwofoldError:
    return TwofoldError(
        f"cannot write the cache in '{folder}' ({error.strerror or error}); "
        "name another folder with cache= or TWOFOLD_CACHE"
    )
