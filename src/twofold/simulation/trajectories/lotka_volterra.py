"""Predators and prey, integrated."""

from __future__ import annotations

import numpy as np

from twofold.simulation.trajectories.integrate import integrate
from twofold.simulation.trajectories.system import Elements, System

_STEPS = 12  # of Newton; six reach the last digit


def _orbits(invariant: np.ndarray, rng: np.random.Generator) -> Elements:
    return {"invariant": invariant}


def _states(elements: Elements, times: np.ndarray) -> np.ndarray:
    most = _most(elements["invariant"])
    start = np.stack([np.zeros_like(most), most])
    return np.asarray(np.exp(integrate(_rate, start, times)))


def _most(invariant: np.ndarray) -> np.ndarray:
    """The logarithm s of the most predators, e^s - 1 - s = invariant, by Newton's method."""
    few = np.sqrt(2 * invariant)
    most = np.log1p(few + few**2 / 2)  # never below the root, since e^x >= 1 + x + x²/2
    for _ in range(_STEPS):
        slope = np.maximum(np.expm1(most), np.finfo(float).tiny)
        most = most - (np.expm1(most) - most - invariant) / slope
    return np.asarray(most)


def _rate(logarithms: np.ndarray) -> np.ndarray:
    prey, predators = np.exp(logarithms)
    return np.stack([1 - predators, prey - 1])


def _conserved(states: np.ndarray) -> dict[str, np.ndarray]:
    return {"invariant": (states - 1 - np.log(states)).sum(axis=-1)}


LOTKA_VOLTERRA = System(
    name="lotka-volterra",
    coordinates=("prey", "predators"),
    drawn="invariant",
    range=(0.0, 2.0),
    limits=(0.0, 20.0),
    beyond="0 is where both stay as they are, and above 20 prey all but dies out",
    orbits=_orbits,
    states=_states,
    conserved=_conserved,
    bobs=None,
    units={"t": "1/growth"},
    closed=False,
)
"""Predators y and prey x, in units of where both stay as they are; at t = 0 predators are most.

    x' = x (1 - y),  y' = y (x - 1),  x - log x + y - log y - 2 = constant

They are integrated as logarithms, so that both stay positive."""
