"""One file of sound to one array: formats, damage, channels, sample rates."""

from __future__ import annotations

import os
import re
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.domains.audio.names import FOREIGN_SUFFIXES
from twofold.errors import TwofoldError

MOST_CHANNELS = 16
_RATES = (1_000, 768_000)
_MOST_SAMPLES = 2**29
_BLOCK = 2**18
_WHOLE = {"PCM_16", "PCM_U8", "PCM_S8"}  # what int16 holds without a loss
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's number of frames where a header says none
_STREAMED = 2**31 - 2**16  # from here up, a size in a header is a guess at what was to come
_OGG_PAGE = 2**16  # no page of Ogg is longer
_LAST_PAGE = 4  # the flag in its sixth byte
_SIZE = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)


class Header(NamedTuple):
    """What a file says of itself."""

    sample_rate: int
    channels: int
    frames: int
    """Samples of one channel."""
    whole: bool
    """Whether its samples are whole numbers of 16 bits or fewer."""


class Decoded(NamedTuple):
    """What a file holds."""

    samples: np.ndarray
    """`(frames, channels)`."""
    least: float
    """The lowest sample."""
    most: float
    """The highest."""


def need(library: str) -> Any:
    """A library that files of sound need.

    Raises:
        TwofoldError: If it is not installed.
    """
    try:
        return import_module(library)
    except (ModuleNotFoundError, OSError):  # soundfile is there, and the library it wraps is not
        raise TwofoldError(
            f"recordings need {library}, which is not installed: pip install 'twofold[audio]'"
        ) from None


def check_rate(what: str, rate: Any) -> int:
    """A sample rate that there can be, as a whole number."""
    least, most = _RATES
    if not isinstance(rate, Real) or not least <= float(rate) <= most or float(rate) % 1:
        raise TwofoldError(f"{what} is {rate} Hz; it must be whole and in [{least:,}, {most:,}]")
    return int(float(rate))


def read_header(path: Path) -> Header:
    """Rate, channels and length of a recording that can be decoded, without decoding it."""
    if path.suffix.lower() in FOREIGN_SUFFIXES:
        raise TwofoldError("this format is not decoded; convert it to FLAC")
    with _opened(path) as file:
        rate, channels, frames = file.samplerate, file.channels, file.frames
        check_rate("its sample rate", rate)
        if channels > MOST_CHANNELS:
            raise TwofoldError(f"{channels} channels; {MOST_CHANNELS} at most are read")
        if frames == _UNKNOWN_LENGTH:
            raise TwofoldError("its header does not say how long it is; convert it again")
        if frames * channels > _MOST_SAMPLES:
            raise TwofoldError(
                f"its header promises {frames * channels:,} samples; {_MOST_SAMPLES:,} at most "
                "are read: cut it into shorter files"
            )
        if _ends_early(path, file):
            raise TwofoldError("it ends before its samples do (truncated)")
        if not frames:
            raise TwofoldError("it holds no samples")
        return Header(rate, channels, frames, file.subtype in _WHOLE)


def decode(path: Path, *, sample_rate: int, channels: int, whole: bool) -> Decoded:
    """The samples of a recording.

    Args:
        path: A file whose header was read.
        sample_rate: Samples a second of the result.
        channels: Channels of the result: those of the file, or 1, which is their mean.
        whole: Whether the result is int16, of a file that loses nothing by it, or else float32.
    """
    samples, own = _samples(path, "int16" if whole else "float32")
    if not np.isfinite(samples).all():
        raise TwofoldError("it holds NaN or infinite samples")
    if channels != samples.shape[1]:
        samples = samples.mean(axis=1, keepdims=True)
    if own != sample_rate:
        samples = resampled(samples, own, sample_rate)
    if not len(samples):
        raise TwofoldError(f"too short for a single sample at {sample_rate:,} Hz")
    return Decoded(samples, float(samples.min()), float(samples.max()))


def resampled(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Samples `(frames, channels)` at another rate, in float32 of full scale 1."""
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / 2**15
    return np.asarray(need("soxr").resample(samples, own, rate, quality="HQ"))


def _samples(path: Path, kind: str) -> tuple[np.ndarray, int]:
    """All samples `(frames, channels)`, and how many a second there are."""
    blocks = []
    with _opened(path) as file:
        # A header may promise any number of samples; only those that come take memory.
        try:
            while len(block := file.read(_BLOCK, dtype=kind, always_2d=True)):
                blocks.append(block)
        except RuntimeError as error:
            raise _damaged(error) from None
        found = sum(map(len, blocks))
        # The length of an MP3 file is an estimate.
        if found < file.frames * (0.95 if file.format == "MP3" else 1):
            raise TwofoldError(f"it ends after {found:,} of {file.frames:,} samples (truncated)")
        return np.concatenate(blocks), file.samplerate


def _opened(path: Path) -> Any:
    """The file as soundfile reads it."""
    with path.open("rb") as file:  # what the system refuses, it explains better than the library
        if not file.read(1):
            raise TwofoldError("the file is empty")
    name = os.fsencode(path) if os.name == "posix" else path  # names need not be valid Unicode
    try:
        return need("soundfile").SoundFile(name)
    except RuntimeError as error:
        raise _damaged(error) from None


def _damaged(error: RuntimeError) -> TwofoldError:
    said = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
    if said in ("Format not recognised", "") or "regular file" in said:  # which it is: it was read
        return TwofoldError("not a recording")
    return TwofoldError(f"damaged ({said})")


def _ends_early(path: Path, file: Any) -> bool:
    """Whether a file is shorter than it says where the library makes do with what there is."""
    if file.format == "OGG":
        with path.open("rb") as raw:
            raw.seek(max(0, path.stat().st_size - _OGG_PAGE))
            end = raw.read()
        page = end.rfind(b"OggS")
        return page < 0 or not end[page + 5] & _LAST_PAGE
    sizes = _SIZE.search(file.extra_info)
    return sizes is not None and int(sizes[2]) < int(sizes[1]) < _STREAMED
