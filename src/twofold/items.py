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
