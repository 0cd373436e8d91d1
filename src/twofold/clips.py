"""Recordings of any length, read as windows of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.errors import TwofoldError


class Clips:
    """Windows `(channels, 1, window)` of recordings, each as long as it is.

    The window of a clip is its middle one; training draws others, and evaluation reads all of
    them. What is shorter than the window is followed by silence.

    Args:
        samples: All recordings one after another, `(total, channels)`; a memory map is welcome.
        starts: Where each recording begins, int64 `(n,)`.
        lengths: How many samples it has, int64 `(n,)`, > 0.
        window: Samples of a window, > 0.
        sample_rate: Samples a second.

    Example:
        >>> clips = Clips(
        ...     np.arange(1, 11, dtype=np.int16)[:, None],
        ...     np.array([0, 7]),
        ...     np.array([7, 3]),
        ...     window=4,
        ...     sample_rate=16_000,
        ... )
        >>> clips.shape, clips[0].tolist(), clips[1].tolist()
        ((2, 1, 1, 4), [[[2, 3, 4, 5]]], [[[8, 9, 10, 0]]])
        >>> windows, owners = clips.windows()
        >>> windows[:][:, 0, 0].tolist(), owners.tolist()
        ([[1, 2, 3, 4], [4, 5, 6, 7], [8, 9, 10, 0]], [0, 0, 1])
    """

    ndim = 4

    def __init__(
        self,
        samples: np.ndarray,
        starts: np.ndarray,
        lengths: np.ndarray,
        *,
        window: int,
        sample_rate: int,
    ) -> None:
        self.samples, self.starts, self.lengths = samples, starts, lengths
        self.window, self.sample_rate = window, sample_rate

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Clips, channels, one row, and the samples of a window."""
        return len(self.starts), self.samples.shape[1], 1, self.window

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are stored in."""
        return self.samples.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of a sample."""
        return self.samples.dtype.itemsize

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: Any, /) -> np.ndarray:
        """The middle window of one clip by its number; or of those of a slice or `(n,)`."""
        rows = np.arange(len(self))[index]
        found = self._read(np.atleast_1d(rows), self._room()[np.atleast_1d(rows)] // 2)
        return found if np.ndim(rows) else found[0]

    def drawn(self, index: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """One window of each clip of `index`, stored as it is, `(n, channels, 1, window)`.

        Args:
            index: Which clips `(n,)`.
            shares: Uniform numbers `(n,)` in [0, 1), which say where each begins.
        """
        return self._read(index, np.floor(shares * (self._room()[index] + 1)).astype(np.int64))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def select(self, index: np.ndarray | slice) -> Clips:
        """Those at `index`, in that order, of the same samples."""
        return self._of(self.starts[index], self.lengths[index])

    def windows(self) -> tuple[Clips, np.ndarray]:
        """As few windows as hold every sample, evenly spread, and the clip that each is of."""
        counts = -(-self.lengths // self.window)
        owners = np.repeat(np.arange(len(self)), counts)
        number = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        offset = number * self._room()[owners] // np.maximum(counts[owners] - 1, 1)
        lengths = np.minimum(self.lengths[owners], self.window)
        return self._of(self.starts[owners] + offset, lengths), owners

    def _read(self, index: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """The windows that begin so many samples after their clips do."""
        first, count = self.starts[index] + offset, np.minimum(self.lengths[index], self.window)
        found = np.zeros((len(index), self.window, self.samples.shape[1]), self.dtype)
        for window, start, length in zip(found, first, count, strict=True):
            window[:length] = self.samples[start : start + length]
        return np.ascontiguousarray(found.transpose(0, 2, 1)[:, :, None])

    def _room(self) -> np.ndarray:
        """By how much each clip is longer than a window."""
        room: np.ndarray = np.maximum(self.lengths - self.window, 0)
        return room

    def _of(self, starts: np.ndarray, lengths: np.ndarray) -> Clips:
        return Clips(
            self.samples, starts, lengths, window=self.window, sample_rate=self.sample_rate
        )


def joined(parts: Sequence[Clips]) -> Clips:
    """Clips of several recordings one after another; copied unless they share their samples.

    Example:
        >>> clips = clips_of(np.arange(6).reshape(2, 3), 1, window=3, sample_rate=8000)
        >>> joined([clips.select(np.array([1])), clips])[:][:, 0, 0].tolist()
        [[3, 4, 5], [0, 1, 2], [3, 4, 5]]
    """
    first = parts[0]
    lengths = np.concatenate([part.lengths for part in parts])
    if all(part.samples is first.samples for part in parts):
        samples, starts = first.samples, np.concatenate([part.starts for part in parts])
    else:
        pieces = [
            p.samples[s : s + n] for p in parts for s, n in zip(p.starts, p.lengths, strict=True)
        ]
        samples, starts = np.concatenate(pieces), np.cumsum(lengths) - lengths
    return Clips(samples, starts, lengths, window=first.window, sample_rate=first.sample_rate)


def clips_of(array: np.ndarray, channels: int, *, window: int, sample_rate: int) -> Clips:
    """Signals `(n, samples)` of one channel, or `(n, channels, samples)`, as clips.

    Raises:
        TwofoldError: If the array has another shape, or no samples.

    Example:
        >>> clips_of(np.zeros((2, 3, 50)), 3, window=20, sample_rate=8000).shape
        (2, 3, 1, 20)
    """
    signals = array[:, None] if array.ndim == 2 else array
    signals = signals[:, :, 0] if signals.ndim == 4 and signals.shape[2] == 1 else signals
    if signals.ndim != 3 or signals.shape[1] != channels or 0 in signals.shape:
        raise TwofoldError(
            f"clips have shape {array.shape}; this encoder reads (n, {channels}, samples)"
            + (" or (n, samples)" if channels == 1 else "")
        )
    count, _, length = signals.shape
    return Clips(
        np.ascontiguousarray(signals.transpose(0, 2, 1)).reshape(-1, channels),
        np.arange(count) * length,
        np.full(count, length),
        window=window,
        sample_rate=sample_rate,
    )
