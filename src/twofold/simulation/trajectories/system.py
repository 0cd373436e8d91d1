"""What a mechanical system is: its orbits, its states, and what both conserve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Elements = Mapping[str, np.ndarray]
"""What settles each of some orbits, by name, `(orbits,)`."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One mechanical system, as functions of what settles an orbit and of states.

    States are `(..., dim)`: coordinates first, then velocities or momenta.
    """

    name: str
    """What it is called on the command line."""
    coordinates: tuple[str, ...]
    """Name of each number of a state."""
    drawn: str
    """The conserved quantity that is drawn for each orbit."""
    range: tuple[float, float]
    """What it is drawn from, uniformly, unless another range is given."""
    limits: tuple[float, float]
    """Outside them there are no such orbits."""
    beyond: str
    """Why not."""
    orbits: Callable[[np.ndarray, np.random.Generator], Elements]
    """Orbits with given values of the quantity that is drawn; what else settles them is random."""
    states: Callable[[Elements, np.ndarray], np.ndarray]
    """States `(orbits, times, dim)` of orbits at times `(orbits, times)`."""
    conserved: Callable[[np.ndarray], dict[str, np.ndarray]]
    """Every conserved quantity of states; the first is what drift is measured of."""
    bobs: Callable[[np.ndarray, float], np.ndarray] | None
    """Where a picture shows bobs, `(..., bobs, 2)`, down and right of its centre in units of the
    string, given the upper end of the range; None if nothing can be seen."""
    portrait: tuple[int, int] = (0, 1)
    """Which two numbers of a state are drawn against each other."""
    units: Mapping[str, str]
    """Units of the time `t` and of conserved quantities that have one."""
    closed: bool
    """Whether states are closed forms and not integrated step by step."""
