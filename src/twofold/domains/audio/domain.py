"""Recordings: what sets them apart, known before torch is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twofold.domains.audio.augmentations import AUDIO
from twofold.domains.domain import Domain
from twofold.errors import TwofoldError


@dataclass(frozen=True, kw_only=True)
class AudioInput:
    """How waveforms become what the encoder reads; augmentations change waveforms.

    At 16 kHz the defaults are windows of 64 ms, every 32 ms. MT-SLVR, which hears 5 seconds, has
    `front_end="log_mel_phase"` and `mels=128`.

    Reference: Heggan et al., 2023, arXiv:2305.17191.
    """

    front_end: Literal["log_mel", "log_mel_phase", "waveform"] = "log_mel"
    """Whether the encoder reads log-mel spectrograms, those with magnitude and phase beside them,
    or waveforms."""
    n_fft: int = 1024
    """Samples of a window of the Fourier transform, >= 16."""
    hop: int = 512
    """Samples from one window to the next, in [1, n_fft]."""
    mels: int = 64
    """Bands of the mel scale."""
    low_hz: float = 0.0
    """Lower end of the lowest band in Hz."""
    high_hz: float | None = None
    """Upper end of the highest band in Hz; half the sample rate if none."""

    def __post_init__(self) -> None:
        for name in ("n_fft", "hop", "mels"):
            if getattr(self, name) < 1:
                raise TwofoldError(
                    f"input.{name} is {getattr(self, name)}; it must be a whole number >= 1"
                )


RECORDINGS = Domain(
    name="audio",
    items="clips",
    about="waveforms of any length, from WAV, FLAC, OGG or MP3 files or arrays (n, samples)",
    augmentations=AUDIO,
    strong=(
        "pitch_shift",
        "time_stretch",
        "time_shift",
        "fade",
        "noise",
        "mixed_noise",
        "time_mask",
    ),
    gentle=("gain", "noise", "time_mask", "polarity"),
    input=AudioInput(),
    encoder="resnet-small",
    shown="spectrogram",
    axes=("pitch", "time"),
    signals=True,
)
