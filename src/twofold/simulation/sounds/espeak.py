"""Single words spoken by espeak-ng, in this process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.errors import TwofoldError

VOLUME = 30
"""Of espeak's 100, at which half of the voices are clipped by espeak itself."""

_SYNCHRONOUS, _NO_EXIT = 2, 0x8000  # of speak_lib.h, as are all numbers below
_SPEED, _VOLUME, _PITCH = 1, 2, 3
_UTF8 = 1
_SEED = 1  # of what is noise in a voice
_QUIET = 1e-3  # largest sample that nobody hears
_CHUNK_MS = 1000
_PACKAGES = ("espeakng-loader", "soxr")
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Utterance(NamedTuple):
    """A word as it is spoken."""

    word: str
    accent: str
    """A language of espeak-ng, such as en-us."""
    voice: str
    """A variant of espeak-ng, such as f3."""
    pitch: int
    """From 0 to 99."""
    speed: int
    """Words a minute, from 80 to 450."""


def versions() -> dict[str, str]:
    """Versions of what speaks and of what resamples.

    Raises:
        TwofoldError: If one of them is not installed.
    """
    try:
        return {name: version(name) for name in _PACKAGES}
    except PackageNotFoundError as error:
        raise TwofoldError(
            f"simulating speech needs {error.name}: pip install 'twofold[sounds]'"
        ) from None


def every_voice() -> list[str]:
    """Names of all voices."""
    versions()
    from espeakng_loader import get_data_path

    return sorted(path.name for path in Path(get_data_path(), "voices", "!v").iterdir())


def speak(said: Utterance, *, sample_rate: int) -> np.ndarray:
    """A word `(samples,)`, full scale 1, without silence around it.

    Raises:
        TwofoldError: If there is no such accent.
    """
    import soxr

    heard: list[np.ndarray] = []

    def hear(wave: Any, count: int, _events: Any) -> int:
        if wave and count > 0:
            heard.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    with _espeak() as (espeak, own_rate):
        listener = _Callback(hear)  # kept while espeak may call it
        espeak.espeak_SetSynthCallback(listener)
        if espeak.espeak_SetVoiceByName(f"{said.accent}+{said.voice}".encode()):
            raise TwofoldError(f"espeak-ng has no accent {said.accent!r}")
        for what, value in ((_SPEED, said.speed), (_VOLUME, VOLUME), (_PITCH, said.pitch)):
            espeak.espeak_SetParameter(what, value, 0)
        text = said.word.encode() + b"\0"
        espeak.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
        espeak.espeak_Synchronize()
    wave = np.concatenate(heard or [np.zeros(0, np.int16)]).astype(np.float32) / 2**15
    return _trimmed(np.asarray(soxr.resample(wave, own_rate, sample_rate)))


def _trimmed(wave: np.ndarray) -> np.ndarray:
    """What lies between the first and the last sample that can be heard."""
    loud = np.flatnonzero(np.abs(wave) > _QUIET)
    return wave[loud[0] : loud[-1] + 1] if len(loud) else wave[:0]


@contextmanager
def _espeak() -> Iterator[tuple[Any, int]]:
    """espeak-ng as if nothing had been said before, and its samples a second.

    Its noise and flutter go on from word to word in variables of the library, so that it is loaded
    anew and chance is set back.
    """
    from espeakng_loader import get_data_path, get_library_path

    process = ctypes.CDLL(None)
    espeak = ctypes.CDLL(get_library_path())
    try:
        data = get_data_path().encode()
        own_rate = espeak.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data, _NO_EXIT)
        process.srand(_SEED)
        espeak.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))  # set by the clock until here
        yield espeak, own_rate
    finally:
        espeak.espeak_Terminate()
        process.dlclose(ctypes.c_void_p(espeak._handle))
