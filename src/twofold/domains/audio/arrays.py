"""Clips in arrays: in memory, in files, and lists of arrays of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.clips import Clips
from twofold.domains.array_files import (
    Entry,
    Keys,
    choose,
    file_attributes,
    named_arrays,
    read_npy,
    usual,
)
from twofold.domains.arrays import LabelColumn, Opened, Part, as_sources, is_array, to_numpy
from twofold.domains.audio.decode import MOST_CHANNELS, check_rate, resampled
from twofold.domains.audio.windows import (
    Reading,
    level_notes,
    rate_text,
    reading_like,
    windowed,
)
from twofold.domains.cache import new_items
from twofold.errors import TwofoldError

_LAYOUTS = {2: "(n, samples)", 3: "(n, channels, samples)"}
_RATES = ("sample rate", "sr", "rate")
_CHUNK_SAMPLES = 2**24


class _Packed(NamedTuple):
    samples: np.ndarray
    """All clips one after another, `(total, channels)`."""
    lengths: np.ndarray
    notes: tuple[str, ...] = ()


def open_array(
    data: Any, what: str, labels: LabelColumn | None, reading: Reading, *, name: str = "array"
) -> Opened:
    """Opens an array of clips, or a list of arrays of one clip each."""
    array = to_numpy(data) if is_array(data) else None
    if array is None or array.dtype == object:
        packed = _joined(what, data)
    else:
        packed = _stacked(what, array, array.shape, array.dtype)
    clips, notes = _clips(what, packed, None, reading)
    return Opened(as_sources(name, [Part(what, clips, labels)], domain="audio"), notes)


def open_array_file(path: Path, keys: Keys, labels: LabelColumn | None, reading: Reading) -> Opened:
    """Opens the clips in a .npy, .npz or .h5 file."""
    if path.suffix.lower() == ".npy":
        keys.refuse()
        return open_array(read_npy(path), f"'{path}'", labels, reading, name=path.stem)
    with named_arrays(path) as entries:
        chosen, notes = choose(
            path,
            entries,
            keys._replace(key=keys.key or usual(entries, "x")),
            labels=labels,
            layouts=_LAYOUTS,
            items="clips",
        )
        parts = []
        for found in chosen:
            what, entry = f"{found.items.key} of '{path}'", found.items
            packed = _stacked(what, entry.open(), entry.shape, entry.dtype)
            clips, remarks = _clips(what, packed, _stored_rate(path, entry, entries), reading)
            notes += tuple(remark for remark in remarks if remark not in notes)
            parts.append(Part(what, clips, *found[1:]))
            reading = reading_like(clips)
    return Opened(as_sources(path.stem, parts, domain="audio"), notes)


def _clips(
    what: str, packed: _Packed, stored_rate: int | None, reading: Reading
) -> tuple[Clips, tuple[str, ...]]:
    """Clips as they are to be read, checked, and what to remark on them."""
    rate = stored_rate or reading.sample_rate
    if rate is None:
        raise TwofoldError(
            f"{what} does not say how many samples a second has; give it as sample_rate, such as "
            "--sample-rate 16000"
        )
    samples, lengths, notes = packed
    starts = np.cumsum(lengths) - lengths
    least, most = (
        extreme.reduceat(samples, starts, axis=0).astype(np.float64)
        for extreme in (np.minimum, np.maximum)
    )
    _check_finite(what, np.isfinite(np.hstack([least, most])).all(axis=1))
    notes += level_notes(least.min(1), most.max(1), whole=samples.dtype == np.int16)
    if reading.mono and samples.shape[1] > 1:
        samples = _as_floats(samples).mean(axis=1, keepdims=True)
        notes += (f"mixed down to mono: {len(lengths):,}",)
    if reading.sample_rate not in (None, rate):
        samples, lengths = _at_rate(what, samples, starts, lengths, rate, reading.sample_rate)
        rate = reading.sample_rate
        notes += (f"resampled to {rate_text(rate)}: {len(lengths):,}",)
    if not reading.whole:
        samples = _as_floats(samples)
    clips, remarks = windowed(samples, lengths, rate, reading)
    return clips, notes + remarks


def _stacked(what: str, rows: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Packed:
    """Clips of one length, read some at a time from what gives the rows of a slice."""
    channels, length, channels_last = _layout(what, shape)
    kind = _kind(what, dtype)
    notes = () if kind == dtype else (f"converted from {dtype} to {kind}",)
    lengths = np.full(shape[0], length, dtype=np.int64)
    if channels == 1 and kind == dtype and isinstance(rows, np.ndarray):
        return _Packed(rows.reshape(-1, 1), lengths)
    samples = new_items((shape[0], length, channels), kind)
    step = max(1, _CHUNK_SAMPLES // (length * channels))
    for start in range(0, shape[0], step):
        some = np.asarray(rows[start : start + step])
        if len(shape) == 3 and not channels_last:
            some = some.transpose(0, 2, 1)
        samples[start : start + step] = _cast(some.reshape(-1, length, channels), kind)
    return _Packed(samples.reshape(-1, channels), lengths, notes)


def _joined(what: str, clips: Sequence[Any]) -> _Packed:
    """Clips of their own lengths."""
    arrays = [to_numpy(clip) if is_array(clip) else np.asarray(clip) for clip in clips]
    tracks = []
    for number, array in enumerate(arrays):
        name = f"clip {number:,} of {what}"
        _kind(name, array.dtype)
        channels, length, channels_last = _layout(name, (1, *array.shape))
        tracks.append((array if channels_last else array.T).reshape(length, channels))
    counts = sorted({track.shape[1] for track in tracks})
    if len(counts) != 1:
        found = f"have {' and '.join(map(str, counts))} channels" if counts else "are none"
        raise TwofoldError(f"the clips of {what} {found}; they must have the same")
    samples = np.concatenate(tracks)
    kind = _kind(what, samples.dtype)
    notes = () if kind == samples.dtype else (f"converted from {samples.dtype} to {kind}",)
    lengths = np.array([len(track) for track in tracks], dtype=np.int64)
    return _Packed(_cast(samples, kind), lengths, notes)


def _layout(what: str, shape: tuple[int, ...]) -> tuple[int, int, bool]:
    """How many channels and samples clips have, and whether channels are the last axis."""
    if len(shape) == 2 and 0 not in shape:
        return 1, shape[1], False
    if len(shape) == 3 and 0 not in shape:
        for channels, length, last in ((shape[1], shape[2], False), (shape[2], shape[1], True)):
            if channels <= min(MOST_CHANNELS, length):
                return channels, length, last
    raise TwofoldError(
        f"{what} has shape {shape}; clips must be {' or '.join(_LAYOUTS.values())} with up to "
        f"{MOST_CHANNELS} channels, none of them 0"
    )


def _kind(what: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What samples are kept as."""
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.kind == "i" and dtype.itemsize == 2:
        return np.dtype(np.int16)
    raise TwofoldError(
        f"{what} has type {dtype}; samples are int16 of full scale 32,768 or floating point of "
        "full scale 1: scale them to that, as by (x / 2**31).astype(np.float32) for 32 bits"
    )


def _cast(samples: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    with np.errstate(over="ignore"):  # what becomes infinite is refused with what is so
        return samples.astype(kind, copy=False)


def _check_finite(what: str, finite: Any) -> None:
    if bad := int((~finite).sum()):
        raise TwofoldError(
            f"{what} holds NaN or infinite samples in {bad:,} of {len(finite):,} clips, the first "
            f"in clip {int(finite.argmin()):,}; replace them (np.nan_to_num) or leave those out"
        )


def _as_floats(samples: np.ndarray) -> np.ndarray:
    """Samples in float32 of full scale 1."""
    return samples.astype(np.float32) / 2**15 if samples.dtype == np.int16 else samples


def _at_rate(
    what: str, samples: np.ndarray, starts: np.ndarray, lengths: np.ndarray, own: int, rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clips at another sample rate, and their new lengths."""
    clips = [
        resampled(samples[start : start + length], own, rate)
        for start, length in zip(starts, lengths, strict=True)
    ]
    new = np.array([len(clip) for clip in clips], dtype=np.int64)
    if not new.all():
        raise TwofoldError(
            f"clip {int(new.argmin()):,} of {what} is too short for a single sample at "
            f"{rate_text(rate)}; leave it out"
        )
    return np.concatenate(clips), new


def _stored_rate(path: Path, items: Entry, entries: Sequence[Entry]) -> int | None:
    """Samples a second, as an array of the file, its attribute or that of the clips says."""
    for entry in entries:
        if entry.stem in _RATES and np.prod(entry.shape) == 1 and entry.dtype.kind in "iuf":
            return check_rate(f"{entry.key} of '{path}'", np.ravel(entry.read())[0])
    said = {**file_attributes(path), **items.attributes}.get("sample_rate")
    return None if said is None else check_rate(f"sample_rate of '{path}'", np.ravel(said)[0])
