"""From waveforms to what a network hears: how loud each pitch is, and when."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError

_SMALLEST = 16
_FLOOR = 1e-6
"""Power that counts as silence. Of a full scale of 1, 16-bit samples are rounded by 8e-11 each, so
by 3e-8 a frequency of 1024 samples, of which the widest of 64 filters at 16 kHz adds up 21: what
is quieter was never recorded."""
_PIECES = {"cpu": 2**19}
"""Values that are transformed together: on a CPU, as many as stay in the cache."""
_LARGE_PIECE = 2**27


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """Log-mel spectrograms of waveforms.

    The power of the short-time Fourier transform with a Hann window, gathered by triangular
    filters of equal width on the mel scale `2595 log10(1 + f / 700)`, in decibels:
    `10 log10(filters @ |STFT|² + 1e-6)`. Silence is -60 dB. Windows are centred on their samples,
    the first of them on the first one; before and after the waveform is silence.

    Example:
        >>> spectrogram = Spectrogram(sample_rate=16_000)
        >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
        >>> decibels = spectrogram(tone.view(1, 1, 1, -1))
        >>> decibels.shape, decibels[0, 0].mean(dim=1).argmax().item()
        (torch.Size([1, 1, 64, 63]), 12)

    Reference: Stevens et al., 1937 (the mel); the three planes are those of Heggan et al., 2023,
    arXiv:2305.17191, here of one and the same window.
    """

    sample_rate: int
    """Samples a second, > 0."""
    n_fft: int = 1024
    """Samples in a window, >= 16."""
    hop: int = 256
    """Samples from one window to the next, from 1 to `n_fft`."""
    mels: int = 64
    """Filters, > 0; not so many that one lies between two frequencies of the transform."""
    low_hz: float = 0.0
    """Where the lowest filter begins, in hertz, >= 0."""
    high_hz: float | None = None
    """Where the highest filter ends, in hertz; half the sample rate if none."""
    phase: bool = False
    """Whether two more planes follow: the magnitude that the filters gather, in halves of a
    decibel, and the phase of the sum that they gather, in radians."""

    def __post_init__(self) -> None:
        half = self.sample_rate / 2
        rules = {
            "sample_rate": (self.sample_rate > 0, "> 0"),
            "n_fft": (self.n_fft >= _SMALLEST, f">= {_SMALLEST}"),
            "hop": (1 <= self.hop <= self.n_fft, f"from 1 to n_fft, {self.n_fft}"),
            "mels": (self.mels > 0, "> 0"),
            "high_hz": (0 < self._end <= half, f"at most half the sample rate, {half:g}"),
            "low_hz": (0 <= self.low_hz < self._end, f">= 0 and below high_hz, {self._end:g}"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise TwofoldError(f"{name} is {getattr(self, name)}; it must be {rule}")
        if not self._hears_all(self.mels):
            fewer = range(min(self.mels - 1, self.n_fft), 0, -1)
            most = next((mels for mels in fewer if self._hears_all(mels)), 0)
            advice = f"say mels {most}, or a larger n_fft" if most else "say a larger n_fft"
            raise TwofoldError(
                f"mels is {self.mels}, but windows of {self.n_fft} samples tell frequencies apart "
                f"that are {self.sample_rate / self.n_fft:g} Hz apart, and some filters are "
                f"narrower; {advice}"
            )

    @property
    def planes(self) -> int:
        """Maps that become of each channel."""
        return 3 if self.phase else 1

    def shape(self, samples: int) -> tuple[int, int]:
        """Filters and windows, the height and the width of what becomes of so many samples.

        Example:
            >>> Spectrogram(sample_rate=16_000).shape(16_000)
            (64, 63)
        """
        return self.mels, 1 + samples // self.hop

    @torch.no_grad()
    def __call__(self, waves: Tensor) -> Tensor:
        """Spectrograms of waveforms, in float32 whatever the autocast.

        Args:
            waves: `(batch, channels, 1, samples)`, of full scale 1.

        Returns:
            Decibels `(batch, channels * planes, mels, windows)`, low pitches first.
        """
        batch, channels, _, samples = waves.shape
        height, width = self.shape(samples)
        half = self.n_fft // 2
        rows = F.pad(waves.float().reshape(batch * channels, samples), (half, self.n_fft - half))
        if torch.compiler.is_compiling():  # no loop and no cache may enter a graph
            maps = self._maps(rows, *_constants(self, rows.device))
        else:
            constants = _kept_constants(self, rows.device)
            piece = _PIECES.get(rows.device.type, _LARGE_PIECE) // (width * self.n_fft)
            parts = torch.split(rows, max(1, piece))
            maps = torch.cat([self._maps(part, *constants) for part in parts])
        return maps.view(batch, channels * self.planes, height, width)

    def _maps(self, rows: Tensor, taper: Tensor, filters: Tensor) -> Tensor:
        """Planes `(n, planes, mels, windows)` of rows of samples, silent at both ends."""
        windows = rows.unfold(-1, self.n_fft, self.hop)
        spectra = torch.fft.rfft(windows * taper).transpose(1, 2)
        real, imaginary = spectra.real, spectra.imag
        power = real.square().add_(imaginary.square())
        planes = [_decibels(_gather(filters, power), _FLOOR)]
        if self.phase:
            planes.append(_decibels(_gather(filters, power.sqrt_()), _FLOOR**0.5))
            planes.append(torch.atan2(_gather(filters, imaginary), _gather(filters, real)))
        return torch.stack(planes, dim=1)

    @property
    def _end(self) -> float:
        return self.sample_rate / 2 if self.high_hz is None else self.high_hz

    def _hears_all(self, mels: int) -> bool:
        """Whether between the ends of each of so many filters lies a frequency of the transform."""
        places = self._edges(mels) * self.n_fft / self.sample_rate
        return bool((np.ceil(places[2:]) - np.floor(places[:-2]) > 1).all())

    def _edges(self, mels: int) -> np.ndarray:
        """Where filters begin, culminate and end, each where its neighbours do, in hertz."""
        low, high = 2595 * np.log10(1 + np.array([self.low_hz, self._end]) / 700)
        edges: np.ndarray = 700 * (10 ** (np.linspace(low, high, mels + 2) / 2595) - 1)
        return edges

    def _filters(self) -> np.ndarray:
        """Triangles `(mels, n_fft // 2 + 1)` of height 1."""
        edges = self._edges(self.mels)
        frequencies = np.arange(self.n_fft // 2 + 1) * self.sample_rate / self.n_fft
        rise = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
        fall = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
        filters: np.ndarray = np.minimum(rise, fall).clip(min=0)
        return filters


def _gather(filters: Tensor, spectra: Tensor) -> Tensor:
    """What each filter hears, with autocast off: halves would lose what is quiet."""
    with torch.autocast(spectra.device.type, enabled=False):
        return torch.matmul(filters, spectra)


def _decibels(power: Tensor, floor: float) -> Tensor:
    return power.add_(floor).log10_().mul_(10)


def _constants(settings: Spectrogram, device: torch.device) -> tuple[Tensor, Tensor]:
    """The Hann window and the filters."""
    taper = torch.hann_window(settings.n_fft, dtype=torch.float64)
    filters = torch.from_numpy(settings._filters())
    return taper.to(device, torch.float32), filters.to(device, torch.float32)


_kept_constants = functools.cache(_constants)
