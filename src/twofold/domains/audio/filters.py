"""What multiplies the spectra of clips: the loss of a band, and a room's answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from twofold.domains.audio.fourier import spectra_of
from twofold.domains.audio.noises import echoes

if TYPE_CHECKING:
    from twofold.augment.augmentation import Values

_EDGE = 0.05  # octaves in which a band goes from there to not


def without_band(clips: Tensor, centre: np.ndarray, width: np.ndarray) -> Tensor:
    """1 outside of a band, 0 inside, and in between at the edges, inside.

    Args:
        clips: Whose spectra are multiplied, `(n, channels, 1, samples)`.
        centre: Of the band, in octaves from half the sample rate, `(n,)`.
        width: Of the band in octaves, `(n,)`.

    Returns:
        float32 `(n, samples // 2 + 1)`.
    """
    samples = clips.shape[-1]
    bins = torch.arange(samples // 2 + 1, device=clips.device)
    octave = (2 * bins / samples).clamp_(min=2.0**-40).log2_()
    middle, half = (
        torch.from_numpy(value.astype(np.float32))[:, None].to(clips.device)
        for value in (centre, width / 2)
    )
    return (octave - middle).abs_().sub_(half).div_(_EDGE).add_(1).clamp_(0, 1)


def room(clips: Tensor, values: Values, longest: float) -> Tensor:
    """The spectra of answers of rooms, see `noises.echoes`.

    Args:
        clips: Whose spectra are multiplied, `(n, channels, 1, samples)`.
        values: `decay` as a share of the clip, `wet` and `key`, each `(n,)`.
        longest: Share of the clip in which echoes are counted.

    Returns:
        complex64 `(n, samples // 2 + 1)`.
    """
    samples = clips.shape[-1]
    key = torch.from_numpy(values["key"].astype(np.int64)).to(clips.device)
    count = math.ceil(longest * samples)
    decay = values["decay"] * samples
    return spectra_of(echoes(key, decay, values["wet"], samples, count))
