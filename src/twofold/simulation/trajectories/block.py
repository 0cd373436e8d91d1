"""Rows of some orbits, made from a seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from twofold.simulation.trajectories.camera import add_noise, camera_of, draw_shifts, draw_tints
from twofold.simulation.trajectories.conditions import Conditions, draw_times, draw_values
from twofold.simulation.trajectories.system import System

SIZE = 512  # orbits that are made together; part of what a seed stands for
_PICTURES = 2048  # drawn at once


@dataclass(frozen=True)
class Rows:
    """Rows of whole orbits, one orbit after the other."""

    orbit: np.ndarray
    """Number of the orbit of each row `(n,)`."""
    t: np.ndarray
    """Time of each."""
    state: np.ndarray
    """State of each `(n, dim)`, without noise."""
    seen: np.ndarray
    """What is seen of each: the state `(n, dim)`, or the middles of bobs `(n, 2, bobs, 2)` in a
    picture, in pixels."""
    conserved: dict[str, np.ndarray]
    """Conserved quantities of the orbit of each."""
    drift: float
    """By how much the first of them is off in any state, at most."""


def make_block(
    system: System, conditions: Conditions, number: int, rng: np.random.Generator
) -> Rows:
    """A block of orbits: block 0 has the first `SIZE` of them, and so on.

    All of a block is made, however few of its orbits are asked for: so that the first orbits of a
    seed are the same, however many there are.
    """
    samples, first = conditions.samples, SIZE * number
    count = min(SIZE, conditions.orbits - first)
    if conditions.even:
        evenly = draw_values(conditions, system, conditions.orbits, None)
        values = np.resize(evenly[first : first + count], SIZE)
    else:
        values = draw_values(conditions, system, SIZE, rng)
    orbits = system.orbits(values, rng)
    times = draw_times(conditions, SIZE, rng)
    start, later = np.zeros((SIZE, 1)), times + conditions.step
    moments = [start, times] if conditions.render == "vectors" else [start, times, later]
    states = system.states(orbits, np.concatenate(moments, axis=1))
    conserved = system.conserved(states)
    named = next(iter(conserved.values()))
    noisy = states[:, 1:] + conditions.noise * rng.standard_normal(states[:, 1:].shape)
    if conditions.render == "images":
        noisy = _in_pixels(system, conditions, noisy, rng)

    def rows(of_orbits: np.ndarray) -> np.ndarray:
        return of_orbits[:count].reshape(-1, *of_orbits.shape[2:])

    return Rows(
        orbit=np.repeat(np.arange(first, first + count), samples),
        t=rows(times),
        state=rows(states[:, 1 : 1 + samples]),
        seen=rows(noisy),
        conserved={name: np.repeat(all_[:count, 0], samples) for name, all_ in conserved.items()},
        drift=float(np.abs(named - named[:, :1])[:count].max()),
    )


def pictures(
    rows: Rows, conditions: Conditions, rng: np.random.Generator
) -> Iterator[tuple[slice, np.ndarray]]:
    """Pictures uint8 `(n, 3, size, size)` of successive rows, with the noise of their pixels."""
    camera = camera_of(conditions)
    tints = draw_tints(conditions, SIZE * conditions.samples, rng)
    for start in range(0, len(rows.t), _PICTURES):
        part = slice(start, min(start + _PICTURES, len(rows.t)))
        drawn = camera.pictures(rows.seen[part])
        if conditions.pixel_noise:
            drawn = add_noise(drawn, tints[part], conditions.pixel_noise, rng)
        yield part, drawn


def _in_pixels(
    system: System, conditions: Conditions, states: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Middles of bobs `(orbits, samples, 2, bobs, 2)` at both moments of each sample."""
    assert system.bobs is not None
    _, high = conditions.range_of(system)
    both = np.stack(np.split(states, 2, axis=1), axis=2)
    middles = camera_of(conditions).pixels(system.bobs(both, high))
    shifts = draw_shifts(conditions, middles.shape[0] * middles.shape[1], rng)
    return np.asarray(middles + shifts.reshape(*middles.shape[:2], 1, 1, 2))
