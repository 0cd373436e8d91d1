"""Items as they are, small: what features have to beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.evaluate.features import Prepare
from twofold.preprocess import Preprocess, resize
from twofold.spectrogram import Spectrogram

RAW_SIZE = 32
"""Height and width in pixels above which raw input is shrunk for its baseline."""
RAW_FRAMES = 8
"""Stretches of time over which the spectrogram of a signal is averaged for its baseline."""


def raw_facts(preprocess: Preprocess) -> dict[str, int]:
    """How much of the items is read, for the protocol."""
    if preprocess.sample_rate is not None:
        return {"raw_frames": RAW_FRAMES}
    return {"raw_size": min(preprocess.size, RAW_SIZE)}


def raw_input(preprocess: Preprocess) -> Prepare:
    """Values in [0, 1], amounts as the encoder reads them, or spectrograms of signals."""
    if preprocess.sample_rate is not None:
        return _spectra(preprocess, preprocess.sample_rate)

    def prepare(items: np.ndarray, device: torch.device) -> Tensor:
        values = resize(preprocess.unit(items, device), min(preprocess.size, RAW_SIZE))
        return values if preprocess.bounded else preprocess.standardize(values)

    return prepare


def _spectra(preprocess: Preprocess, sample_rate: int) -> Prepare:
    """Spectrograms of signals, averaged over stretches of time, even if the encoder reads none."""
    front_end = preprocess.front_end or Spectrogram(sample_rate=sample_rate)

    def prepare(items: np.ndarray, device: torch.device) -> Tensor:
        spectra = front_end(preprocess.unit(items, device))
        return F.adaptive_avg_pool2d(spectra, (spectra.shape[2], RAW_FRAMES))

    return prepare
