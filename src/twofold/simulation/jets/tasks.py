"""Which jets are told apart, and the collisions that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from twofold.errors import TwofoldError, unknown

GENERATORS = ("pythia8mc", "fastjet", "awkward")
"""What makes and finds jets: distributions of the extra `jets`."""

_STREAM = 1  # raised whenever the same seed comes to give other jets
_SEEDS = 900_000_000  # Pythia takes seeds from 1 to here


@dataclass(frozen=True, kw_only=True)
class Task:
    """Two classes of jets."""

    classes: tuple[str, str]
    """Their names, in the order of their labels."""
    processes: tuple[tuple[str, ...], tuple[str, ...]]
    """Hard processes of each class, as settings of Pythia."""
    common: tuple[str, ...]
    """Settings of Pythia for both."""
    radius: float
    """Of the jets in rapidity and azimuth."""
    pt: tuple[float, float]
    """Range of the transverse momentum of the jets, GeV."""
    rapidity: float
    """Largest absolute rapidity of the jets."""


TASKS = {
    "quark-gluon": Task(
        classes=("gluon", "quark"),
        processes=(("WeakBosonAndParton:qqbar2gmZg = on",), ("WeakBosonAndParton:qg2gmZq = on",)),
        common=(
            "Beams:eCM = 14000",
            "WeakZ0:gmZmode = 2",  # no photons beside the Z
            "23:onMode = off",
            "23:onIfAny = 12 14 16",  # the Z goes unseen, as neutrinos
        ),
        radius=0.4,
        pt=(500.0, 550.0),
        rapidity=1.7,
    ),
    "top-qcd": Task(
        classes=("qcd", "top"),
        processes=(("HardQCD:all = on",), ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")),
        common=("Beams:eCM = 13000",),
        radius=0.8,
        pt=(400.0, 600.0),
        rapidity=1.5,
    ),
}
"""Each by its name. Quarks and gluons are made as in Komiske et al., 2019, arXiv:1810.05165."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What settles the particles of every jet, before any detector sees them.

    Example:
        >>> sample = Sample.of("top-qcd", seed=3)
        >>> sample.radius, sample.pt, sample.classes
        (0.8, (400.0, 600.0), ('qcd', 'top'))
    """

    task: str
    """A name of `TASKS`."""
    pt: tuple[float, float]
    """Range of the transverse momentum, GeV."""
    radius: float
    """Of the jets."""
    seed: int
    """Of the collisions."""

    @classmethod
    def of(
        cls,
        task: str,
        *,
        pt: Sequence[float] | None = None,
        radius: float | None = None,
        seed: int = 0,
    ) -> Sample:
        """A sample with the task's own range and radius where none are given.

        Raises:
            TwofoldError: For an unknown task or a number that makes no jets.
        """
        if task not in TASKS:
            raise unknown("task", task, TASKS)
        if pt is not None and len(pt) != 2:
            raise TwofoldError(f"pt is {' '.join(f'{end:g}' for end in pt)}; give both ends, GeV")
        low, high = pt or TASKS[task].pt
        radius = TASKS[task].radius if radius is None else radius
        if not 20 <= low < high <= 5000:  # jets below fade into the underlying event
            raise TwofoldError(
                f"pt is {low:g} {high:g}; give the lower end first, both from 20 to 5000 GeV"
            )
        if not 0.1 <= radius <= 1.5:
            raise TwofoldError(f"radius is {radius:g}; it must be from 0.1 to 1.5")
        if seed < 0:
            raise TwofoldError(f"seed is {seed}; it must be >= 0")
        return cls(task=task, pt=(float(low), float(high)), radius=float(radius), seed=seed)

    @property
    def classes(self) -> tuple[str, str]:
        """Names of the two classes."""
        return TASKS[self.task].classes

    @property
    def digest(self) -> str:
        """Names what these settings and the installed generators make."""
        facts = {**asdict(self), "stream": _STREAM, "versions": generators()}
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def block_seed(self, label: int, number: int) -> int:
        """The seed of Pythia for a block of one class, in [1, 900 000 000]."""
        name = f"{self.seed}/{self.task}/{label}/{number}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") % _SEEDS + 1


def generators() -> dict[str, str]:
    """Versions of what makes and finds jets.

    Raises:
        TwofoldError: If one of them is not installed.
    """
    try:
        return {name: version(name) for name in GENERATORS}
    except PackageNotFoundError as error:
        raise TwofoldError(
            f"simulating jets needs {error.name}: pip install 'twofold[jets]'"
        ) from None
