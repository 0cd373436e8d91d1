"""A planet around a fixed sun, in closed form."""

from __future__ import annotations

import numpy as np

from twofold.simulation.trajectories.system import Elements, System

_ECCENTRICITY = 0.8  # the largest
_STEPS = 12  # of Newton; six reach the last digit below that eccentricity


def _orbits(energy: np.ndarray, rng: np.random.Generator) -> Elements:
    return {
        "energy": energy,
        "eccentricity": rng.uniform(0, _ECCENTRICITY, len(energy)),
        "direction": rng.uniform(-np.pi, np.pi, len(energy)),
    }


def _states(elements: Elements, times: np.ndarray) -> np.ndarray:
    axis, e, direction = (
        values[:, None]
        for values in (-0.5 / elements["energy"], elements["eccentricity"], elements["direction"])
    )
    anomaly = _anomaly(times * axis**-1.5, e)
    cos, sin, flat = np.cos(anomaly), np.sin(anomaly), np.sqrt(1 - e**2)
    speed = 1 / (np.sqrt(axis) * (1 - e * cos))
    along, across = axis * (cos - e), axis * flat * sin
    forward, sideways = -speed * sin, speed * flat * cos
    x, y = np.cos(direction), np.sin(direction)
    return np.stack(
        [
            x * along - y * across,
            y * along + x * across,
            x * forward - y * sideways,
            y * forward + x * sideways,
        ],
        axis=-1,
    )


def _anomaly(mean: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The eccentric anomaly E of Kepler's equation, E - e sin E = M, by Newton's method."""
    mean = np.remainder(mean + np.pi, 2 * np.pi) - np.pi
    anomaly = mean + 0.85 * e * np.sign(mean)  # from here it converges for every e < 1
    for _ in range(_STEPS):
        anomaly = anomaly - (anomaly - e * np.sin(anomaly) - mean) / (1 - e * np.cos(anomaly))
    return anomaly


def _conserved(states: np.ndarray) -> dict[str, np.ndarray]:
    x, y, vx, vy = np.moveaxis(states, -1, 0)
    distance, momentum = np.hypot(x, y), x * vy - y * vx
    return {
        "energy": (vx**2 + vy**2) / 2 - 1 / distance,
        "angular_momentum": momentum,
        "direction": np.arctan2(-vx * momentum - y / distance, vy * momentum - x / distance),
    }


def _bobs(states: np.ndarray, high: float) -> np.ndarray:
    farthest = (1 + _ECCENTRICITY) * -0.5 / high
    return np.stack([-states[..., 1:2], states[..., :1]], axis=-1) / farthest


KEPLER = System(
    name="kepler",
    coordinates=("x", "y", "vx", "vy"),
    drawn="energy",
    range=(-1.0, -0.25),
    limits=(-100.0, -0.01),
    beyond="from 0 on a planet never returns",
    orbits=_orbits,
    states=_states,
    conserved=_conserved,
    bobs=_bobs,
    units={
        "t": "sqrt(r^3/(G M))",
        "energy": "G M/r",
        "angular_momentum": "sqrt(G M r)",
        "direction": "rad",
    },
    closed=True,
)
"""A planet around a fixed sun; at t = 0 it is nearest.

    E - e sin E = t / a^(3/2),  a = -1 / (2 energy),  L² = a (1 - e²)

The energy, the angular momentum and the direction of the Laplace vector are conserved; the
eccentricity e is drawn from 0 to 0.8, the direction from the whole circle."""
