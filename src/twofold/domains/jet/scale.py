"""The scale of jet images: energies as published, or as the user says."""

from __future__ import annotations

import numpy as np

from twofold.domains.jet.domain import JetInput
from twofold.errors import TwofoldError
from twofold.items import Items
from twofold.preprocess import Preprocess, standardized

_GAINS = {3: (1.0, 1.0, 25.0)}  # tracks, ECAL, HCAL


def measure(items: Items, input: JetInput | None = None) -> Preprocess:
    """The scale of jets `(n, channels, eta, phi)`; it follows from the settings, not from the jets.

    Mean and deviation alone are measured, if channels are to be standardised.

    Args:
        items: Training items, as stored.
        input: How energies are read; the published way if None.

    Raises:
        TwofoldError: If there are not as many gains as channels.

    Example:
        >>> jets = np.full((2, 3, 8, 8), 50.0, np.float32)
        >>> measure(jets)(jets)[0, :, 0, 0].tolist()
        [0.5, 0.5, 12.5]
    """
    input = input or JetInput()
    channels = items.shape[1]
    gains = input.gains or _GAINS.get(channels, ())
    if gains and len(gains) != channels:
        raise TwofoldError(
            f"input.gains has {len(gains)} numbers and the jets have {channels} channels; "
            "give one for each"
        )
    scale = Preprocess(
        low=0.0,
        high=1.0,
        mean=(0.0,) * channels,
        std=(1.0 if input.scale == "log" else input.unit,) * channels,
        size=min(items.shape[-2:]),
        dtype=np.dtype(items.dtype).name,
        domain="jet",
        bounded=False,
        zero_below=input.zero_below,
        gains=gains,
        clip=input.clip,
        log=input.scale == "log",
    )
    return standardized(scale, items) if input.standardize else scale
