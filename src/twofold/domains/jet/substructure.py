"""What physicists read off a jet: how many deposits, how wide, how concentrated, how heavy."""

from __future__ import annotations

import numpy as np

from twofold.domains.jet.channels import energies
from twofold.errors import TwofoldError


def observables(images: np.ndarray, *, cell: float | None = None) -> dict[str, np.ndarray]:
    """Observables of jet images about their centre, each `(n,)` by name.

    With the energy `E` of a cell, summed over the channels that hold energies, at the distance `r`
    from the image's centre: `multiplicity` is the number of cells that have energy; `energy` is
    `Σ E`; `eta` and `phi` are the axis, `Σ E (η, φ) / Σ E`; `girth` is `Σ E r / Σ E`; `ptd` is
    `sqrt(Σ E²) / Σ E`. With the size of a cell, energies are those across the beam of massless
    particles, and `mass` is `sqrt(E² - p²)` of their sum.

    A jet without energy has zeros. Tracks are counted beside the energy that charged particles
    leave in the calorimeters; select channels where that matters.

    Args:
        images: Energies >= 0, `(n, channels, eta, phi)`.
        cell: Size of a cell in η and φ, > 0. If None, lengths are in cells, and there is no mass.

    Returns:
        float64; energies and masses in the unit of the images.

    Raises:
        TwofoldError: If the images have another rank, or cells no size.

    Example:
        >>> jet = np.zeros((1, 1, 40, 40))
        >>> jet[0, 0, 20, [15, 24]] = 50.0  # 9 cells apart, about the centre
        >>> found = observables(jet, cell=0.02)
        >>> [round(found[name].item(), 2) for name in ("energy", "girth", "ptd", "mass")]
        [100.0, 0.09, 0.71, 8.99]

    Reference: Gallicchio and Schwartz, 2011, arXiv:1106.3076 (girth); CMS Collaboration, 2013,
    CMS-PAS-JME-13-002 (ptd).
    """
    if images.ndim != 4:
        raise TwofoldError(
            f"jet images have shape {images.shape}; they must be (n, channels, eta, phi)"
        )
    if cell is not None and not cell > 0:
        raise TwofoldError(f"cell is {cell!r}; it must be the size of a cell in η and φ, > 0")
    energy = images[:, energies(images.shape[1])].sum(axis=1, dtype=np.float64)
    eta, phi = (_from_centre(side, cell or 1.0) for side in energy.shape[1:])
    total, over_eta, over_phi = energy.sum(axis=(1, 2)), energy.sum(axis=2), energy.sum(axis=1)
    weight = 1 / np.where(total > 0, total, 1.0)
    found = {
        "multiplicity": np.count_nonzero(energy, axis=(1, 2)).astype(np.float64),
        "energy": total,
        "eta": over_eta @ eta * weight,
        "phi": over_phi @ phi * weight,
        "girth": np.einsum("nij,ij->n", energy, np.hypot(eta[:, None], phi)) * weight,
        "ptd": np.sqrt(np.einsum("nij,nij->n", energy, energy)) * weight,
    }
    if cell is not None:
        along, across = over_eta @ np.sinh(eta), (over_phi @ np.cos(phi), over_phi @ np.sin(phi))
        squared = (over_eta @ np.cosh(eta)) ** 2 - along**2 - across[0] ** 2 - across[1] ** 2
        found["mass"] = np.sqrt(np.maximum(squared, 0))  # below 0 by rounding alone
    return found


def _from_centre(count: int, cell: float) -> np.ndarray:
    """The centres of so many cells in a row, from the middle one."""
    return (np.arange(count) - (count - 1) / 2) * cell
