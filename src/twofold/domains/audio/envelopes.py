"""What makes a waveform louder or softer from sample to sample.

Every function takes clips `(n, channels, 1, samples)`, overwrites them, and takes one number per
clip.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from twofold.augment.colour import column

_TINY = 1e-9  # samples; a fade of none changes nothing

CURVES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda way: way,
    lambda way: (0.1 + 0.9 * way).log10_().add_(1),
    lambda way: (way - 1).exp2_().mul_(way),
)
"""How loud a fade is on its way from 0 to 1: linear, logarithmic, exponential."""


def fade(clips: Tensor, fade_in: np.ndarray, fade_out: np.ndarray, shape: np.ndarray) -> Tensor:
    """Faded in and out over shares of the clip, by one of `CURVES`.

    The i-th sample from the clip's end, counted from 1, is `i / m` of the way of a fade of m
    samples. Where two fades meet, the softer one counts.
    """
    samples = clips.shape[-1]
    number = torch.arange(1, samples + 1, device=clips.device)
    for which, curve in enumerate(CURVES):
        rows = np.flatnonzero(shape == which)
        if len(rows):
            first, last = (
                column(1 / np.maximum(share[rows] * samples, _TINY), clips)
                for share in (fade_in, fade_out)
            )
            way = torch.minimum(number * first, number.flip(0) * last).clamp_(max=1)
            clips[torch.from_numpy(rows).to(clips.device)] *= curve(way)
    return clips


def silence(clips: Tensor, start: np.ndarray, width: np.ndarray) -> Tensor:
    """0 from the sample nearest to `start` to the one nearest to `start + width`."""
    number = torch.arange(clips.shape[-1], device=clips.device)
    ends = (share * clips.shape[-1] for share in (start, start + width))
    first, stop = (column(end.round(), clips) for end in ends)
    return clips.masked_fill_((number >= first) & (number < stop), 0)
