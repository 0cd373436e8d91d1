"""What a detector makes of particles: images of tracks and of two calorimeters.

A toy: no pile-up, no noise, no material, no map of the magnetic field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from twofold.errors import TwofoldError, unknown
from twofold.simulation.jets.particles import Jets, turned

CHANNELS = ("tracks", "ECAL", "HCAL")
"""What images are made of, in their order."""
TOWER = 5
"""Cells along each side of a tower of the HCAL."""
CRYSTAL = 0.0174
"""Side of a crystal of the barrel of CMS, in pseudorapidity and azimuth."""
SMALLEST, LARGEST = 20, 125
"""Cells along each side of an image."""

# CMS Collaboration, 2008, doi:10.1088/1748-0221/3/08/S08004: tesla; metres to the crystals.
_FIELD, _CRYSTALS_AT = 3.8, 1.29
_LEAST_PT = 0.3 * _FIELD * _CRYSTALS_AT / 2  # GeV: a charge with less curls up before the crystals
_TRACK_EFFICIENCY, _TRACK_RESOLUTION = 0.92, 0.01
_HADRONS_IN_ECAL = 0.3  # share of their energy
# Stochastic term in sqrt(GeV), constant term: CMS Collaboration, 2017, arXiv:1706.04965, section 2.
_ECAL_RESOLUTION, _HCAL_RESOLUTION = (0.028, 0.003), (1.10, 0.09)


class Hits(NamedTuple):
    """What one channel sees."""

    jet: np.ndarray
    """In whose image `(k,)`."""
    eta: np.ndarray
    """Pseudorapidity relative to the jet's `(k,)`."""
    phi: np.ndarray
    """Azimuth relative to the jet's, in [-pi, pi) `(k,)`."""
    energy: np.ndarray
    """Transverse energy, GeV `(k,)`."""


def window(detector: str, size: int, radius: float) -> float:
    """Side of an image in pseudorapidity and azimuth: the diameter of a jet.

    With `cms` it is more where cells would be finer than the crystals of the ECAL.

    Example:
        >>> window("cms", 40, 0.4), window("cms", 125, 0.4), window("truth", 125, 0.4)
        (0.8, 2.175, 0.8)
    """
    finest = CRYSTAL if detector == "cms" else 0.0
    return max(2 * radius, finest * size)


def reach(radius: float) -> float:
    """How far from the axis of a jet any image goes."""
    return window("cms", LARGEST, radius) / 2


def check(detector: str, size: int) -> None:
    """Refuses an unknown detector, and images that towers do not tile."""
    if detector not in DETECTORS:
        raise unknown("detector", detector, DETECTORS)
    if size % TOWER or not SMALLEST <= size <= LARGEST:
        raise TwofoldError(
            f"size is {size}; it must be a multiple of {TOWER} from {SMALLEST} to {LARGEST}, "
            "so that towers of the HCAL tile the image"
        )


def images(
    jets: Jets, *, detector: str, size: int, radius: float, seed: Sequence[int]
) -> np.ndarray:
    """Images of the window around each jet.

    Args:
        jets: Jets and the particles around them.
        detector: A name of `DETECTORS`.
        size: Cells along each side.
        radius: Of the jets.
        seed: Of what the detector leaves to chance. More jets change none of the first images.

    Returns:
        Transverse energies `(n, size, size, 3)` in GeV, float32: rows are cells in
        pseudorapidity, columns in azimuth, channels those of `CHANNELS`.
    """
    side = window(detector, size, radius)
    seen = DETECTORS[detector](jets, seed)
    channels = [binned(hits, n=len(jets), side=side, size=size) for hits in seen]
    if detector == "cms":
        channels[-1] = towers(channels[-1])
    return np.stack(channels, axis=-1)


def binned(hits: Hits, *, n: int, side: float, size: int) -> np.ndarray:
    """Energies `(n, size, size)` in cells of a window; what is outside is left out.

    Example:
        >>> hits = Hits(*map(np.array, ([0, 0, 0], [-0.1, -0.1, 9.0], [0.1, 0.1, 0.0], [1, 2, 4])))
        >>> binned(hits, n=1, side=0.4, size=2)[0]
        array([[0., 3.],
               [0., 0.]], dtype=float32)
    """
    row, column = (
        np.floor((place / side + 0.5) * size).astype(np.int64) for place in (hits.eta, hits.phi)
    )
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    cell = ((hits.jet * size + row) * size + column)[inside]
    energy = np.bincount(cell, hits.energy[inside], n * size * size)
    return energy.reshape(n, size, size).astype(np.float32)


def towers(energy: np.ndarray) -> np.ndarray:
    """Energies `(n, size, size)` spread evenly over the cells of each tower."""
    n, size, _ = energy.shape
    blocks = energy.reshape(n, size // TOWER, TOWER, size // TOWER, TOWER)
    mean = blocks.mean(axis=(2, 4), keepdims=True)
    return np.broadcast_to(mean, blocks.shape).reshape(energy.shape)


def at_crystals(
    pt: np.ndarray, eta: np.ndarray, phi: np.ndarray, charge: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where particles meet the cylinder of crystals in a magnetic field along the beam.

    A charge goes round with a radius of pT / (0.3 |q| B) metres, so that the chord to a cylinder
    of radius r is turned by the half angle asin(0.3 |q| B r / 2 pT).

    Args:
        pt: Transverse momenta `(k,)`, GeV.
        eta: Pseudorapidities where they were made, taken to be the beam line `(k,)`.
        phi: Azimuths there `(k,)`.
        charge: In units of the positron's `(k,)`.

    Returns:
        Pseudorapidity, azimuth and whether each gets there at all.
    """
    bend = charge * _LEAST_PT / pt
    arrives = np.abs(bend) < 1
    half = np.arcsin(np.where(arrives, bend, 0.0))
    arc_by_chord = 1 / np.sinc(half / np.pi)
    return np.arcsinh(np.sinh(eta) * arc_by_chord), phi - half, arrives


def _truth(jets: Jets, seed: Sequence[int]) -> tuple[Hits, Hits, Hits]:
    """Every particle where it was made, by what it is; nothing is left to chance."""
    light, hadron = _kinds(jets)
    return (
        _hits(jets, jets.particle_charge != 0),
        _hits(jets, light),
        _hits(jets, hadron),
    )


def _cms(jets: Jets, seed: Sequence[int]) -> tuple[Hits, Hits, Hits]:
    """Tracks that are found, and deposits where particles meet the crystals."""
    found, track, ecal, hcal = (np.random.default_rng([*seed, stream]) for stream in range(4))
    pt = jets.particle_pt.astype(np.float64)
    light, hadron = _kinds(jets)
    eta, phi, arrives = at_crystals(
        pt, jets.particle_eta.astype(np.float64), jets.particle_phi, jets.particle_charge
    )
    share = np.select([light, hadron], [1.0, _HADRONS_IN_ECAL])
    in_hcal = np.where(hadron, pt * (1 - _HADRONS_IN_ECAL), 0.0)
    is_found = found.random(len(pt)) < _TRACK_EFFICIENCY
    measured = pt * np.maximum(0, 1 + _TRACK_RESOLUTION * track.standard_normal(len(pt)))
    return (
        _hits(jets, (jets.particle_charge != 0) & arrives & is_found, energy=measured),
        _hits(jets, arrives, eta, phi, _smeared(pt * share, eta, _ECAL_RESOLUTION, ecal)),
        _hits(jets, arrives, eta, phi, _smeared(in_hcal, eta, _HCAL_RESOLUTION, hcal)),
    )


DETECTORS: dict[str, Callable[[Jets, Sequence[int]], tuple[Hits, Hits, Hits]]] = {
    "cms": _cms,
    "truth": _truth,
}
"""Each gives what the channels see, in their order."""


def _kinds(jets: Jets) -> tuple[np.ndarray, np.ndarray]:
    """Which particles end their way in the ECAL, and which are hadrons."""
    kind = np.abs(jets.particle_id)
    light = (kind == 11) | (kind == 22)
    return light, ~light & (kind != 13)


def _hits(
    jets: Jets,
    seen: np.ndarray,
    eta: np.ndarray | None = None,
    phi: np.ndarray | None = None,
    energy: np.ndarray | None = None,
) -> Hits:
    """The particles that are `seen`, where and as they were made if not told otherwise."""
    eta = jets.particle_eta if eta is None else eta
    phi = jets.particle_phi if phi is None else phi
    energy = jets.particle_pt if energy is None else energy
    owner = jets.owner[seen]
    return Hits(
        jet=owner,
        eta=eta[seen] - jets.eta[owner],
        phi=turned(phi[seen] - jets.phi[owner]),
        energy=energy[seen],
    )


def _smeared(
    transverse: np.ndarray,
    eta: np.ndarray,
    resolution: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Energies measured with sigma^2 = a^2 E + b^2 E^2.

    They follow gamma distributions, which keep the mean and are never negative.
    """
    stochastic, constant = resolution
    energy = transverse * np.cosh(eta)
    scale = stochastic**2 + constant**2 * energy
    measured: np.ndarray = rng.gamma(energy / scale, scale) / np.cosh(eta)
    return measured
