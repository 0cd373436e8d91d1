"""From samples that lie one after another to clips, read as windows of one length."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twofold.clips import Clips
from twofold.domains.audio.decode import check_rate
from twofold.errors import TwofoldError

_LEAST_WINDOW, _MOST_WINDOW = 16, 2**22


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How recordings are read; see `open_data`."""

    sample_rate: int | None = None
    """Samples a second; the data's own if None."""
    seconds: float | None = None
    """Length of a window; that of the clips if None."""
    window: int | None = None
    """The same in samples, if others have decided."""
    mono: bool = False
    """Whether several channels become one, even where all clips have as many."""
    whole: bool = True
    """Whether samples may stay int16."""

    def __post_init__(self) -> None:
        if self.sample_rate is not None:
            check_rate("sample_rate", self.sample_rate)
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise TwofoldError(f"seconds is {self.seconds:g}; a window must be longer than 0 s")

    @property
    def as_stored(self) -> tuple[int | None, bool, bool]:
        """What changes the samples themselves."""
        return self.sample_rate, self.mono, self.whole


def reading_like(clips: Clips) -> Reading:
    """How recordings are read to be like others."""
    return Reading(
        sample_rate=clips.sample_rate,
        window=clips.window,
        mono=clips.shape[1] == 1,
        whole=clips.dtype == np.int16,
    )


def windowed(
    samples: np.ndarray, lengths: np.ndarray, sample_rate: int, reading: Reading
) -> tuple[Clips, tuple[str, ...]]:
    """Clips of samples `(total, channels)`, and what to remark on their windows."""
    window, notes = _window(lengths, sample_rate, reading)
    if not _LEAST_WINDOW <= window <= _MOST_WINDOW:
        raise TwofoldError(
            f"a window of {window / sample_rate:.6g} s is {window:,} samples; it must have "
            f"{_LEAST_WINDOW} to {_MOST_WINDOW:,}: give another length, such as --seconds 1"
        )
    if short := int((lengths < window).sum()):
        notes += (f"shorter than a window, followed by silence: {short:,}",)
    starts = np.cumsum(lengths) - lengths
    return Clips(samples, starts, lengths, window=window, sample_rate=sample_rate), notes


def _window(lengths: np.ndarray, sample_rate: int, reading: Reading) -> tuple[int, tuple[str, ...]]:
    """Samples of a window: as given, or the length that the clips share, or their median."""
    if reading.window is not None:
        return reading.window, ()
    if reading.seconds is not None:
        return round(reading.seconds * sample_rate), ()
    median = int(np.median(lengths))
    if (lengths == median).all():
        return median, ()
    return median, (f"windows as long as the median clip, {median / sample_rate:.3g} s",)


def level_notes(least: np.ndarray, most: np.ndarray, *, whole: bool) -> tuple[str, ...]:
    """What to remark on clips whose samples lie between these `(n,)`.

    Args:
        least: Lowest sample of each clip.
        most: Highest sample of each clip.
        whole: Whether samples are int16, which nothing can exceed.
    """
    silent = int((least == most).sum())
    loud = 0 if whole else int(((least < -1) | (most > 1)).sum())
    notes = (f"silent clips: {silent:,}",) * (silent > 0)
    return notes + (f"clips beyond full scale, kept as they are: {loud:,}",) * (loud > 0)


def rate_text(rate: int) -> str:
    """A sample rate as it is spoken of.

    Example:
        >>> rate_text(44_100)
        '44.1 kHz'
    """
    return f"{rate / 1000:g} kHz"
