"""How embeddings move along orbits in time, and what of them moves least."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, bootstrap
from twofold.evaluate.orbits import orbit_means, orbit_sums, rows_and_orbits, total_squares

_SHIFTS = 32  # pairs are so many moments apart, at most: lags of every length occur among them
_RELIABLE = 0.5  # share of a direction's variance that two states of an orbit share, at least
_NOTHING = 1e-9  # of the largest variance: a direction in which embeddings do not differ


def drift(embeddings: np.ndarray, groups: np.ndarray, times: np.ndarray) -> float:
    """How far embeddings wander along an orbit in the whole time, in deviations of all of them.

    A straight line in time is fitted to the embeddings of each orbit; the root mean square of
    what it climbs from the first to the last time of all is taken over orbits. What is constant
    but for errors of the deviation e, at n times spread evenly, drifts by `e sqrt(12 / n)`.

    Args:
        embeddings: `(n, dim)` or `(n,)`.
        groups: Orbit of each `(n,)`.
        times: Time of each `(n,)`.

    Returns:
        >= 0.

    Raises:
        TwofoldError: If the lengths differ, or no orbit is seen at two times.

    Example:
        >>> orbit, time = np.repeat([0, 1], 3), np.tile([0.0, 1.0, 2.0], 2)
        >>> drift(np.repeat([0.0, 1.0], 3), orbit, time)
        0.0
        >>> round(drift(orbit + time, orbit, time), 3)  # it climbs by 2
        2.089
    """
    rows, orbit = rows_and_orbits(embeddings, groups)
    climbs = _climbs(rows, orbit, times)
    return _drift(np.column_stack([orbit_sums(rows, orbit), climbs]))


def drift_figure(
    embeddings: np.ndarray, groups: np.ndarray, times: np.ndarray, *, seed: int = 0
) -> Figure:
    """`drift` with its 95 % interval by a bootstrap over whole orbits.

    Args:
        embeddings: `(n, dim)` or `(n,)`.
        groups: Orbit of each `(n,)`.
        times: Time of each `(n,)`.
        seed: Chooses the resamples.

    Raises:
        TwofoldError: As `drift`.

    Example:
        >>> orbit, time = np.repeat([0, 1], 3), np.tile([0.0, 1.0, 2.0], 2)
        >>> round(drift_figure(orbit + time, orbit, time)["value"], 3)
        2.089
    """
    rows, orbit = rows_and_orbits(embeddings, groups)
    climbs = _climbs(rows, orbit, times)
    return bootstrap(_drift, np.column_stack([orbit_sums(rows, orbit), climbs]), seed=seed)


def least_drift(embeddings: np.ndarray, groups: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The direction in which embeddings drift least as time goes by.

    Half the mean squared difference of two states of one orbit, at times `lag` apart, is fitted
    by `N + G lag^2`, matrices over the dimensions: what differs at once is noise N, what differs
    the more the later is motion G. With V the variance of all states, the direction is

    `argmin_w w'Gw / w'(V - N)w`

    among those of which noise is at most half the variance. So slow motion, as of the phase of an
    orbit that is seen for a small part of its period, is told from what stays, though two states
    differ less by it than by the noise of what stays. Where lags are long beside the period,
    motion is noise to this fit, and is left out as such.

    Args:
        embeddings: `(n, dim)`.
        groups: Orbit of each `(n,)`.
        times: Time of each `(n,)`.

    Returns:
        `(dim,)`, scaled so that `embeddings @ direction` has deviation 1; its sign is arbitrary.

    Raises:
        TwofoldError: If the lengths differ, nothing varies, or lags do not.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> orbit, time = np.repeat(np.arange(500), 20), rng.uniform(0, 0.3, 10_000)
        >>> energy = rng.uniform(size=500)[orbit] + 0.1 * rng.standard_normal(10_000)
        >>> phase = np.sin(rng.uniform(0, 6, 500)[orbit] + time)
        >>> both = np.stack([energy + phase, energy - phase], axis=1)
        >>> found = both @ least_drift(both, orbit, time)
        >>> bool(abs(np.corrcoef(found, energy)[0, 1]) > 0.99)
        True

    Reference: after Wiskott and Sejnowski, 2002, doi:10.1162/089976602317318938 (slow features),
    with the noise taken off.
    """
    rows, orbit = rows_and_orbits(embeddings, groups)
    clock = _times(times, orbit)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(rows.T, bias=True)))
    varies = variance > _NOTHING * variance[-1]
    if not variance[-1] > 0:
        raise TwofoldError("embeddings are all the same; there is no direction to choose")
    whiten = axes[:, varies] / np.sqrt(variance[varies])
    noise, motion = _noise_and_motion((rows - rows.mean(axis=0)) @ whiten, orbit, clock)
    shared, axes = np.linalg.eigh(np.eye(len(noise)) - noise)
    reliable = axes[:, shared > min(_RELIABLE, shared[-1] / 2)]
    whiten, kept = whiten @ reliable, reliable.T @ (np.eye(len(noise)) - noise) @ reliable
    scale, axes = np.linalg.eigh(kept)
    scaled = axes / np.sqrt(scale)
    _, axes = np.linalg.eigh(scaled.T @ (reliable.T @ motion @ reliable) @ scaled)
    direction = whiten @ scaled @ axes[:, 0]
    return np.asarray(direction / (rows @ direction).std())


def _climbs(rows: np.ndarray, orbit: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Squared length of what each orbit climbs in the whole time; NaN if it is seen but once."""
    centred = _times(times, orbit)
    span = np.ptp(centred)
    centred = centred - orbit_means(centred[:, None], orbit)[orbit, 0]
    spread = np.bincount(orbit, centred**2)
    seen = spread > 0
    if not seen.any():
        raise TwofoldError("no orbit is seen at two times; drift needs some of them")
    climbs = np.zeros(len(spread))
    for column in rows.T:
        moved = np.bincount(orbit, centred * column)
        climbs += np.square(np.divide(moved * span, spread, where=seen, out=np.zeros_like(spread)))
    return np.where(seen, climbs, np.nan)


def _drift(orbits: np.ndarray) -> float:
    """The drift of some orbits, of which what they climb comes last."""
    climbs, total = orbits[:, -1], total_squares(orbits[:, :-1])
    climbs = climbs[np.isfinite(climbs)]
    variance = total / orbits[:, 0].sum()
    return float(np.sqrt(climbs.mean() / variance)) if len(climbs) and variance > 0 else 0.0


def _noise_and_motion(
    rows: np.ndarray, orbit: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """N and G `(dim, dim)` of the fit, by least squares over pairs of states."""
    moments, halves = np.zeros((2, 2)), np.zeros((2, rows.shape[1], rows.shape[1]))
    for lags, differences in _pairs(rows, orbit, times):
        powers = np.stack([np.ones_like(lags), lags**2])
        moments += powers @ powers.T
        halves += np.einsum("pk,ki,kj->pij", powers, differences, differences, optimize=True) / 2
    if not np.linalg.det(moments) > _NOTHING * moments[0, 0] * moments[1, 1]:
        raise TwofoldError("no two states of an orbit are closer than others; drift needs lags")
    noise, motion = np.tensordot(np.linalg.inv(moments), halves, axes=1)
    return noise, motion


def _pairs(
    rows: np.ndarray, orbit: np.ndarray, times: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lags `(pairs,)` and differences `(pairs, dim)` of states of one orbit."""
    order = np.lexsort((times, orbit))
    rows, orbit, times = rows[order], orbit[order], times[order]
    longest = int(np.bincount(orbit).max()) - 1
    for shift in np.unique(np.linspace(1, max(1, longest), _SHIFTS).astype(np.int64)):
        same = orbit[shift:] == orbit[:-shift]
        yield (
            (times[shift:] - times[:-shift])[same],
            (rows[shift:] - rows[:-shift])[same],
        )


def _times(times: np.ndarray, orbit: np.ndarray) -> np.ndarray:
    clock = np.asarray(times, np.float64)
    if clock.shape != orbit.shape:
        raise TwofoldError(f"times have shape {clock.shape} for {len(orbit)} states; one each")
    return clock
