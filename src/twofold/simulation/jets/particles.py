"""Jets and the particles around them: arrays side by side, and what is measured of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from twofold.folder import write_atomically


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets `(n,)` of one class, and all visible particles in their neighbourhood.

    Particles of one jet after the other lie in arrays `(count.sum(),)`. Momenta and masses are in
    GeV.
    """

    pt: np.ndarray
    """Transverse momentum."""
    eta: np.ndarray
    """Pseudorapidity of the axis."""
    phi: np.ndarray
    """Azimuth of the axis, in [-pi, pi]."""
    mass: np.ndarray
    """Of the sum of the constituents."""
    multiplicity: np.ndarray
    """Number of constituents."""
    charged_multiplicity: np.ndarray
    """Number of charged constituents."""
    girth: np.ndarray
    """Mean distance of the constituents from the axis, weighted by pT."""
    ptd: np.ndarray
    """How unevenly constituents share the pT: 1 if one has it all."""
    count: np.ndarray
    """Number of particles stored for each jet, constituents or not."""
    particle_pt: np.ndarray
    """Transverse momentum of each."""
    particle_eta: np.ndarray
    """Pseudorapidity of each where it was made."""
    particle_phi: np.ndarray
    """Azimuth of each where it was made."""
    particle_id: np.ndarray
    """What each is, by the numbers of the Particle Data Group."""
    particle_charge: np.ndarray
    """Charge of each, in units of the positron's."""

    def __len__(self) -> int:
        return len(self.pt)

    @property
    def owner(self) -> np.ndarray:
        """The jet of each particle."""
        return np.repeat(np.arange(len(self)), self.count)

    def head(self, n: int) -> Jets:
        """The first `n` of them."""
        particles = int(self.count[:n].sum())
        return Jets(
            **{
                field.name: getattr(self, field.name)[
                    : particles if field.name.startswith("particle_") else n
                ]
                for field in fields(self)
            }
        )

    def save(self, path: Path) -> None:
        """Writes them to a .npz file, all of it or nothing."""
        packed = io.BytesIO()
        np.savez_compressed(packed, **{f.name: getattr(self, f.name) for f in fields(self)})
        write_atomically(path, packed.getvalue())


def together(parts: list[Jets]) -> Jets:
    """Jets of several lists in one."""
    return Jets(
        **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Jets)}
    )


def load(path: Path) -> Jets | None:
    """Jets of a file that `Jets.save` wrote; None if there is none that can be read."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return Jets(**{field.name: arrays[field.name] for field in fields(Jets)})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def girth(pt: np.ndarray, distance: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """Width of jets: sum of pT times distance from the axis, over the sum of pT.

    Args:
        pt: Transverse momenta of constituents `(k,)`.
        distance: From the axis in rapidity and azimuth `(k,)`.
        owner: The jet of each `(k,)`, in [0, n).
        n: Number of jets.

    Example:
        >>> girth(np.array([3.0, 1.0]), np.array([0.0, 0.2]), np.array([0, 0]), 1)
        array([0.05])

    Reference: Gallicchio and Schwartz, 2011, arXiv:1106.3076.
    """
    return np.bincount(owner, pt * distance, n) / np.bincount(owner, pt, n)


def ptd(pt: np.ndarray, owner: np.ndarray, n: int) -> np.ndarray:
    """How unevenly constituents share the pT: sqrt(sum of pT^2) over the sum of pT, in (0, 1].

    Args:
        pt: Transverse momenta of constituents `(k,)`.
        owner: The jet of each `(k,)`, in [0, n).
        n: Number of jets.

    Example:
        >>> ptd(np.array([3.0, 4.0, 5.0]), np.array([0, 0, 1]), 2).round(4)
        array([0.7143, 1.    ])

    Reference: CMS Collaboration, 2012, CMS-PAS-HIG-11-027.
    """
    return np.sqrt(np.bincount(owner, pt**2, n)) / np.bincount(owner, pt, n)


def turned(angle: np.ndarray) -> np.ndarray:
    """Angles brought to [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
