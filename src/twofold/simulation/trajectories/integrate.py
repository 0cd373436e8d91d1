"""States of many orbits at once, where there is no closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twofold.errors import TwofoldError

_TOLERANCE = 1e-11


def integrate(
    rate: Callable[[np.ndarray], np.ndarray], start: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """States of orbits, each at times of its own, by the Runge-Kutta method DOP853.

    All orbits take the same steps, those that the hardest needs: many of them in one call are some
    ten times as fast as one by one.

    Args:
        rate: Time derivatives `(dim, orbits)` of states `(dim, orbits)`.
        start: States at t = 0 `(dim, orbits)`.
        times: `(orbits, times)`, >= 0, in any order.

    Returns:
        States `(orbits, times, dim)`.

    Raises:
        TwofoldError: If the steps become too small to go on.

    Reference: Hairer, Nørsett and Wanner, 1993, Solving Ordinary Differential Equations I.
    """
    from scipy.integrate import DOP853

    dim, orbits = start.shape
    states = np.repeat(start.T[:, None], times.shape[1], axis=1)
    order = np.argsort(times, axis=None, kind="stable")
    order = order[times.flat[order] > 0]
    due = times.flat[order]
    if not len(due):
        return states
    solver = DOP853(
        lambda t, y: rate(y.reshape(dim, orbits)).reshape(-1),
        0.0,
        start.reshape(-1),
        due[-1],
        rtol=_TOLERANCE,
        atol=_TOLERANCE,
    )
    done = 0
    while done < len(due):
        message = solver.step()
        if solver.status == "failed":
            raise TwofoldError(f"the orbits cannot be followed beyond t = {solver.t:g}: {message}")
        until = int(np.searchsorted(due, solver.t, side="right"))
        if until > done:
            found = solver.dense_output()(due[done:until]).reshape(dim, orbits, -1)
            orbit, place = np.divmod(order[done:until], times.shape[1])
            states[orbit, place] = found[:, orbit, np.arange(until - done)].T
        done = until
    return states
