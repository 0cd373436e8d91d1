"""Ctrl-C and SIGTERM, which end a training after the step that it is in."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from twofold.distributed import world_size


class Stop:
    """Whether a training is to stop."""

    def __init__(self) -> None:
        self.asked = False
        """Whether this process was asked to."""
        self.heard = False
        """Whether any process had been, when all told one another their losses."""

    @property
    def due(self) -> bool:
        """Whether to stop after this step: of several processes, all of them or none."""
        return self.heard if world_size() > 1 else self.asked


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Lets a first Ctrl-C (or SIGTERM) finish the step; a second one ends at once.

    Several processes finish it however often they are asked: a launcher passes on to each what
    each may have been sent already, and ends those that take too long.
    """
    stop = Stop()

    def ask(number: int, frame: object) -> None:
        if stop.asked and world_size() == 1:
            raise KeyboardInterrupt
        stop.asked = True

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: whoever runs there decides
        before = {}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
