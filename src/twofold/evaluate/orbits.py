"""Sums over orbits: embeddings and the orbit of each, counted from 0."""

from __future__ import annotations

import numpy as np

from twofold.errors import TwofoldError


def rows_and_orbits(embeddings: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings `(n, dim)` in float64, and the orbit of each, counted from 0.

    Raises:
        TwofoldError: If there is not one group for each.

    Example:
        >>> rows_and_orbits(np.array([1.0, 2.0]), np.array(["b", "a"]))[1].tolist()
        [1, 0]
    """
    rows = np.asarray(embeddings, np.float64).reshape(len(embeddings), -1)
    if len(rows) != len(groups) or not len(rows):
        raise TwofoldError(
            f"there are {len(rows)} embeddings and {len(groups)} groups; there must be one group "
            "for each, and one or more"
        )
    return rows, np.unique(groups, return_inverse=True)[1]


def orbit_means(rows: np.ndarray, orbit: np.ndarray) -> np.ndarray:
    """The mean of each orbit `(orbits, dim)`.

    Example:
        >>> orbit_means(np.array([[1.0], [3.0], [4.0]]), np.array([0, 0, 1])).tolist()
        [[2.0], [4.0]]
    """
    sums = np.stack([np.bincount(orbit, column) for column in rows.T], axis=1)
    return np.asarray(sums / np.bincount(orbit)[:, None])


def orbit_sums(rows: np.ndarray, orbit: np.ndarray) -> np.ndarray:
    """Of each orbit what sums of squares over any of them follow from: `(orbits, 3 + dim)`.

    How many states it has, their squared distances from its mean and from the mean of all states,
    and the sum of their deviations from the latter.

    Example:
        >>> orbit_sums(np.array([[0.0], [2.0], [4.0]]), np.array([0, 0, 1])).tolist()
        [[2.0, 2.0, 4.0, -2.0], [1.0, 0.0, 4.0, 2.0]]
    """
    centred = rows - rows.mean(axis=0)
    counts, means = np.bincount(orbit), orbit_means(centred, orbit)
    own = np.bincount(orbit, np.square(centred - means[orbit]).sum(axis=1))
    squares = np.bincount(orbit, np.square(centred).sum(axis=1))
    return np.column_stack([counts, own, squares, means * counts[:, None]])


def total_squares(sums: np.ndarray) -> float:
    """The squared distances of all states of some orbits from their common mean.

    Args:
        sums: Of these orbits, as `orbit_sums` gives them.

    Example:
        >>> rows, orbit = np.array([[0.0], [2.0], [4.0]]), np.array([0, 0, 1])
        >>> total_squares(orbit_sums(rows, orbit)[:1])
        2.0
    """
    total = sums.sum(axis=0)
    return max(0.0, float(total[2] - np.square(total[3:]).sum() / total[0]))
