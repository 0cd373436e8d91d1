"""The phase vocoder: pitch without tempo, and tempo without pitch.

Reference: Flanagan and Golden, 1966, doi:10.1002/j.1538-7305.1966.tb01706.x
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

_HOP = 512  # samples from window to window, as MT-SLVR's
_OVERLAP = 3  # windows over each sample, the fewest whose weights add up to the same everywhere
_FAST = [
    number
    for number in range(2, 4 * _HOP, 2)
    if 11**9 * 13**9 * 210**13 % number == 0  # prime factors up to 13
]
_WEIGHT = 0.375 * _OVERLAP  # sum of the squares of so many of Hann's windows
_EARLY = _OVERLAP / 2 - 1  # hops from the middle of the first window to the first sample


def warp(clips: Tensor, pitch: np.ndarray, tempo: np.ndarray) -> Tensor:
    """Clips of another pitch or tempo, as long as they were.

    The spectra of overlapping windows become shorter or longer windows, in which the same waves
    have another pitch: within 4.5 cents of it for 6144 samples or more, half a cent on average.
    These follow each other at the tempo wanted, and the phase of every frequency goes on from one
    to the next as it does in the clip: one vocoder changes both, and nothing is resampled. What is
    too long is cut off at the end; what is too short starts again from the beginning. The channels
    of a clip are changed each by itself.

    Args:
        clips: float32 `(n, channels, 1, samples)`.
        pitch: What frequencies are multiplied by, > 0, `(n,)`.
        tempo: What the speed is multiplied by, > 0, `(n,)`.

    Returns:
        float32, `(n, channels, 1, samples)`.
    """
    warped, samples = torch.empty_like(clips), clips.shape[-1]
    usual = max(2, min(_HOP, samples // (4 * _OVERLAP)))
    margin = 2 * _OVERLAP * usual
    mirrored = _mirrored(samples, margin).to(clips.device)
    hops = _hops(usual, pitch)
    places = _places(samples, hops[0], hops[1], tempo)
    for row, (hop, new_hop) in enumerate(zip(*hops.tolist(), strict=True)):
        window, new_window = hop * _OVERLAP, new_hop * _OVERLAP
        count, new_count = ((samples - 1) // some + _OVERLAP for some in (hop, new_hop))
        heard = mirrored[margin + hop - window :][: count * hop + window]
        for view, clip in zip(warped[row, :, 0], clips[row, :, 0], strict=True):
            windows = clip.index_select(0, heard).unfold(0, window, hop)
            loud, angle = _polar(windows, new_window // 2 + 1)
            spectra = _going_on(loud, angle, places[row, :new_count].clip(max=count - 1))
            view.copy_(_joined(spectra, new_window, window)[:samples])
    return warped


def _hops(usual: int, pitch: np.ndarray) -> np.ndarray:
    """Samples between windows before and after `(2, n)`, whose ratio is closest to each pitch.

    The first is nearly the usual one, and it is for pitch 1. Both are even and have small prime
    factors, for which transforms are fast.
    """
    from_hops = [some for some in _FAST if 0.75 * usual <= some <= 1.34 * usual]
    before = np.array(sorted(from_hops, key=lambda some: abs(some - usual)))
    fast = np.array(_FAST)
    wanted = before / pitch[:, None]
    above = np.searchsorted(fast, wanted).clip(1, len(fast) - 1)
    after = np.where(wanted - fast[above - 1] < fast[above] - wanted, fast[above - 1], fast[above])
    best = np.abs(np.log(after / wanted)).argmin(axis=1)
    return np.stack((before[best], after[np.arange(len(pitch)), best]))


def _places(samples: int, hop: np.ndarray, new_hop: np.ndarray, tempo: np.ndarray) -> np.ndarray:
    """Which windows of each clip, counted from 0, become those of its view, `(n, windows)`.

    Most are between two.
    """
    number = np.arange((samples - 1) // new_hop.min() + _OVERLAP) - _EARLY
    place = number * (new_hop / hop * tempo)[:, None]
    again = (tempo > 1)[:, None] & (number > 0)
    shown: np.ndarray = np.where(again, place % (samples / hop)[:, None], place) + _EARLY
    return shown.clip(min=0)


def _mirrored(samples: int, margin: int) -> Tensor:
    """Places in a clip, int64, mirrored beyond its ends by as much as the margin.

    What is farther away than the clip is long becomes its first sample.
    """
    last = samples - 1
    place = np.abs(np.arange(-margin, samples + margin))
    return torch.from_numpy((last - np.abs(last - place)).clip(min=0))


# Functions end where large tensors may go, so that those to come find their place in the cache.


def _polar(windows: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Magnitudes and angles `(windows, bins)` of the lowest frequencies of windows."""
    shape = _shape(windows.shape[1], windows.device)
    spectra = torch.fft.rfft(windows * shape)[:, :bins]
    real, imaginary = spectra.real.contiguous(), spectra.imag.contiguous()
    angle = torch.atan2(imaginary, real)
    return real.square_().addcmul_(imaginary, imaginary).sqrt_(), angle


def _going_on(loud: Tensor, angle: Tensor, place: np.ndarray) -> Tensor:
    """Spectra `(new windows, bins)` whose phases go on from one to the next as in the clip.

    They are sums over the clip's windows: magnitudes of the two nearest, phases of the turns
    from each to the next.

    Args:
        loud: Magnitudes of the clip's windows `(windows, bins)`.
        angle: Their angles.
        place: Which of the clip's windows become one, `(new windows,)`.
    """
    windows, row = np.arange(len(loud)), np.arange(len(place))
    near = (1 - np.abs(windows - place[:, None])).clip(min=0)
    loud = _sums(near, loud)
    # All frequencies have the clip's own phases where it is loudest, so that they agree there; but
    # not at the ends, where windows hear the mirror image, unless the clip is that short.
    inside = (place >= _OVERLAP - 1) & (place <= len(windows) - _OVERLAP - 2)
    power = torch.linalg.vector_norm(loud, dim=1).cpu().numpy()
    own = int((power * (inside + 1e-6) * near.max(axis=1)).argmax())

    before = place.astype(np.int64)[:, None]
    left = windows == before
    turns = left.cumsum(axis=0) - left
    if (np.diff(place) < 0).any():  # what starts again does so as it would have come there
        start = np.maximum.accumulate(np.where(np.diff(place, prepend=0) < 0, row, 0))
        turns += (windows < before[start]) - turns[start]
    turns -= turns[own].copy()
    terms = -turns
    terms[:, 1:] += turns[:, :-1]
    terms[:, near[own].argmax()] += 1
    phase = _sums(terms, angle)
    imaginary = phase.sin().mul_(loud)
    return torch.complex(phase.cos_().mul_(loud), imaginary)


def _sums(shares: np.ndarray, rows: Tensor) -> Tensor:
    """Weighted sums of rows."""
    return torch.from_numpy(shares.astype(np.float32)).to(rows.device) @ rows


def _joined(spectra: Tensor, window: int, scale: int) -> Tensor:
    """Windows one after another as one sound, from where as many overlap as ever."""
    waves = torch.fft.irfft(spectra, n=window, norm="forward")
    waves *= _shape(window, waves.device) / (scale * _WEIGHT)
    first, second, third = waves.view(len(waves), _OVERLAP, -1).unbind(1)
    added: Tensor = (third[:-2] + second[1:-1]).add_(first[2:])
    return added.flatten()


@functools.lru_cache(maxsize=512)
def _shape(window: int, device: torch.device) -> Tensor:
    """Hann's, by which windows are weighted before the transform and after."""
    return torch.hann_window(window, device=device)
