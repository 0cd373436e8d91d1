"""Reading many files with several threads, in order, with a progress bar, despite bad files."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_AHEAD = 8  # results in flight for each thread: enough to keep it busy, few enough to hold
_QUIET_SECONDS = 1.0


class Unreadable(NamedTuple):
    """Stands for the result of a file that could not be read."""

    reason: str


def read_all(
    read: Callable[[Path], T],
    paths: Sequence[Path],
    *,
    task: str,
    workers: int | None = None,
    progress: bool | None = None,
    ahead: int | None = None,
) -> Iterator[T | Unreadable]:
    """What `read` makes of each path, in the order of `paths`; a failure does not stop the rest.

    Args:
        read: Called in threads; the work should release the interpreter, as decoding does.
        paths: Files to read.
        task: What the progress bar says is being done.
        workers: Threads; one for each processor and two more, up to 16, if None.
        progress: Whether to draw a progress bar on stderr; if None, on a terminal after a second.
        ahead: Most files that are in work or wait for their turn; 8 for each thread if None, and
            never more.
    """

    def attempt(path: Path) -> T | Unreadable:
        try:
            return read(path)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise all sorts on damaged files
            return Unreadable(_reason(error))

    workers = workers or min(16, (os.cpu_count() or 1) + 2)
    ahead = min(ahead or _AHEAD * workers, _AHEAD * workers)
    return tracked(_in_order(attempt, paths, workers, ahead), len(paths), task, progress)


def _in_order(
    function: Callable[[Path], T], paths: Sequence[Path], workers: int, ahead: int
) -> Iterator[T]:
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[T]] = deque()
        for path in paths:
            pending.append(pool.submit(function, path))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def tracked(results: Iterator[T], total: int, task: str, progress: bool | None) -> Iterator[T]:
    """Results as they come, with a progress bar on stderr; see `read_all`."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield from results
        return
    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=not progress)
    shown = bar.add_task(task, total=total)
    try:
        for result in results:
            yield result
            bar.advance(shown)
            if not bar.live.is_started and (progress or time.monotonic() - began > _QUIET_SECONDS):
                bar.start()
    finally:
        bar.stop()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":  # its message only repeats the path
        return "not an image"
    lines = str(error).splitlines() if error.args else []
    return lines[0] if lines else type(error).__name__
