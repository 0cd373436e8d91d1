"""What items are kept in: an array, or anything that gives arrays when it is asked for items."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Items(Protocol):
    """Items of one shape and type, read when they are indexed.

    A NumPy array and a memory map are ones; so is what holds items compressed or leaves them in
    their file.

    Example:
        >>> isinstance(np.zeros((3, 1, 8, 8)), Items), isinstance([1, 2], Items)
        (True, False)
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of items first, then the shape of one."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type they are stored in."""

    @property
    def ndim(self) -> int:
        """How many numbers the shape has."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any:
        """One item by its number; or an array of those of a slice or of int64 numbers `(n,)`."""


@runtime_checkable
class Selectable(Protocol):
    """Items of which some can be had without reading them."""

    def select(self, index: np.ndarray) -> Items:
        """Those at `index`, in that order, kept as these are."""


class Order(Protocol):
    """The samples of an epoch, in the order in which it goes through them."""

    def __getitem__(self, places: slice, /) -> np.ndarray:
        """The samples from one place of the epoch up to another: int64."""


@runtime_checkable
class Shuffled(Protocol):
    """Items that lie on disk, or elsewhere, in a random order: any run of them is a fair sample.

    What lies together is read quickly, and what does not may have to be fetched first.
    """

    digest: str
    """Changes with whatever the items hold, and with what belongs to each."""
    extremes: tuple[float, float]
    """The smallest and the largest value."""

    def order(
        self,
        batch_size: int,
        steps: int,
        *,
        seed: int,
        epoch: int,
        firsts: np.ndarray | None = None,
    ) -> Order:
        """A random order of the items, or of groups, that reads what lies together.

        Args:
            batch_size: Samples of a batch.
            steps: Batches of an epoch.
            seed: With the epoch it settles the order.
            epoch: Which pass over the samples, from 0.
            firsts: The first item of each group `(groups,)`, if the samples are groups, whose items
                lie together.
        """


def sampled(items: Items, count: int) -> np.ndarray:
    """Numbers of up to `count` items: evenly spaced, or the first if they lie in a random order.

    Example:
        >>> sampled(np.zeros((10, 1, 8, 8)), 4).tolist()
        [0, 3, 6, 9]
    """
    if isinstance(items, Shuffled) or len(items) <= count:
        return np.arange(min(len(items), count))
    return np.linspace(0, len(items) - 1, count).astype(np.int64)
