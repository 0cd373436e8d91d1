"""How well embeddings show what orbits conserve, and how much there is to be conserved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, bootstrap
from twofold.evaluate.orbits import orbit_sums, rows_and_orbits, total_squares

NEIGHBOURS = 5
"""Neighbours from whose distances the dimension of an orbit is estimated."""

_DRAWN = 2000  # items of a spectral embedding, whose cost grows with their square
_NEAR = 15  # neighbours that it joins


def spearman_abs(embedding: np.ndarray, values: np.ndarray) -> float:
    """The absolute rank correlation of an embedding in one dimension with a quantity.

    Its sign is arbitrary, so it is taken off before runs are averaged.

    Args:
        embedding: `(n,)` or `(n, 1)`.
        values: What is conserved `(n,)`.

    Returns:
        In [0, 1]; 0 if either never changes.

    Raises:
        TwofoldError: If the embedding has more dimensions, or the lengths differ.

    Example:
        >>> round(spearman_abs(np.array([3.0, 2.0, -1.0]), np.array([0.1, 0.2, 5.0])), 9)
        1.0
    """
    return abs(_rank_correlation(_flat(embedding, values), values))


def monotone_fit(embedding: np.ndarray, values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The quantity predicted from an embedding by the best rising or falling function of it.

    Args:
        embedding: What the function is fitted to `(n,)` or `(n, 1)`.
        values: What is conserved there `(n,)`.
        asked: Embeddings to predict for `(m,)` or `(m, 1)`; beyond those known the ends hold.

    Returns:
        float64 `(m,)`.

    Raises:
        TwofoldError: If an embedding has more dimensions, or the lengths differ.

    Example:
        >>> monotone_fit(np.array([0.0, 1.0, 2.0]), np.array([8.0, 1.0, 0.0]), np.array([0.5]))
        array([4.5])
    """
    from sklearn.isotonic import IsotonicRegression

    known = _flat(embedding, values).astype(np.float64)
    rises = bool(_rank_correlation(known, values) >= 0)
    fit = IsotonicRegression(increasing=rises, out_of_bounds="clip").fit(known, values)
    return np.asarray(fit.predict(np.asarray(asked, np.float64).reshape(len(asked))))


def monotone_r2(
    train: np.ndarray, train_values: np.ndarray, test: np.ndarray, test_values: np.ndarray
) -> float:
    """R² of `monotone_fit`, fitted to training states and judged on test states.

    Returns:
        1 where the quantity is a monotone function of the embedding, 0 where the mean of the test
        states would do as well.

    Example:
        >>> z = np.linspace(-1, 1, 50)
        >>> round(monotone_r2(z, np.exp(-3 * z), z, np.exp(-3 * z)), 6)
        1.0
    """
    return _r2(test_values, monotone_fit(train, train_values, test))


def residual_iqr(values: np.ndarray, predicted: np.ndarray) -> float:
    """The interquartile range of what a fit leaves, as a share of that of the quantity itself.

    A few states far off, as near the separatrix of a pendulum, do not move it.

    Example:
        >>> residual_iqr(np.arange(9.0), np.full(9, 4.0))
        1.0
    """
    left, whole = (np.quantile(some, [0.25, 0.75]) for some in (values - predicted, values))
    return float(np.ptp(left) / np.ptp(whole))


def within_across(embeddings: np.ndarray, groups: np.ndarray) -> float:
    """The variance of embeddings within orbits as a share of their whole variance.

    `sum_i |z_i - mean_{g(i)}|^2 / sum_i |z_i - mean|^2`

    Args:
        embeddings: `(n, dim)` or `(n,)`.
        groups: Orbit of each `(n,)`.

    Returns:
        In [0, 1]: 0 where all is conserved; 1 where orbits have nothing of their own, and where
        nothing varies at all.

    Raises:
        TwofoldError: If the lengths differ.

    Example:
        >>> orbits = np.array([0, 0, 1, 1])
        >>> within_across(np.array([1.0, 1.0, 5.0, 5.0]), orbits)
        0.0
        >>> within_across(np.array([1.0, 5.0, 1.0, 5.0]), orbits)
        1.0
    """
    return _within(orbit_sums(*rows_and_orbits(embeddings, groups)))


def within_figure(embeddings: np.ndarray, groups: np.ndarray, *, seed: int = 0) -> Figure:
    """`within_across` with its 95 % interval by a bootstrap over whole orbits.

    Args:
        embeddings: `(n, dim)` or `(n,)`.
        groups: Orbit of each `(n,)`.
        seed: Chooses the resamples.

    Example:
        >>> orbits = np.array([0, 0, 1, 1])
        >>> within_figure(np.array([1.0, 5.0, 1.0, 5.0]), orbits)["value"]
        1.0
    """
    return bootstrap(_within, orbit_sums(*rows_and_orbits(embeddings, groups)), seed=seed)


def orbit_dimension(states: np.ndarray, groups: np.ndarray, *, k: int = NEIGHBOURS) -> float:
    """The dimension of the manifold that orbits fill.

    With `r_j` the distance of a state from its j-th neighbour on the same orbit, the inverse is
    the mean over states of `1/(k - 1) sum_{j < k} log(r_k / r_j)`: the maximum-likelihood
    estimate from k neighbours, pooled over all states of all orbits. Where states are scarce, so
    that the manifold bends within k neighbours, and where noise is as large as their distance, it
    is off.

    Args:
        states: `(n, dim)`, all coordinates in like units.
        groups: Orbit of each `(n,)`.
        k: Neighbours, >= 2; orbits with fewer than k + 1 distinct states are left out.

    Returns:
        > 0; infinite if neighbours are all as far as each other.

    Raises:
        TwofoldError: If the lengths differ, or no orbit has as many states.

    Example:
        >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (20, 100))
        >>> circles = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(-1, 2)
        >>> round(orbit_dimension(circles, np.repeat(np.arange(20), 100)))
        1

    Reference: Levina and Bickel, 2004, NeurIPS 17; the pooled form: MacKay and Ghahramani, 2005.
    """
    return float(1 / np.concatenate(_inverse_dimensions(states, groups, k)).mean())


def count_conserved(states: np.ndarray, groups: np.ndarray, *, k: int = NEIGHBOURS) -> Figure:
    """How many independent quantities orbits conserve: `dim - orbit_dimension`.

    An orbit in a phase space of `dim` dimensions is confined to where its conserved quantities
    have the values that they have: each takes one dimension.

    Args:
        states: `(n, dim)`, all coordinates in like units, such as deviations.
        groups: Orbit of each `(n,)`.
        k: As of `orbit_dimension`.

    Returns:
        The number, not rounded, with its 95 % interval by a bootstrap over orbits.

    Raises:
        TwofoldError: As `orbit_dimension`.

    Example:
        >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (20, 100))
        >>> circles = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(-1, 2)
        >>> round(count_conserved(circles, np.repeat(np.arange(20), 100))["value"])
        1

    Reference: Liu and Tegmark, 2021, arXiv:2011.04698 (the count; its estimator is another).
    """
    per_orbit = _inverse_dimensions(states, groups, k)
    totals = np.array([[inverse.sum(), len(inverse)] for inverse in per_orbit])
    dim = np.asarray(states).reshape(len(states), -1).shape[1]
    return bootstrap(lambda rows: dim - rows[:, 1].sum() / rows[:, 0].sum(), totals)


def over_orbits(
    statistic: Callable[[np.ndarray, np.ndarray], float], groups: np.ndarray, *, seed: int = 0
) -> Figure:
    """A statistic of states with its 95 % interval by a bootstrap over whole orbits.

    States of one orbit go together, for they are far from independent.

    Args:
        statistic: Takes which states `(m,)`, and the orbit of each of them, whose copies count as
            others.
        groups: Orbit of each state `(n,)`.
        seed: Chooses the resamples.

    Returns:
        The statistic of all states, its interval, and the number of orbits.

    Example:
        >>> values = np.array([1.0, 2.0, 5.0, 6.0])
        >>> found = over_orbits(lambda rows, _: values[rows].mean(), np.array([0, 0, 1, 1]))
        >>> found["value"], found["n"]
        (3.5, 2)
    """
    orbit = np.unique(groups, return_inverse=True)[1]
    counts = np.bincount(orbit)
    starts, states = np.cumsum(counts) - counts, np.argsort(orbit, kind="stable")

    def of_orbits(chosen: np.ndarray) -> float:
        own = counts[chosen]
        copy = np.repeat(np.arange(len(chosen)), own)
        place = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
        return statistic(states[starts[chosen[copy]] + place], copy)

    return bootstrap(of_orbits, np.arange(len(counts)), seed=seed)


def quantity_figures(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, Figure]:
    """How well an embedding in one dimension tells a conserved quantity.

    Args:
        train: Embeddings `(n,)` that the monotone function is fitted to, and the quantity there.
        test: Those that it is judged on `(m,)`, and the quantity there.
        groups: Orbit of each of these `(m,)`.
        seed: Chooses the resamples.

    Returns:
        `spearman`, absolute; `r2_monotone` and `iqr`, what is left of the fit.

    Example:
        >>> z, orbit = np.repeat(np.arange(9.0), 2), np.repeat(np.arange(9), 2)
        >>> found = quantity_figures((z, z**3), (z, z**3), orbit)
        >>> {name: round(figure["value"], 6) for name, figure in found.items()}
        {'spearman': 1.0, 'r2_monotone': 1.0, 'iqr': 0.0}
    """
    asked, values = test
    fitted = monotone_fit(*train, asked)
    measures: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "spearman": lambda rows, _: spearman_abs(asked[rows], values[rows]),
        "r2_monotone": lambda rows, _: _r2(values[rows], fitted[rows]),
        "iqr": lambda rows, _: residual_iqr(values[rows], fitted[rows]),
    }
    return {name: over_orbits(measure, groups, seed=seed) for name, measure in measures.items()}


def in_one_dimension(*parts: np.ndarray, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Embeddings as places along the curve they lie on, if they have more than one dimension.

    A spectral embedding of at most 2000 different rows of all together, without any labels; the
    others are placed where the nearest of these is. Rows that are alike count once, for a row whose
    nearest are all its own copies is joined to nothing else; and every row is joined to so many of
    the nearest that there are no islands.

    Args:
        *parts: Embeddings `(n, dim)` each, of one encoder.
        seed: Chooses the rows.

    Returns:
        `(n,)` for each part.

    Example:
        >>> line = np.linspace(0, 1, 40)
        >>> (places,) = in_one_dimension(np.stack([np.cos(line), np.sin(line)], axis=1))
        >>> round(spearman_abs(places, line), 2)
        1.0
    """
    ends = np.cumsum([len(part) for part in parts])[:-1]
    rows = np.concatenate(parts)
    if rows.shape[1] == 1:
        return tuple(np.split(rows[:, 0], ends))
    from sklearn.manifold import spectral_embedding
    from sklearn.neighbors import KNeighborsRegressor

    different = _different(rows)
    drawn = different[np.random.default_rng(seed).permutation(len(different))[:_DRAWN]]
    places = np.arange(len(drawn), dtype=np.float64)
    if len(drawn) > 2:
        places = spectral_embedding(_joined(drawn), n_components=1, random_state=0)[:, 0]
    nearest = KNeighborsRegressor(1).fit(drawn, places)
    return tuple(np.split(nearest.predict(rows), ends))


def _different(rows: np.ndarray) -> np.ndarray:
    """One of all rows `(n, dim)` that are alike to within a ten-thousandth of their spread."""
    spread = rows.std(axis=0)
    cells = np.round(rows / np.where(spread > 0, spread, 1), 4)
    return rows[np.sort(np.unique(cells, axis=0, return_index=True)[1])]


def _joined(rows: np.ndarray) -> Any:
    """The graph of nearest neighbours `(n, n)`, of so many that all hang together."""
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import kneighbors_graph

    near = min(_NEAR, len(rows) - 1)
    graph = kneighbors_graph(rows, near, include_self=True)
    while connected_components(graph, directed=False)[0] > 1:
        near = min(2 * near, len(rows) - 1)
        graph = kneighbors_graph(rows, near, include_self=True)
    return (graph + graph.T) / 2


def _within(sums: np.ndarray) -> float:
    """The share within orbits, of orbits with these sums."""
    total = total_squares(sums)
    return float(sums[:, 1].sum() / total) if total else 1.0


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's; 0 if either never changes."""
    from scipy.stats import rankdata

    ranks = [rankdata(column) - (len(column) + 1) / 2 for column in (first, second)]
    norm = np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1])
    return float(ranks[0] @ ranks[1] / norm) if norm else 0.0


def _r2(values: np.ndarray, predicted: np.ndarray) -> float:
    left, whole = np.square(values - predicted).sum(), np.square(values - values.mean()).sum()
    return float(1 - left / whole)


def _inverse_dimensions(states: np.ndarray, groups: np.ndarray, k: int) -> list[np.ndarray]:
    """The estimate of every state, orbit by orbit."""
    from scipy.spatial import KDTree

    if k < 2:
        raise TwofoldError(f"k is {k}; it takes two neighbours or more to compare distances")
    rows, orbit = rows_and_orbits(states, groups)
    order = np.argsort(orbit, kind="stable")
    found = []
    for own in np.split(rows[order], np.flatnonzero(np.diff(orbit[order])) + 1):
        distinct = np.unique(own, axis=0)
        if len(distinct) > k:
            distances = KDTree(distinct).query(distinct, k + 1)[0][:, 1:]
            found.append(np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1))
    if not found:
        raise TwofoldError(f"no orbit has {k + 1} different states; give more of each, or lower k")
    return found


def _flat(embedding: np.ndarray, values: np.ndarray) -> np.ndarray:
    if np.prod(np.shape(embedding)) != len(embedding) or len(embedding) != len(values):
        raise TwofoldError(
            f"embedding and values have shapes {np.shape(embedding)} and {np.shape(values)}; both "
            "must be (n,): bring an embedding of more dimensions down with in_one_dimension"
        )
    return np.asarray(embedding).reshape(-1)
