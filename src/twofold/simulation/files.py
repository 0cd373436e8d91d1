"""Files that a simulation writes: refused before the work, all of them or nothing after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    import h5py


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuses a file that cannot be written, before hours of work."""
    folder = out.parent
    if out.suffix not in {".h5", ".hdf5"}:
        raise TwofoldError(f"out is {out}; its name must end in .h5 or .hdf5")
    if not folder.is_dir():
        raise TwofoldError(f"out is {out}; the folder {folder} does not exist")
    if out.is_dir():
        raise TwofoldError(f"out is {out}, a folder; name a file to write")
    if not os.access(folder, os.W_OK):
        raise TwofoldError(f"out is {out}; the folder {folder} is read-only")
    if out.exists() and not overwrite:
        raise TwofoldError(f"{out} exists; choose another --out, or replace it with --overwrite")


@contextmanager
def whole_file(out: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write, which takes its place only once all of it is written."""
    import h5py

    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with h5py.File(partial, "w") as file:
            yield file
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def progress(
    task: str, n: int, items: str, *, done: int = 0, quiet: bool
) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; call what it yields with how many more items are done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, quiet=quiet)
    columns: list[Any] = [TextColumn(task), BarColumn(), TextColumn("{task.fields[words]}")]
    columns += [TimeElapsedColumn(), TimeRemainingColumn()]
    hidden = quiet or not console.is_terminal
    now, began = done, time.monotonic()
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        shown = bar.add_task(task, total=n, completed=done, words=f"{done:,} of {n:,} {items}")

        def more(count: int) -> None:
            nonlocal now
            now += count
            rate = (now - done) / max(time.monotonic() - began, 1e-9)
            words = f"{now:,} of {n:,} {items}, {rate:.0f} {items}/s"
            bar.update(shown, completed=now, words=words)

        yield more
