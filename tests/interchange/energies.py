"""Energies, and the scales that jets are read on."""

import dataclasses

import numpy as np

from twofold import Preprocess

LINEAR = Preprocess(
    low=0.0,
    high=1.0,
    mean=(0.0, 0.1, 0.2),
    std=(2.0, 3.0, 4.0),
    size=12,
    dtype="float32",
    domain="jet",
    bounded=False,
    zero_below=0.5,
    gains=(1.0, 2.0, 25.0),
    clip=40.0,
)
AMOUNTS = [LINEAR, dataclasses.replace(LINEAR, log=True, clip=None, gains=())]

ENERGIES = np.random.default_rng(1).normal(0, 3, (3, 3, 12, 12)).astype(np.float32)
"""Some below 0, some so near to it that they count for nothing, some beyond the clip."""
