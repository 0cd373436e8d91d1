"""Jet images: what sets them apart, known before torch is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from twofold.domains.domain import Domain
from twofold.domains.jet.augmentations import JET
from twofold.domains.jet.channels import CHANNELS
from twofold.errors import TwofoldError
from twofold.optim.settings import Optimizer


@dataclass(frozen=True, kw_only=True)
class JetInput:
    """How energies become what augmentations change and the encoder reads.

    Views are made of energies `y = min(gain * x, clip)`, 0 where |x| < `zero_below`; the encoder
    reads `y / unit` or `log(1 + y)`. The defaults are those of the CMS end-to-end studies: what is
    below a thousandth is noise, the hadron calorimeter, whose towers are spread over 25 cells,
    counts 25-fold, and the encoder reads hundreds of GeV.

    Reference: Andrews et al., 2019, arXiv:1902.08276 (its published code).
    """

    zero_below: float = 1e-3
    """Values nearer to 0 than this become 0, >= 0."""
    unit: float = 100.0
    """Energy that the encoder reads as 1 on the linear scale, > 0."""
    gains: tuple[float, ...] = ()
    """Factor on each channel; if none, 25 on HCAL of tracks, ECAL and HCAL, and 1 on others."""
    clip: float | None = None
    """Largest energy after that, > 0; none if none."""
    scale: Literal["linear", "log"] = "linear"
    """Whether the encoder reads energies or log(1 + energy)."""
    standardize: bool = False
    """Whether channels have mean 0 and deviation 1 for the encoder; empty cells then do not read
    0."""

    def __post_init__(self) -> None:
        rules = {
            "zero_below": (self.zero_below >= 0, ">= 0"),
            "unit": (0 < self.unit < math.inf, "a finite number > 0"),
            "gains": (all(gain > 0 for gain in self.gains), "numbers > 0, one for each channel"),
            "clip": (self.clip is None or self.clip > 0, "> 0"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise TwofoldError(f"input.{name} is {getattr(self, name)}; it must be {rule}")


JETS = Domain(
    name="jet",
    items="jets",
    about="jet images (n, channels, eta, phi) in GeV: tracks, ECAL, HCAL, or eight channels",
    augmentations=JET,
    strong=tuple(name for name in JET if name != "phi_roll"),  # most images span less than all φ
    gentle=("eta_flip", "phi_flip"),
    input=JetInput(),
    encoder="resnet15",
    shown="log",
    colours={8: (0, 3, 4)},  # transverse momentum, ECAL, HCAL
    channels=CHANNELS,
    axes=("η in cells", "φ in cells"),
    unit="GeV",
    observables={
        "multiplicity": "cells that are hit",
        "energy": "energy in GeV",
        "girth": "girth in cells",
        "ptd": "energy dispersion pTD",
    },
    optimizer=Optimizer(name="adamw", learning_rate=3e-3, scaling="sqrt", weight_decay=1e-4),
)
