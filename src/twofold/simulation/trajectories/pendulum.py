"""The simple pendulum, in closed form."""

from __future__ import annotations

import numpy as np

from twofold.simulation.trajectories.system import Elements, System

_HIGHEST = 1 - 1e-9  # scipy's ellipj fails between here and 1, which it takes


def _orbits(m: np.ndarray, rng: np.random.Generator) -> Elements:
    return {"m": np.where(m < 1, np.minimum(m, _HIGHEST), m)}


def _states(elements: Elements, times: np.ndarray) -> np.ndarray:
    from scipy.special import ellipj

    m = elements["m"][:, None]
    sn, cn, _, _ = ellipj(times, m)
    return np.stack([2 * np.arcsin(np.sqrt(m) * sn), 2 * np.sqrt(m) * cn], axis=-1)


def _conserved(states: np.ndarray) -> dict[str, np.ndarray]:
    angle, momentum = np.moveaxis(states, -1, 0)
    energy = momentum**2 / 2 + 2 * np.sin(angle / 2) ** 2
    return {"energy": energy, "m": energy / 2}


def _bobs(states: np.ndarray, high: float) -> np.ndarray:
    angle = states[..., :1]
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


PENDULUM = System(
    name="pendulum",
    coordinates=("angle", "momentum"),
    drawn="m",
    range=(0.0, 1.0),
    limits=(0.0, 1.0),
    beyond="above 1 a pendulum goes round and round",
    orbits=_orbits,
    states=_states,
    conserved=_conserved,
    bobs=_bobs,
    units={"t": "sqrt(l/g)", "energy": "m g l"},
    closed=True,
)
"""A bob on a rigid string, swinging; at t = 0 it passes the bottom.

    q = 2 asin(sqrt(m) sn(t|m)),  p = 2 sqrt(m) cn(t|m),  p²/2 - cos q + 1 = 2m

with the elliptic parameter m = sin²(amplitude / 2) in [0, 1] and the period 4 K(m)."""
