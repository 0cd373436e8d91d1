"""The scale of recordings: full scale is 1, and the encoder reads what its front end makes."""

from __future__ import annotations

from typing import cast

import numpy as np

from twofold.clips import Clips
from twofold.domains.audio.domain import AudioInput
from twofold.items import Items
from twofold.preprocess import FULL_SCALES, Preprocess, standardized
from twofold.spectrogram import Spectrogram

_MEASURED = 1000  # clips on which mean and deviation are measured


def measure(items: Items, input: AudioInput | None = None) -> Preprocess:
    """The scale of clips: views are waveforms of full scale 1, and spectrograms are standardised.

    Args:
        items: Training clips, as stored.
        input: What the encoder reads; log-mel spectrograms if None.

    Raises:
        TwofoldError: If the front end does not suit the sample rate.

    Example:
        >>> from twofold.clips import clips_of
        >>> noise = np.random.default_rng(0).normal(0, 0.1, (8, 4000)).astype(np.float32)
        >>> scale = measure(clips_of(noise, 1, window=4000, sample_rate=16_000))
        >>> scale.read_shape(), scale(noise[:2, None, None]).shape
        ((1, 64, 8), torch.Size([2, 1, 64, 8]))
    """
    input = input or AudioInput()
    clips = cast(Clips, items)
    front_end = None
    if input.front_end != "waveform":
        front_end = Spectrogram(
            sample_rate=clips.sample_rate,
            n_fft=input.n_fft,
            hop=input.hop,
            mels=input.mels,
            low_hz=input.low_hz,
            high_hz=input.high_hz,
            phase=input.front_end == "log_mel_phase",
        )
    count = clips.shape[1] * (1 if front_end is None else front_end.planes)
    stored = Preprocess(
        low=0.0,
        high=FULL_SCALES[np.dtype(clips.dtype).name],
        mean=(0.0,) * count,
        std=(1.0,) * count,
        size=clips.window,
        dtype=np.dtype(clips.dtype).name,
        domain="audio",
        bounded=False,
        sample_rate=clips.sample_rate,
        front_end=front_end,
    )
    return standardized(stored, clips, sample=_MEASURED)
