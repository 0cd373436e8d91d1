"""Under which conditions orbits are drawn, sampled and seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Literal

import numpy as np

from twofold.errors import TwofoldError, unknown
from twofold.simulation.trajectories.system import System
from twofold.simulation.trajectories.systems import check_values

_SEEN = ("step", "size", "crop", "pixel_noise")
"""What matters to pictures alone."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """How orbits are drawn, sampled and seen; the defaults are the published ones of the pendulum.

    Reference: github.com/califyn/rsi-2021, pendulum.py.

    Example:
        >>> Conditions(range=(0.2, 0.8), gaps=(1, 0.5)).rows
        102400
    """

    orbits: int = 5120
    """How many."""
    samples: int = 20
    """Times at which each is sampled: rows of one group."""
    times: tuple[float, float] = (0.0, 200.0)
    """Window that the times are drawn from, uniformly and apart."""
    spread: float | None = None
    """Longest distance of two times of one orbit: each orbit draws a time from the window, and its
    samples follow within so long; none for times all over the window."""
    range: tuple[float, float] | None = None
    """What the conserved quantity is drawn from, uniformly: the elliptic parameter m of a pendulum,
    the invariant of lotka-volterra, the energy of others; the system's own if not given."""
    gaps: tuple[int, float] | None = None
    """How many gaps the range has, and their share of it: N of equal width, between N + 1 pieces of
    equal width."""
    even: bool = False
    """Whether values are evenly spaced in place of drawn, as to test on; one sample will do."""
    noise: float = 0.0
    """Standard deviation of what is added to each number of a state, before it is seen."""
    render: Literal["vectors", "images"] = "vectors"
    """Whether rows are states, or pictures of two moments each."""
    step: float = 0.5
    """Time between the two moments of a picture."""
    size: int = 32
    """Pixels along each side of a picture."""
    crop: float = 1.0
    """Share of the side of a larger picture that is shown: its lower right corner."""
    pixel_noise: float = 0.0
    """Strength g of a picture's noise, < 0.5: N(0, g/4) on each pixel, a tint U(-g/8, g/8) of each
    channel, and with probability 2g a shift by a pixel, down as well as right."""
    seed: int = 0
    """Of everything."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, Real) and not math.isfinite(one) for one in numbers):
                raise TwofoldError(f"{field.name} is {_words(value)}; it must be finite")
            if isinstance(value, tuple) and len(value) != 2:
                raise TwofoldError(f"{field.name} is {_words(value)}; give two numbers")
        if self.render not in ("vectors", "images"):
            raise unknown("render", self.render, ("vectors", "images"))
        for wrong, name, rule in (
            (self.orbits < 1, "orbits", "it must be >= 1"),
            (self.samples < 1, "samples", "it must be >= 1"),
            (
                self.samples == 1 and not self.even,
                "samples",
                "an orbit needs two rows to be a group; one is for tests, with --even",
            ),
            (
                not 0 <= self.times[0] < self.times[1],
                "times",
                "give the start first, >= 0, then the end",
            ),
            (self.spread is not None and self.spread <= 0, "spread", "it must be > 0"),
            (self.range is not None and self.range[0] > self.range[1], "range", "low end first"),
            (
                self.gaps is not None
                and not (self.gaps[0] in range(1, 1000) and 0 < self.gaps[1] < 1),
                "gaps",
                "give how many, from 1 to 999, and their share of the range, in (0, 1)",
            ),
            (self.noise < 0, "noise", "it must be >= 0"),
            (self.step <= 0, "step", "it must be > 0"),
            (not 16 <= self.size <= 512, "size", "it must be from 16 to 512"),
            (not 0.1 <= self.crop <= 1, "crop", "it must be from 0.1 to 1"),
            (not 0 <= self.pixel_noise < 0.5, "pixel_noise", "it must be in [0, 0.5)"),
            (self.seed < 0, "seed", "it must be >= 0"),
        ):
            if wrong:
                raise TwofoldError(f"{name} is {_words(getattr(self, name))}; {rule}")
        defaults = {field.name: field.default for field in fields(self)}
        for name in _SEEN:
            value = getattr(self, name)
            if self.render == "vectors" and value != defaults[name]:
                raise TwofoldError(
                    f"{name} is {value:g}, but vectors are no pictures; set render to images"
                )

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.orbits * self.samples

    def range_of(self, system: System) -> tuple[float, float]:
        """The range that is given, or the system's own.

        Raises:
            TwofoldError: If the system has no such orbits, or cannot be seen as it should be.
        """
        if self.render == "images" and system.bobs is None:
            raise TwofoldError(f"{system.name} has nothing to draw; set render to vectors")
        low, high = system.range if self.range is None else self.range
        check_values(system, low, high)
        if high == 0 and self.render == "images":
            raise TwofoldError(f"range is {low:g} {high:g}; a picture needs something that moves")
        return low, high


def draw_values(
    conditions: Conditions, system: System, n: int, rng: np.random.Generator | None
) -> np.ndarray:
    """Values of the conserved quantity of orbits `(n,)`; evenly spaced ones without a generator.

    With gaps the kept pieces of the range are drawn from as one, and then set apart: of u from
    U(0, 1 - g), the piece is floor(u (n + 1) / (1 - g)), and the value u + piece g / n.
    """
    low, high = conditions.range_of(system)
    count, share = conditions.gaps or (1, 0.0)
    if rng is not None:
        place = rng.uniform(0, 1 - share, n)
    else:
        place = np.linspace(0, 1 - share, n, endpoint=conditions.gaps is None)
    piece = np.minimum(np.floor(place * (count + 1) / (1 - share)), count)
    return low + (high - low) * (place + piece * share / count)


def draw_times(conditions: Conditions, n: int, rng: np.random.Generator) -> np.ndarray:
    """Times of samples `(n, samples)`."""
    shape = (n, conditions.samples)
    if conditions.spread is None:
        return rng.uniform(*conditions.times, shape)
    return rng.uniform(*conditions.times, (n, 1)) + rng.uniform(0, conditions.spread, shape)


def _words(value: object) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{one:g}" for one in numbers)
