"""How waveforms are seen and heard: as spectrograms in colour, and as sound inside the page."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import torch

from twofold.preprocess import FULL_SCALES
from twofold.spectrogram import Spectrogram

_SIDE = 84  # pixels: filters from below to above, and at most as many windows from left to right
_SHORTEST = 512  # samples of a window
_RATE = 16_000  # the usual one: filters divide the mel scale up to half of any other alike
_PIECE = 64  # waveforms looked at together
_HEARD = 24_000  # samples, 64 kB in the page


def full_scale(waves: np.ndarray) -> np.ndarray:
    """Stored waveforms in float32 with a full scale of 1.

    Example:
        >>> full_scale(np.array([16384, -32768], np.int16)).tolist()
        [0.5, -1.0]
    """
    values = np.nan_to_num(np.asarray(waves, np.float32))
    return values / np.float32(FULL_SCALES.get(waves.dtype.name, 1.0))


def spectrograms(waves: np.ndarray) -> np.ndarray:
    """Decibels `(n, pitches, times)` of stored waveforms `(n, channels, 1, samples)`.

    High pitches come first, as in a picture; of several channels it is the mean of the powers.

    Example:
        >>> spectrograms(np.zeros((3, 2, 1, 8000), np.int16)).shape
        (3, 84, 83)
    """
    hop = -(-waves.shape[3] // (_SIDE - 1))
    window = max(_SHORTEST, 1 << (hop - 1).bit_length())
    hear = Spectrogram(sample_rate=_RATE, n_fft=window, hop=hop, mels=_SIDE)
    found = []
    for start in range(0, len(waves), _PIECE):
        decibels = hear(torch.from_numpy(full_scale(waves[start : start + _PIECE])))
        found.append(10 * (10 ** (decibels / 10)).mean(dim=1).log10_())
    return torch.cat(found).flip(1).numpy()


def coloured(shares: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 as 8-bit colours `(..., 3)` whose lightness grows evenly."""
    from matplotlib import colormaps

    colours: np.ndarray = colormaps["magma"](np.clip(shares, 0, 1), bytes=True)
    return np.ascontiguousarray(colours[..., :3])


def heard_note(samples: int, sample_rate: int) -> str:
    """What a listener must know of clips of so many samples; empty if all of them is heard.

    Example:
        >>> heard_note(80_000, 16_000)
        'Of each clip the first 1.5 s can be heard.'
    """
    if samples <= _HEARD:
        return ""
    return f"Of each clip the first {_HEARD / sample_rate:.2g} s can be heard."


def sound_uri(waveform: np.ndarray, sample_rate: int) -> str:
    """A stored waveform `(channels, 1, samples)` as sound inside its own address.

    Its channels are mixed, and of a long one its beginning is heard.

    Example:
        >>> sound_uri(np.zeros((1, 1, 8000), np.int16), 16_000)[:28]
        'data:audio/wav;base64,UklGRq'
    """
    mixed = full_scale(waveform)[:, 0, :_HEARD].mean(axis=0)
    samples = np.rint(32767 * np.clip(mixed, -1, 1)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"
