"""Every system by name, and their orbits at given times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twofold.errors import TwofoldError, unknown
from twofold.simulation.trajectories.double_pendulum import DOUBLE_PENDULUM
from twofold.simulation.trajectories.kepler import KEPLER
from twofold.simulation.trajectories.lotka_volterra import LOTKA_VOLTERRA
from twofold.simulation.trajectories.pendulum import PENDULUM
from twofold.simulation.trajectories.spring import SPRING
from twofold.simulation.trajectories.system import System

SYSTEMS: dict[str, System] = {
    system.name: system for system in (PENDULUM, DOUBLE_PENDULUM, KEPLER, SPRING, LOTKA_VOLTERRA)
}
"""Every system by name."""


def system_by_name(name: str) -> System:
    """The system of that name.

    Raises:
        TwofoldError: If no system goes by that name.
    """
    if name not in SYSTEMS:
        raise unknown("system", name, SYSTEMS)
    return SYSTEMS[name]


def follow_orbits(
    name: str,
    values: Sequence[float] | np.ndarray,
    times: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
) -> np.ndarray:
    """States of orbits of a system, in natural units.

    Args:
        name: Of the system.
        values: Of the quantity that is drawn for each orbit `(orbits,)`: the elliptic parameter m
            of a pendulum, the invariant of Lotka-Volterra, the energy of others.
        times: `(times,)` for all orbits, or `(orbits, times)`, >= 0.
        seed: Of what else settles an orbit, if anything does.

    Returns:
        `(orbits, times, dim)`, coordinates before velocities or momenta.

    Raises:
        TwofoldError: For an unknown name, NaN, another rank, values that no orbit has, or times
            before 0.

    Example:
        >>> states = follow_orbits("pendulum", [0.25], [0.0, 100.0])
        >>> SYSTEMS["pendulum"].conserved(states)["energy"].round(12).tolist()
        [[0.5, 0.5]]
    """
    system = system_by_name(name)
    of_orbits, at = np.asarray(values, float), np.asarray(times, float)
    for what, array, ranks, shape in (
        (f"values of {system.drawn}", of_orbits, {1}, "(orbits,)"),
        ("times", at, {1, 2}, "(times,) or (orbits, times)"),
    ):
        if array.ndim not in ranks or not array.size:
            raise TwofoldError(f"{what} have shape {array.shape}; they must be {shape}, not empty")
        if not np.isfinite(array).all():
            raise TwofoldError(f"{what} hold NaN or infinity; give finite numbers")
    if at.ndim == 2 and len(at) != len(of_orbits):
        raise TwofoldError(f"times are of {len(at)} orbits, values of {len(of_orbits)}; match them")
    if at.min() < 0:
        raise TwofoldError(f"times go down to {at.min():g}; they must be >= 0")
    check_values(system, of_orbits.min(), of_orbits.max())
    orbits = system.orbits(of_orbits, np.random.default_rng(seed))
    return system.states(orbits, np.broadcast_to(at, (len(of_orbits), at.shape[-1])))


def check_values(system: System, low: float, high: float) -> None:
    """Refuses a range in which there are no such orbits."""
    least, most = system.limits
    if not least <= low <= high <= most:
        raise TwofoldError(
            f"range is {low:g} {high:g}, of {system.drawn}; it must be from {least:g} to {most:g}, "
            f"since {system.beyond}"
        )
