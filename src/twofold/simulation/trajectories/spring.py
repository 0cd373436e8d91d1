"""The harmonic oscillator, in closed form."""

from __future__ import annotations

import numpy as np

from twofold.simulation.trajectories.system import Elements, System


def _orbits(energy: np.ndarray, rng: np.random.Generator) -> Elements:
    return {"energy": energy}


def _states(elements: Elements, times: np.ndarray) -> np.ndarray:
    amplitude = np.sqrt(2 * elements["energy"])[:, None, None]
    return np.asarray(amplitude * np.stack([np.sin(times), np.cos(times)], axis=-1))


def _conserved(states: np.ndarray) -> dict[str, np.ndarray]:
    return {"energy": (states**2).sum(axis=-1) / 2}


def _bobs(states: np.ndarray, high: float) -> np.ndarray:
    below = states[..., :1] / np.sqrt(2 * high)
    return np.stack([below, np.zeros_like(below)], axis=-1)


SPRING = System(
    name="spring",
    coordinates=("position", "momentum"),
    drawn="energy",
    range=(0.0, 1.0),
    limits=(0.0, 1e6),
    beyond="0 is rest",
    orbits=_orbits,
    states=_states,
    conserved=_conserved,
    bobs=_bobs,
    units={"t": "sqrt(m/k)", "energy": "k l^2"},
    closed=True,
)
"""A bob on a spring; at t = 0 it passes its rest position.

    q = sqrt(2E) sin t,  p = sqrt(2E) cos t,  (q² + p²)/2 = E"""
