"""The double pendulum, integrated."""

from __future__ import annotations

import numpy as np

from twofold.simulation.trajectories.integrate import integrate
from twofold.simulation.trajectories.system import Elements, System


def _orbits(energy: np.ndarray, rng: np.random.Generator) -> Elements:
    return {"energy": energy, "heading": rng.uniform(-np.pi, np.pi, len(energy))}


def _states(elements: Elements, times: np.ndarray) -> np.ndarray:
    # Straight down, the kinetic energy is (w1² + (w1 + w2)²) / 2.
    speed, heading = np.sqrt(2 * elements["energy"]), elements["heading"]
    first, sum_of_both = speed * np.cos(heading), speed * np.sin(heading)
    hanging = np.zeros_like(speed)
    start = np.stack([hanging, hanging, first, sum_of_both - first])
    states = integrate(_rate, start, times)
    states[..., :2] = np.pi - np.remainder(np.pi - states[..., :2], 2 * np.pi)
    return states


def _rate(states: np.ndarray) -> np.ndarray:
    """Accelerations of two bobs of one mass on strings of one length, from Lagrange's equations."""
    q1, q2, w1, w2 = states
    sin, cos = np.sin(q1 - q2), np.cos(q1 - q2)
    # (2, cos; cos, 1) (a1, a2) = (pull1, pull2)
    pull1 = -(w2**2) * sin - 2 * np.sin(q1)
    pull2 = w1**2 * sin - np.sin(q2)
    scale = 1 / (1 + sin**2)
    return np.stack([w1, w2, (pull1 - cos * pull2) * scale, (2 * pull2 - cos * pull1) * scale])


def _conserved(states: np.ndarray) -> dict[str, np.ndarray]:
    q1, q2, w1, w2 = np.moveaxis(states, -1, 0)
    kinetic = w1**2 + w2**2 / 2 + w1 * w2 * np.cos(q1 - q2)
    return {"energy": kinetic + 4 * np.sin(q1 / 2) ** 2 + 2 * np.sin(q2 / 2) ** 2}


def _bobs(states: np.ndarray, high: float) -> np.ndarray:
    angles = states[..., :2]
    return np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=-1) / 2, axis=-2)


DOUBLE_PENDULUM = System(
    name="double-pendulum",
    coordinates=("angle 1", "angle 2", "velocity 1", "velocity 2"),
    drawn="energy",
    range=(0.0, 4.0),
    limits=(0.0, 100.0),
    beyond="0 is rest",
    orbits=_orbits,
    states=_states,
    conserved=_conserved,
    bobs=_bobs,
    portrait=(0, 2),
    units={"t": "sqrt(l/g)", "energy": "m g l"},
    closed=False,
)
"""Two bobs of one mass on strings of one length, one below the other; at t = 0 they hang straight
down and move in a random proportion.

    E = w1² + w2²/2 + w1 w2 cos(q1 - q2) + 3 - 2 cos q1 - cos q2

Chaos sets in with energies of some 1: from there on the energy stays what it is, while the state at
a late time depends on the last digit of the first."""
