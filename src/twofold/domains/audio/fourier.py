"""Fourier transforms of whole clips, a clip's the same in any batch."""

from __future__ import annotations

import torch
from torch import Tensor


def spectra_of(clips: Tensor) -> Tensor:
    """The spectra `(..., samples // 2 + 1)` of clips `(..., samples)`, each taken for a circle."""
    rows = clips.flatten(0, -2)
    spectra: Tensor = torch.fft.rfft(_several(rows))[: len(rows)]
    return spectra.view(*clips.shape[:-1], -1)


def clips_of(spectra: Tensor, samples: int) -> Tensor:
    """The clips `(..., samples)` that have these spectra."""
    rows = spectra.flatten(0, -2)
    clips: Tensor = torch.fft.irfft(_several(rows), n=samples)[: len(rows)]
    return clips.view(*spectra.shape[:-1], samples)


def _several(rows: Tensor) -> Tensor:
    """At least two: MKL transforms a lone one by another method, which rounds differently."""
    return rows.repeat(2, 1) if len(rows) == 1 else rows
