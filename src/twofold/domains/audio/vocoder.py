"""The phase vocoder: pitch without tempo, and tempo without pitch.

Reference: Flanagan and Golden, 1966, doi:10.1002/j.1538-7305.1966.tb01706.x
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import torch
from torch import Tensor

_WINDOW = 2048  # samples, as MT-SLVR's
_OVERLAP = 4  # windows over each sample
_FAST = [
    number
    for number in range(1, 4 * _WINDOW // _OVERLAP)
    if 11**9 * 13**9 * 210**13 % number == 0  # prime factors up to 13
]
_WEIGHT = 1.5  # sum of the squares of so many of Hann's windows


def warp(clips: Tensor, pitch: np.ndarray, tempo: np.ndarray) -> Tensor:
    """Clips of another pitch or tempo, as long as they were.

    The spectra of overlapping windows become shorter or longer windows, in which the same waves
    have another pitch: within 2.5 cents of it for 8192 samples or more, half a cent on average.
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
    samples = clips.shape[-1]
    warped, longest = torch.empty_like(clips), _window(samples)
    mirrored = _mirrored(samples, longest).to(clips.device)
    hops = zip(*_hops(longest // _OVERLAP, pitch), strict=True)
    for view, clip, (hop, new_hop), speed in zip(warped, clips, hops, tempo.tolist(), strict=True):
        window, count = hop * _OVERLAP, (samples - 1) // hop + 4
        place = mirrored[longest - window // 2 :][: (count - 1) * hop + window]
        for channel, sound in zip(view[:, 0], clip[:, 0], strict=True):
            windows = sound.index_select(0, place).unfold(0, window, hop)
            loud, angle = _polar(windows, new_hop * _OVERLAP // 2 + 1)
            channel.copy_(_played(loud, angle, samples, (hop, new_hop), speed))
    return warped


def _window(samples: int) -> int:
    """The longest window, a power of 2, of which a clip holds four."""
    return max(_OVERLAP, min(_WINDOW, 1 << (max(1, samples // 4).bit_length() - 1)))


def _hops(hop: int, pitch: np.ndarray) -> tuple[list[int], list[int]]:
    """Samples between windows before and after, whose ratio is closest to each pitch.

    The first is nearly `hop`, and it is for pitch 1. Both have small prime factors, for which
    transforms are fast.
    """
    from_hops = [some for some in _FAST if 0.8 * hop <= some <= 1.25 * hop]
    before = np.array(sorted(from_hops, key=lambda some: abs(some - hop)))
    fast = np.array(_FAST)
    wanted = before / pitch[:, None]
    above = np.searchsorted(fast, wanted).clip(1, len(fast) - 1)
    after = np.where(wanted - fast[above - 1] < fast[above] - wanted, fast[above - 1], fast[above])
    best = np.abs(np.log(after / wanted)).argmin(axis=1)
    return before[best].tolist(), after[np.arange(len(pitch)), best].tolist()


def _mirrored(samples: int, margin: int) -> Tensor:
    """Places in a clip, int64, mirrored beyond its ends: a margin before, and twice as much after.

    What is farther away than the clip is long becomes its first sample.
    """
    last = samples - 1
    place = np.abs(np.arange(-margin, samples + 2 * margin))
    return torch.from_numpy((last - np.abs(last - place)).clip(min=0))


# Functions end where large tensors may go, so that those to come find their place in the cache.


def _polar(windows: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Magnitudes and angles `(windows, bins)` of the lowest frequencies of windows."""
    shape = _shape(windows.shape[1], windows.device)
    spectra = torch.fft.rfft(windows * shape)[:, :bins]
    real, imaginary = spectra.real.contiguous(), spectra.imag.contiguous()
    angle = torch.atan2(imaginary, real)
    return real.square_().addcmul_(imaginary, imaginary).sqrt_(), angle


def _played(
    loud: Tensor, angle: Tensor, samples: int, hops: tuple[int, int], tempo: float
) -> Tensor:
    """The sound `(samples,)` of windows of another length.

    Args:
        loud: Magnitudes `(windows, bins)` of windows, the first centred on the first sample.
        angle: Their angles.
        samples: How long the sound is.
        hops: Samples from each window to the next, in the clip and in the sound.
        tempo: What the speed is multiplied by.
    """
    hop, new_hop = hops
    place = np.arange((samples - 1) // new_hop + 3) * (new_hop / hop * tempo)
    place = place % (samples / hop) if tempo > 1 else place.clip(max=len(loud) - 2)
    before = torch.from_numpy(place.astype(np.int64)).to(loud.device)
    share = torch.from_numpy((place % 1).astype(np.float32))[:, None].to(loud.device)
    loud = loud.index_select(0, before).lerp_(loud.index_select(0, before + 1), share)
    phase = _phases(angle, before)
    # All frequencies have the clip's own phases where it is loudest, so that they agree there; but
    # not at the ends, where windows hear the mirror image, unless the clip is that short.
    ends = (_OVERLAP // 2, _OVERLAP) if len(phase) > 2 * _OVERLAP else (0, 0)
    inside = loud[ends[0] : len(loud) - ends[1]]
    loudest = int(torch.linalg.vector_norm(inside, dim=1).argmax()) + ends[0]
    phase += angle[before[loudest]] - phase[loudest]

    imaginary = phase.sin().mul_(loud)
    spectra = torch.complex(phase.cos_().mul_(loud), imaginary)
    waves = torch.fft.irfft(spectra, n=new_hop * _OVERLAP, norm="forward")
    shape = _shape(waves.shape[1], waves.device)
    return _joined(waves.mul_(shape / (hop * _OVERLAP * _WEIGHT)))[:samples]


def _phases(angle: Tensor, before: Tensor) -> Tensor:
    """Phases that go on from window to window as they do after those windows in the clip."""
    turn = angle[1:] - angle[:-1]
    phase = torch.cat((angle[:1], turn.index_select(0, before[:-1])))
    for row, following in itertools.pairwise(phase.unbind()):  # half of what `cumsum` takes
        following.add_(row)
    return phase


def _joined(waves: Tensor) -> Tensor:
    """Overlapping windows `(windows, window)` as one sound, from the middle of the first on."""
    count, window = waves.shape
    parts = waves.view(count, _OVERLAP, window // _OVERLAP).unbind(1)
    joined = waves.new_zeros(count + _OVERLAP - 1, window // _OVERLAP)
    for start, part in enumerate(parts):
        joined[start : start + count] += part
    joined = joined[_OVERLAP // 2 :]
    # No window comes before the first.
    joined[0] /= 1 - _shape(window, waves.device)[-joined.shape[1] :].square() / _WEIGHT
    return joined.flatten()


@functools.lru_cache(maxsize=512)
def _shape(window: int, device: torch.device) -> Tensor:
    """Hann's, by which windows are weighted before the transform and after."""
    return torch.hann_window(window, device=device)
