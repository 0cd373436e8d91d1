"""The scale of states: each coordinate in its own deviations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from twofold.domains.trajectory.domain import TrajectoryInput
from twofold.items import Items
from twofold.preprocess import Preprocess, standardized


def measure(items: Items, input: TrajectoryInput | None = None) -> Preprocess:
    """The scale of states `(n, dim, 1, 1)`.

    Views are made of `x / deviation`, with the origin where it was, and the encoder reads
    `(x - mean) / deviation`. A coordinate that never changes is left at zero.

    Args:
        items: Training items, as stored.
        input: How coordinates are read; in deviations if None.

    Example:
        >>> states = np.array([[1.0, 10.0], [3.0, 30.0]], np.float32).reshape(2, 2, 1, 1)
        >>> scale = measure(states)
        >>> scale.unit(states).flatten().tolist(), scale(states).flatten().tolist()
        ([1.0, 1.0, 3.0, 3.0], [-1.0, -1.0, 1.0, 1.0])
    """
    input = input or TrajectoryInput()
    dim = items.shape[1]
    stored = Preprocess(
        low=0.0,
        high=1.0,
        mean=(0.0,) * dim,
        std=(1.0,) * dim,
        size=1,
        dtype=np.dtype(items.dtype).name,
        domain="trajectory",
        bounded=False,
    )
    if not input.standardize:
        return stored
    found = standardized(stored, items)
    return replace(
        found,
        mean=tuple(mean / std for mean, std in zip(found.mean, found.std, strict=True)),
        std=(1.0,) * dim,
        gains=tuple(1 / std for std in found.std),
    )
