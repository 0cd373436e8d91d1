"""Class labels as the probes take them, and draws of a few of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from twofold.domains import Data
from twofold.errors import TwofoldError


def class_labels(labels: np.ndarray | Tensor, count: int, device: torch.device) -> Tensor:
    """Labels as an int64 tensor `(count,)` on `device`.

    Args:
        labels: Class of each item, whole numbers from 0.
        count: How many items there are.
        device: Where the items' features are.

    Raises:
        TwofoldError: If there is not one label for each item, or one is no class number.

    Example:
        >>> class_labels(np.array([2, 0, 1]), 3, torch.device("cpu"))
        tensor([2, 0, 1])
    """
    found = labels if isinstance(labels, Tensor) else torch.tensor(labels)
    if found.shape != (count,):
        raise TwofoldError(
            f"labels have shape {tuple(found.shape)}; {count} items need ({count},), one each"
        )
    if found.is_floating_point() or found.is_complex():
        raise TwofoldError(f"labels are {found.dtype}; they must be whole class numbers from 0")
    if count and found.min() < 0:
        raise TwofoldError(
            f"the smallest label is {found.min()}; classes count from 0, "
            "so leave out items without a class"
        )
    return found.to(device=device, dtype=torch.int64)


def check_several(data: Data) -> None:
    """Refuses labels of one class: there is nothing to tell apart, and 100 % would be no news.

    Raises:
        TwofoldError: If all items have the same class.
    """
    labels = [part.labels for part in (data.train, data.test) if part.labels is not None]
    if len(np.unique(np.concatenate(labels))) < 2:
        raise TwofoldError(
            f"labels of '{data.name}' hold 1 class, and telling classes apart takes 2 or more; "
            "give other labels, or ask for health alone"
        )


def draw_labels(
    labels: np.ndarray | Tensor,
    *,
    fraction: float | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Which items keep their label in a training with few: the same share or number of each class.

    Draws of one seed are nested: a smaller one is contained in every larger one, so that a curve
    over them adds labels and exchanges none.

    Args:
        labels: Class of each item `(n,)`, whole numbers from 0.
        fraction: Share of each class, in (0, 1]; at least one item of each.
        per_class: Items of each class, > 0, instead of `fraction`.
        seed: Chooses the items.

    Returns:
        Indices of the items drawn, from small to large.

    Raises:
        TwofoldError: If both or none of `fraction` and `per_class` are given, one is out of range,
            or a class has fewer items than `per_class`.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> labels[draw_labels(labels, per_class=2)]
        array([0, 0, 1, 1])
    """
    if (fraction is None) == (per_class is None):
        raise TwofoldError(
            f"fraction is {fraction} and per_class is {per_class}; give one of the two"
        )
    classes = class_labels(labels, len(labels), torch.device("cpu")).numpy()
    sizes = np.bincount(classes)
    if per_class is not None:
        _check_each_has(per_class, sizes)
        counts = np.full(len(sizes), per_class)
    elif fraction is not None and 0 < fraction <= 1:
        counts = np.maximum(np.rint(fraction * sizes), 1)
    else:
        raise TwofoldError(f"fraction is {fraction}; it must be in (0, 1]")
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    place = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(by_class[place < np.repeat(counts, sizes)])


def _check_each_has(per_class: int, sizes: np.ndarray) -> None:
    """Classes without any item do not occur, so they need none."""
    if per_class < 1:
        raise TwofoldError(f"per_class is {per_class}; it must be > 0")
    too_small = np.flatnonzero((sizes > 0) & (sizes < per_class))
    if len(too_small):
        raise TwofoldError(
            f"class {too_small[0]} has {sizes[too_small[0]]} items; per_class is {per_class}, "
            "so each class must have as many"
        )
