"""Augmentations of jet images: what moves deposits, and what changes their energies.

Each changes the deposits of the samples that it is applied to, see `rendering.Deposits`, with what
was drawn for each of them. Importing this module loads neither torch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold.augment.augmentation import Augmentation, between, circular, span, within
from twofold.domains.jet.channels import CHANNELS, PARTS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from twofold.augment.augmentation import Values
    from twofold.domains.jet.rendering import Deposits


@dataclass(frozen=True, kw_only=True)
class EtaFlip(Augmentation):
    """Forward and backward exchanged: `η -> -η`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    words = "flip η"

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Mirrors η."""
        del drawn
        deposits.eta = -deposits.eta


@dataclass(frozen=True, kw_only=True)
class PhiFlip(Augmentation):
    """Left and right around the beam exchanged: `φ -> -φ`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    words = "flip φ"

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Mirrors φ."""
        del drawn
        deposits.phi = -deposits.phi


@dataclass(frozen=True, kw_only=True)
class PhiRoll(Augmentation):
    """A turn about the beam by whole cells, for images that span all of φ.

    What leaves on one side enters on the other. All turns are equally likely.
    """

    neutral: ClassVar[Mapping[str, float]] = {"turn": 0.0}
    target = "continuous"
    words = "roll φ {turn:.0%}"

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The turn as a share of the circle."""
        return {"turn": numbers[:, 0]}

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """Sine and cosine of the turn."""
        return circular(values["turn"])

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Moves φ by the nearest number of whole cells, modulo the image's width."""
        width = deposits.width
        moved = deposits.phi + (drawn["turn"] * width).round() + width / 2
        deposits.phi = moved % width - width / 2


@dataclass(frozen=True, kw_only=True)
class Shift(Augmentation):
    """A small shift in η and φ by whole cells; what leaves the window is lost."""

    cells: int = 2
    """Largest shift either way, in [0, 1000] cells."""

    neutral: ClassVar[Mapping[str, float]] = {"eta": 0.0, "phi": 0.0}
    target = "continuous"
    words = "shift η {eta:+.0f} φ {phi:+.0f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "cells", 0, 1000)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The shifts in cells, all equally likely."""
        steps = numbers * (2 * self.cells + 1) // 1 - self.cells
        return {"eta": steps[:, 0], "phi": steps[:, 1]}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Adds the shifts."""
        deposits.eta = deposits.eta + drawn["eta"]
        deposits.phi = deposits.phi + drawn["phi"]


@dataclass(frozen=True, kw_only=True)
class Rotate(Augmentation):
    """A rotation about the jet axis, the image's centre; what leaves the window is lost.

    Quarter turns, then three shears by whole cells: cells change places within about a cell of
    where they belong, and none are left empty or meet, as they would if each were rounded alone.

    Reference: Dillon et al., 2021, arXiv:2108.04253; Paeth, 1986, Graphics Interface (shears).
    """

    degrees: float = 180.0
    """Largest angle either way, in [0, 180] degrees."""

    neutral: ClassVar[Mapping[str, float]] = {"angle": 0.0}
    target = "continuous"
    words = "rot {angle:+.0f}°"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "degrees", 0, 180)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The angle in degrees, from η towards φ."""
        return {"angle": between(numbers[:, 0], -self.degrees, self.degrees)}

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """The angle, or its sine and cosine where turns either way come close to meeting."""
        if self.degrees > 90:
            return circular(values["angle"] / 360)
        return super().quantities(values)

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """`(η, φ) -> (η cos - φ sin, η sin + φ cos)`, in whole cells."""
        angle = drawn["angle"]
        straight = (angle / 90).round() * 90
        cosine, sine = straight.deg2rad().cos().round(), straight.deg2rad().sin().round()
        eta = deposits.eta * cosine - deposits.phi * sine
        phi = deposits.eta * sine + deposits.phi * cosine
        rest = (angle - straight).deg2rad()
        slant, lift = (rest / 2).tan(), rest.sin()
        eta = eta - (phi * slant).round()
        deposits.phi = phi + (eta * lift).round()
        deposits.eta = eta - (deposits.phi * slant).round()


@dataclass(frozen=True, kw_only=True)
class Energy(Augmentation):
    """The energy scale of each part of the detector off by its own factor."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    strength: float = 0.2
    """How far the factors may be from 1, in [0, 1]."""

    neutral: ClassVar[Mapping[str, float]] = dict.fromkeys(PARTS, 1.0)
    target = "continuous"
    words = "energy ×{tracks:.2f} ×{ECAL:.2f} ×{HCAL:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "strength", 0, 1)

    def for_channels(self, channels: int) -> Augmentation | None:
        """Nothing where the channels are not known to be a detector's."""
        return self if channels in CHANNELS else None

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factors."""
        factors = between(numbers, 1 - self.strength, 1 + self.strength)
        return {name: factors[:, part] for part, name in enumerate(PARTS)}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Multiplies energies."""
        for part, name in enumerate(PARTS):
            deposits.set_energy(deposits.value * drawn[name].where(deposits.part == part, 1.0))


@dataclass(frozen=True, kw_only=True)
class Smear(Augmentation):
    """The resolution of a calorimeter: `E -> max(0, E (1 + σ normal))`, cell by cell.

    `σ² = stochastic² / (E / GeV) + constant²`. Where HCAL counts 25-fold, as its towers are spread
    over 25 cells, E is the tower's.

    Reference: CMS Collaboration, 2008, doi:10.1088/1748-0221/3/08/S08004 (chapters 4 and 5)
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    stochastic: tuple[float, float] = (0.03, 1.0)
    """Smallest and largest stochastic term, a crystal's and a hadronic one's, in [0, 10]."""
    constant: float = 0.05
    """Constant term, in [0, 1]."""

    neutral: ClassVar[Mapping[str, float]] = {"stochastic": 0.0, "key": 0.0}
    target = "continuous"
    parameters = ("stochastic",)
    words = "smear {stochastic:.2f}/√E"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "stochastic", 0, 10)
        within(self, "constant", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The stochastic term, and the 32-bit key that every cell's number follows from."""
        stochastic = between(numbers[:, 0], *self.stochastic)
        return {"stochastic": stochastic, "key": numbers[:, 1] * 2.0**32}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Adds to energies `E σ normal`; a negative one, which has no resolution, becomes 0."""
        energy = deposits.value.clamp(min=0)
        stochastic = drawn["stochastic"] ** 2 * energy
        spread = (stochastic + (self.constant * energy) ** 2).sqrt()
        deposits.set_energy((energy + spread * deposits.normal(drawn["key"])).clamp(min=0))


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """Electronic noise in the cells that were hit: `E -> max(0, E + sigma normal)`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    sigma: tuple[float, float] = (0.02, 0.2)
    """Smallest and largest standard deviation in GeV, in [0, 1000]."""

    neutral: ClassVar[Mapping[str, float]] = {"sigma": 0.0, "key": 0.0}
    target = "continuous"
    parameters = ("sigma",)
    words = "noise {sigma:.2f} GeV"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "sigma", 0, 1000)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The standard deviation, and the 32-bit key that every cell's number follows from."""
        return {"sigma": between(numbers[:, 0], *self.sigma), "key": numbers[:, 1] * 2.0**32}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Adds to energies."""
        added = drawn["sigma"] * deposits.normal(drawn["key"])
        deposits.set_energy((deposits.value + added).clamp(min=0))


@dataclass(frozen=True, kw_only=True)
class Threshold(Augmentation):
    """Cells of little energy read out as empty, as zero suppression does."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    energy: tuple[float, float] = (0.1, 1.0)
    """Smallest and largest threshold in GeV, in [0, 1e6]."""

    neutral: ClassVar[Mapping[str, float]] = {"energy": 0.0}
    target = "continuous"
    words = "above {energy:.2f} GeV"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "energy", 0, 1e6)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The threshold in GeV."""
        return {"energy": between(numbers[:, 0], *self.energy)}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Empties cells whose energy is below it."""
        below = deposits.value < drawn["energy"]
        deposits.set_energy(deposits.value.masked_fill(below, 0))


@dataclass(frozen=True, kw_only=True)
class Drop(Augmentation):
    """One part of the detector silent: tracker, ECAL or HCAL, all equally likely.

    The tracker's channels are the tracks' and, of eight, dz, d0 and the layers of pixels.
    """

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""

    neutral: ClassVar[Mapping[str, float]] = {"part": 0.0}
    target = "classes"
    num_classes = 1 + len(PARTS)

    def for_channels(self, channels: int) -> Augmentation | None:
        """Nothing where the channels are not known to be a detector's."""
        return self if channels in CHANNELS else None

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Which part of `PARTS`, counted from 1; 0 is none."""
        return {"part": 1 + numbers[:, 0] * len(PARTS) // 1}

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Empties all channels of the part."""
        silent = deposits.part == drawn["part"] - 1
        deposits.value = deposits.value.masked_fill(silent, 0)

    def caption(self, values: Mapping[str, float]) -> str:
        """The part."""
        return f"no {('drop', *PARTS)[int(values['part'])]}"


JET: dict[str, Augmentation] = {
    "eta_flip": EtaFlip(),
    "phi_flip": PhiFlip(),
    "phi_roll": PhiRoll(),
    "shift": Shift(),
    "rotate": Rotate(),
    # as in a detector: calibration, resolution, noise, zero suppression
    "energy": Energy(),
    "smear": Smear(),
    "noise": Noise(),
    "threshold": Threshold(),
    "drop": Drop(),
}
"""Every augmentation of jet images by name, in the order applied."""
