"""Batches of views, prepared ahead of the training step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from threading import Barrier

import numpy as np
import torch
from torch import Tensor

from twofold import profiling
from twofold.augment import Views, permutation
from twofold.items import Items, Order, Shuffled
from twofold.networks.names import BatchNorm
from twofold.objectives import Batch, Parts
from twofold.positives import Groups, read
from twofold.preprocess import Preprocess

# Batches that a thread prepares in one go: at most so many bytes of views, and at most so many.
RUN_BYTES = 2**24
RUN_LONGEST = 8


class Loader:
    """Turns step numbers into batches; a batch is a pure function of the step.

    Step `s` belongs to epoch `s // steps_per_epoch`; each epoch goes through the items once, in
    an order drawn from (seed, epoch), of packed items their own, and leaves out what does not fill
    a batch. Threads prepare batches ahead and change nothing in them. Where positives are by group,
    it is the groups that an epoch goes through and a batch counts, and index and label are the
    first view's.

    Args:
        items: Stored items `(n, channels, height, width)`.
        labels: Class of each item `(n,)`, or None.
        views: Draws and renders the views.
        preprocess: Scales stored values.
        batch_size: Items a batch, <= n; or groups.
        view_size: Height and width of the views at a step.
        device: Where views are rendered.
        threads: How many threads prepare batches ahead; 0 prepares each where it is used.
        seed: Seed of the order.
        groups: Groups whose items are positives of each other; None where views are of one item.
        multiple: Batches of which an epoch has a multiple, and leaves out the others.
        process: Which of several processes this is, from 0.
        processes: How many share each batch, a divisor of its size; each gets as many in a row of
            the order, so that their batches together are those of one.
        layout: Order of the views' values in memory.
    """

    def __init__(
        self,
        items: Items,
        labels: np.ndarray | None,
        *,
        views: Views,
        preprocess: Preprocess,
        batch_size: int,
        view_size: Callable[[int], int],
        device: str,
        threads: int,
        seed: int,
        groups: Groups | None = None,
        multiple: int = 1,
        process: int = 0,
        processes: int = 1,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.items, self.labels, self.groups = items, labels, groups
        self.views, self.preprocess = views, preprocess
        self.batch_size, self.view_size = batch_size, view_size
        self.device, self.threads, self.seed, self.layout = device, threads, seed, layout
        self.samples = len(items if groups is None else groups)
        self.steps_per_epoch = self.samples // (batch_size * multiple) * multiple
        self.share = batch_size // processes
        """Items of a batch that are this process's."""
        self._skipped = process * self.share
        self._order: tuple[int, Order] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        epoch, shown = self._shown(step)
        images = read(self.items, shown, self.preprocess, self.device, seed=self.seed, epoch=epoch)
        views, draws = self.views(images, shown, epoch, size=self.view_size(step))
        index = _first(shown)
        labels = None if self.labels is None else torch.from_numpy(self.labels[index])
        return Batch(
            views=tuple(self._standardize(view) for view in views),
            draws=tuple(draws),
            index=torch.from_numpy(index),
            labels=None if labels is None else labels.to(self.device),
        )

    def index(self, step: int) -> Tensor:
        """Number of each item in the batch of `step`, of which nothing is rendered."""
        return torch.from_numpy(_first(self._shown(step)[1]))

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """The batches of steps `start` to `stop - 1`, in order, prepared ahead by the threads."""
        if self.threads == 0:
            yield from map(self.batch, range(start, stop))
            return
        compute_threads = torch.get_num_threads()
        runs = self._runs(start, stop)
        ahead: deque[Future[list[Batch]]] = deque()
        with _pool(self.threads) as pool:
            torch.set_num_threads(compute_threads)  # for this thread; the loaders keep their 1
            ahead.extend(pool.submit(self._several, run) for run in islice(runs, self.threads + 1))
            while ahead:
                batches = ahead.popleft().result()
                ahead.extend(pool.submit(self._several, run) for run in islice(runs, 1))
                yield from batches

    def _shown(self, step: int) -> tuple[int, np.ndarray]:
        """The epoch of a step and the items that its views show, `(batch,)` or `(batch, views)`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.batch_size + self._skipped
        chosen = self._epoch_order(epoch)[first : first + self.share]
        index = np.sort(chosen)  # so that a memory map is read forwards
        return epoch, index if self.groups is None else self.groups.members(index, epoch)

    def _several(self, steps: range) -> list[Batch]:
        with profiling.preparing():
            return [self.batch(step) for step in steps]

    def _runs(self, start: int, stop: int) -> Iterator[range]:
        """Steps prepared in one go: small batches cost half as much when caches are warm."""
        while start < stop:
            size = self.share * self.views.num_values(self.view_size(start)) * 4
            end = min(start + max(1, min(RUN_LONGEST, RUN_BYTES // size)), stop)
            yield range(start, end)
            start = end

    def _epoch_order(self, epoch: int) -> Order:
        known = self._order
        if known is None or known[0] != epoch:
            known = self._order = (epoch, self._new_order(epoch))
        return known[1]

    def _new_order(self, epoch: int) -> Order:
        if not isinstance(self.items, Shuffled):
            return permutation(self.samples, seed=self.seed, epoch=epoch)
        firsts = None if self.groups is None else self.groups.firsts
        size, steps = self.batch_size, self.steps_per_epoch
        return self.items.order(size, steps, seed=self.seed, epoch=epoch, firsts=firsts)

    def _standardize(self, view: Tensor) -> Tensor:
        view = self.preprocess.standardize(view, out=view)
        return view.to(memory_format=self.layout)


class Paired:
    """Batches of two sources whose items correspond by row: the views of one, then of the other.

    Args:
        data: Gives the index and the first half of the views.
        beside: Gives the second half, of as many items in the same order.
    """

    def __init__(self, data: Loader, beside: Loader) -> None:
        self.data, self.beside = data, beside
        self.steps_per_epoch = data.steps_per_epoch

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """The batches of steps `start` to `stop - 1`, in order."""
        both = (loader.batches(start, stop) for loader in (self.data, self.beside))
        for one, other in zip(*both, strict=True):
            yield replace(one, views=one.views + other.views, draws=one.draws + other.draws)


class InParts:
    """Batches of several batches of a loader, of which views are held one batch at a time.

    Args:
        loader: Gives the parts; what it is told to be a step is a part.
        count: Parts of a batch.
        batch_norm: As of `Parts`.
    """

    def __init__(self, loader: Loader, count: int, batch_norm: BatchNorm | None) -> None:
        self.loader, self.count, self.batch_norm = loader, count, batch_norm
        self.steps_per_epoch = loader.steps_per_epoch // count

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """The batches of steps `start` to `stop - 1`, in order, parts prepared ahead once each."""
        with closing(self.loader.batches(start * self.count, stop * self.count)) as ahead:
            for step in range(start, stop):
                numbers = range(step * self.count, (step + 1) * self.count)
                parts = tuple(_Part(self.loader, number, ahead) for number in numbers)
                index = torch.cat([self.loader.index(number) for number in numbers])
                yield Parts(parts=parts, index=index, batch_norm=self.batch_norm)
                for part in parts:
                    part.pass_over()


class _Part:
    """Takes a batch that was prepared ahead, and makes it again whenever it is asked for again."""

    def __init__(self, loader: Loader, number: int, ahead: Iterator[Batch]) -> None:
        self._again, self._ahead = partial(loader.batch, number), ahead
        self._taken, self._device = False, torch.device(loader.device).type

    def __call__(self) -> Batch:
        taken, self._taken = self._taken, True
        with torch.no_grad(), torch.autocast(self._device, enabled=False):
            return self._again() if taken else next(self._ahead)

    def pass_over(self) -> None:
        """Leaves what was prepared to be forgotten, if nobody asked for it."""
        if not self._taken:
            next(self._ahead)


Feed = Loader | Paired | InParts
"""What gives a training its batches."""


def _first(shown: np.ndarray) -> np.ndarray:
    """The item of each first view."""
    return shown if shown.ndim == 1 else np.ascontiguousarray(shown[:, 0])


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute on one core each, all of them started."""
    started = Barrier(threads + 1)

    def start() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, "loader", start)
    try:
        for _ in range(threads):
            pool.submit(int)  # a thread is started where none is idle
        started.wait()
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
