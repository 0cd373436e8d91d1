"""The order of an epoch through shards, of which only some are near at a time."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np

from twofold.augment import permutation, uniforms
from twofold.augment.draws import Stream

_LANES = 8  # where all shards are near
_FEWEST = 4  # shards a lane has room for: two of the present window, and those of the next
_FIRST: Stream = ("first", False)


class Plan(NamedTuple):
    """How an epoch goes through shards of some sizes."""

    lanes: int
    """Ways through the shards that are gone side by side."""
    window: int
    """Samples of a lane that are shuffled together."""


class Ahead(Protocol):
    """Whatever fetches what is about to be read."""

    def expect(self, first: int, last: int) -> None:
        """Samples from `first` up to, but not including, `last` are about to be read."""


def plan(sizes: np.ndarray, shard_bytes: float, *, most_bytes: float, batch_size: int) -> Plan:
    """Lanes and windows such that what is near at a time takes at most `most_bytes`.

    Lanes are a power of two, so that as many processes, or half as many, have lanes of their own.

    Example:
        >>> plan(np.full(100, 1000), 128e6, most_bytes=8e9, batch_size=256)
        Plan(lanes=8, window=2906)
        >>> plan(np.full(3, 1000), 128e6, most_bytes=8e9, batch_size=256)
        Plan(lanes=2, window=3000)
    """
    whole = len(sizes) * shard_bytes <= most_bytes
    fitting = _LANES if whole else int(most_bytes // (_FEWEST * shard_bytes))
    lanes = 2 ** (max(1, min(fitting, len(sizes), batch_size)).bit_length() - 1)
    if whole:
        return Plan(lanes, int(sizes.sum()))
    # Two windows in a row lie in as many shards as twice their size fills, and two cut ones.
    shards = max(0.5, (most_bytes / shard_bytes / lanes - 2) / 2)
    return Plan(lanes, max(1, int(shards * sizes.max())))


class WindowOrder:
    """A random order of samples in which those that follow one another lie in few shards.

    The shards are put in a random order and their samples counted off from a random one. Lanes of
    equal length divide them, and a batch takes its share of every lane, one lane after another. A
    lane goes through windows of neighbouring samples, which are shuffled. An order is a pure
    function of its arguments, and any slice of it costs what its windows cost.

    Args:
        sizes: Samples of each shard `(shards,)`, > 0.
        batch_size: Samples of a batch.
        steps: Batches of an epoch; what fills none is left out, another part every epoch.
        plan: Lanes and windows.
        seed: With the epoch it settles the order.
        epoch: Which pass over the samples, from 0.
        ahead: Told what is about to be read.

    Example:
        >>> order = WindowOrder(
        ...     np.array([4, 4, 4]), batch_size=4, steps=3, plan=Plan(2, 3), seed=0, epoch=0
        ... )
        >>> order[0:4].tolist(), sorted(order[0:12].tolist()) == list(range(12))
        ([5, 6, 11, 10], True)
    """

    def __init__(
        self,
        sizes: np.ndarray,
        *,
        batch_size: int,
        steps: int,
        plan: Plan,
        seed: int,
        epoch: int,
        ahead: Ahead | None = None,
    ) -> None:
        self.batch_size, self.steps, self.plan = batch_size, steps, plan
        self.seed, self.epoch, self.ahead = seed, epoch, ahead
        turn = permutation(len(sizes), seed=seed, epoch=epoch, stream="shards")
        self._ends = np.cumsum(sizes[turn])
        self._shift = (np.cumsum(sizes) - sizes)[turn] - (self._ends - sizes[turn])
        self._total = int(self._ends[-1])
        self._first = _below(self._total, seed, epoch)
        # Place j of a batch is of lane j * lanes // batch_size.
        edges = -(-np.arange(plan.lanes + 1) * batch_size // plan.lanes)
        self._edges, self._counts = edges[:-1], np.diff(edges)
        self._windows: dict[tuple[int, int], np.ndarray] = {}
        self._lock = Lock()

    def __getitem__(self, places: slice) -> np.ndarray:
        """The samples at some places of the epoch: int64."""
        step, place = np.divmod(np.arange(places.start, places.stop), self.batch_size)
        lane = place * self.plan.lanes // self.batch_size
        within = step * self._counts[lane] + place - self._edges[lane]
        window, offset = np.divmod(within, self.plan.window)
        found = np.empty(len(place), np.int64)
        keys = dict.fromkeys(zip(lane.tolist(), window.tolist(), strict=True))
        self._announce(list(keys))
        for one, number in keys:
            held = (lane == one) & (window == number)
            found[held] = self._window(one, number)[offset[held]]
        return found

    def _window(self, lane: int, number: int) -> np.ndarray:
        """The samples of a window, shuffled."""
        with self._lock:
            known = self._windows.get((lane, number))
        if known is None:
            first, last = self._range(lane, number)
            stream = f"window {lane} {number}"
            order = permutation(last - first, seed=self.seed, epoch=self.epoch, stream=stream)
            known = self._samples(first + order)
            with self._lock:
                self._windows[lane, number] = known
                for old in [key for key in self._windows if key[0] == lane][:-2]:
                    del self._windows[old]  # threads may be in two windows
        return known

    def _announce(self, windows: list[tuple[int, int]]) -> None:
        """Tells of windows that are entered: these first, then those that follow them."""
        with self._lock:
            new = [key for key in windows if key not in self._windows]
        if self.ahead is None or not new:
            return
        for lane, number in new + [(lane, number + 1) for lane, number in new]:
            first, last = self._range(lane, number)
            while first < last:  # by runs of neighbours
                position = (self._first + first) % self._total
                shard = int(np.searchsorted(self._ends, position, side="right"))
                run = min(last - first, int(self._ends[shard]) - position)
                begin = position + int(self._shift[shard])
                self.ahead.expect(begin, begin + run)
                first += run

    def _range(self, lane: int, number: int) -> tuple[int, int]:
        """Where a window begins and ends, counted over all lanes; nothing beyond its lane."""
        start, length = int(self._edges[lane]) * self.steps, int(self._counts[lane]) * self.steps
        begin, end = (min((number + i) * self.plan.window, length) for i in (0, 1))
        return start + begin, start + end

    def _samples(self, counted: np.ndarray) -> np.ndarray:
        """The samples that are counted so."""
        positions = (self._first + counted) % self._total
        shard = np.searchsorted(self._ends, positions, side="right")
        samples: np.ndarray = positions + self._shift[shard]
        return samples


def _below(count: int, seed: int, epoch: int) -> int:
    """A random whole number below `count`."""
    zero = np.zeros(1, np.int64)
    drawn = uniforms({_FIRST: 1}, seed=seed, epoch=epoch, index=zero, view=0)
    return int(drawn[_FIRST][0, 0] * count)
