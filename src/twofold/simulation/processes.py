"""Work in several processes that leaves nothing behind: no process, no half-made file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TypeVar

from twofold.errors import TwofoldError

J = TypeVar("J")
R = TypeVar("R")


def in_processes(
    work: Callable[[J], R], jobs: Sequence[J], *, workers: int, done: Callable[[R], None]
) -> None:
    """Lets `work` do each job, several at a time.

    Args:
        work: A function of a module; it writes what it makes, all of it or nothing.
        jobs: What to work on, each as it can be sent to a process.
        workers: Processes, started anew and not forked.
        done: Told what `work` returns, as soon as it does.

    Raises:
        TwofoldError: If a process dies.
    """
    if not jobs:
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_begin) as pool:
        try:
            for made in as_completed([pool.submit(work, job) for job in jobs]):
                done(made.result())
        except BaseException as error:
            _end(set(multiprocessing.active_children()) - others)
            pool.shutdown(cancel_futures=True)  # its thread, too, waits for them: until it has
            if isinstance(error, BrokenProcessPool):
                raise TwofoldError(
                    "a process that simulates died, maybe for want of memory; call again with "
                    "fewer workers to go on, in a script below `if __name__ == '__main__':`"
                ) from None
            raise


def worker_count(workers: int | None = None) -> int:
    """How many processes to use: as many as are asked for, or one for each processor.

    Raises:
        TwofoldError: If that is less than one.
    """
    if workers is not None:
        if workers < 1:
            raise TwofoldError(f"workers is {workers}; it must be >= 1")
        return workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(processes: Collection[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _begin() -> None:
    """Makes a process leave Ctrl-C to its parent, follow it when it dies, and print nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=follow, daemon=True).start()
    sys.stdout.flush()
    with open(os.devnull, "wb") as nowhere:  # libraries introduce themselves on standard output
        os.dup2(nowhere.fileno(), 1)
