"""Batches of views, prepared ahead of the training step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from threading import Barrier

import numpy as np
import torch
from torch import Tensor

from twofold.augment import Views, permutation
from twofold.items import Items
from twofold.objectives import Batch
from twofold.positives import Groups, read
from twofold.preprocess import Preprocess

# Batches that a thread prepares in one go: at most so many bytes of views, and at most so many.
RUN_BYTES = 2**24
RUN_LONGEST = 8


class Loader:
    """Turns step numbers into batches; a batch is a pure function of the step.

    Step `s` belongs to epoch `s // steps_per_epoch`; each epoch goes through the items once, in
    an order drawn from (seed, epoch), and leaves out what does not fill a batch. Threads prepare
    batches ahead and change nothing in them. Where positives are by group, it is the groups that
    an epoch goes through and a batch counts, and index and label are the first view's.

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
    ) -> None:
        self.items, self.labels, self.groups = items, labels, groups
        self.views, self.preprocess = views, preprocess
        self.batch_size, self.view_size = batch_size, view_size
        self.device, self.threads, self.seed = device, threads, seed
        self.samples = len(items if groups is None else groups)
        self.steps_per_epoch = self.samples // batch_size
        self._order: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        epoch, position = divmod(step, self.steps_per_epoch)
        chosen = self._epoch_order(epoch)[position * self.batch_size :][: self.batch_size]
        index = np.sort(chosen)  # so that a memory map is read forwards
        shown = index if self.groups is None else self.groups.members(index, epoch)
        images = read(self.items, shown, self.preprocess, self.device, seed=self.seed, epoch=epoch)
        views, draws = self.views(images, shown, epoch, size=self.view_size(step))
        index = index if self.groups is None else shown[:, 0]
        labels = None if self.labels is None else torch.from_numpy(self.labels[index])
        return Batch(
            views=tuple(self._standardize(view) for view in views),
            draws=tuple(draws),
            index=torch.from_numpy(index),
            labels=None if labels is None else labels.to(self.device),
        )

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

    def _several(self, steps: range) -> list[Batch]:
        return [self.batch(step) for step in steps]

    def _runs(self, start: int, stop: int) -> Iterator[range]:
        """Steps prepared in one go: small batches cost half as much when caches are warm."""
        while start < stop:
            size = self.batch_size * self.views.num_values(self.view_size(start)) * 4
            end = min(start + max(1, min(RUN_LONGEST, RUN_BYTES // size)), stop)
            yield range(start, end)
            start = end

    def _epoch_order(self, epoch: int) -> np.ndarray:
        order = self._order
        if order is None or order[0] != epoch:
            order = (epoch, permutation(self.samples, seed=self.seed, epoch=epoch))
            self._order = order
        return order[1]

    def _standardize(self, view: Tensor) -> Tensor:
        view = self.preprocess.standardize(view, out=view)
        return view.to(memory_format=torch.channels_last)


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
