"""Soundfonts, and single notes of them rendered by FluidSynth."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twofold.errors import TwofoldError

GAIN = 0.8
"""What FluidSynth multiplies every note by; its own 0.2 leaves notes four times as low."""

PACKAGES = {
    "FluidR3_GM.sf2": "fluid-soundfont-gm",
    "TimGM6mb.sf2": "timgm6mb-soundfont",
    "sf_GMbank.sf2": "csound-soundfont",
}
"""Soundfonts that are taken where none are named, and the package of Debian that holds each."""

_FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/soundfonts"))
_HELD = 0.75  # of a clip the key is held down
_SETTINGS = {
    "synth.reverb.active": 0,
    "synth.chorus.active": 0,
    "synth.polyphony": 32,  # voices; a note has few
}
_CHANNELS = 16  # the least that FluidSynth has
_BLOCK = 64  # samples that FluidSynth makes at a time
_LOGGED = range(4)  # panic, errors, warnings, information


class Soundfont(NamedTuple):
    """A file of sampled instruments."""

    name: str
    """Of its file, without the ending."""
    path: str
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Soundfont:
        """Of a file.

        Raises:
            TwofoldError: If it is no soundfont.
        """
        try:
            with path.open("rb") as file:
                start = file.read(12)
                file.seek(0)
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TwofoldError(f"soundfont {path}: {error.strerror}") from None
        if start[:4] != b"RIFF" or start[8:] != b"sfbk":
            raise TwofoldError(f"{path} is no soundfont; give files that end in .sf2 or .sf3")
        return cls(path.stem, str(path.absolute()), sha256)


class Note(NamedTuple):
    """One key of one instrument."""

    soundfont: str
    """Path of the file."""
    program: int
    """Of General MIDI, from 0."""
    pitch: int
    """MIDI note: 60 is the middle C."""
    velocity: int
    """How hard the key is struck, from 1 to 127."""


def find_soundfonts(paths: Sequence[str | Path] = ()) -> tuple[Soundfont, ...]:
    """The soundfonts of some paths; those of `PACKAGES` if there are none.

    Raises:
        TwofoldError: If one is missing or no soundfont, or two have the same name.
    """
    places = [Path(path) for path in paths] or _installed()
    names = [place.stem for place in places]
    if len(set(names)) < len(names):
        raise TwofoldError(f"soundfonts are {', '.join(names)}; each needs a name of its own")
    return tuple(Soundfont.read(place) for place in places)


def versions() -> dict[str, str]:
    """Versions of FluidSynth and of what calls it.

    Raises:
        TwofoldError: If one of them is not installed.
    """
    name = _library().fluid_version_str()
    return {"fluidsynth": name.decode(), "pyfluidsynth": version("pyfluidsynth")}


def play_note(note: Note, *, samples: int, sample_rate: int) -> np.ndarray | None:
    """A note held for three quarters of a clip, `(samples,)`, without reverb and chorus.

    A synthesiser of its own plays it: one that played before fades in from where it stopped.

    Returns:
        The mean of left and right; None if the soundfont has no such instrument.
    """
    import fluidsynth

    library = _library()
    soundfont = _bank(note.soundfont)
    synth = fluidsynth.Synth(GAIN, float(sample_rate), _CHANNELS, **_SETTINGS)
    number = library.fluid_synth_add_sfont(synth.synth, soundfont)
    try:
        if synth.program_select(0, number, 0, note.program) != fluidsynth.FLUID_OK:
            return None
        held = round(_HELD * samples / _BLOCK) * _BLOCK
        synth.noteon(0, note.pitch, note.velocity)
        on = _samples(synth, held)
        synth.noteoff(0, note.pitch)
        return np.concatenate([on, _samples(synth, samples - held)])
    finally:
        library.fluid_synth_remove_sfont(synth.synth, soundfont)
        synth.delete()


def _samples(synth: Any, count: int) -> np.ndarray:
    """The next samples `(count,)`, the mean of left and right."""
    sides = np.zeros((2, count), np.float32)
    left, right = (side.ctypes.data for side in sides)
    _library().fluid_synth_write_float(synth.synth, count, left, 0, 1, right, 0, 1)
    mean: np.ndarray = sides.mean(axis=0)
    return mean


def _installed() -> list[Path]:
    """The soundfonts of `PACKAGES`."""
    found = {
        name: next((folder / name for folder in _FOLDERS if (folder / name).exists()), None)
        for name in PACKAGES
    }
    missing = " ".join(PACKAGES[name] for name, path in found.items() if path is None)
    if missing:
        raise TwofoldError(
            f"soundfonts are missing: apt-get install {missing}, or name others by --soundfonts"
        )
    return [path for path in found.values() if path is not None]


@cache
def _library() -> Any:
    """FluidSynth, with what pyfluidsynth leaves out, and silent."""
    try:
        with redirect_stdout(None):  # it introduces itself where $CI is set
            import fluidsynth
    except ModuleNotFoundError:
        raise TwofoldError(
            "simulating notes needs pyfluidsynth: pip install 'twofold[sounds]'"
        ) from None
    except ImportError:
        raise TwofoldError(
            "simulating notes needs the library FluidSynth: apt-get install libfluidsynth3"
        ) from None
    library, handle, number = fluidsynth._fl, ctypes.c_void_p, ctypes.c_int
    library.fluid_version_str.restype = ctypes.c_char_p
    library.fluid_synth_get_sfont.argtypes = (handle, ctypes.c_uint)
    library.fluid_synth_get_sfont.restype = handle
    library.fluid_synth_add_sfont.argtypes = (handle, handle)
    library.fluid_synth_remove_sfont.argtypes = (handle, handle)
    side = (handle, number, number)
    library.fluid_synth_write_float.argtypes = (handle, number, *side, *side)
    library.fluid_set_log_function.argtypes = (number, handle, handle)
    for level in _LOGGED:
        library.fluid_set_log_function(level, None, None)
    return library


@cache
def _bank(path: str) -> int:
    """A soundfont in memory, which every synthesiser of this process reads."""
    import fluidsynth

    library = _library()
    keeper = fluidsynth.Synth(GAIN, 44100.0, _CHANNELS, **_SETTINGS)
    if keeper.sfload(path) == fluidsynth.FLUID_FAILED:
        raise TwofoldError(f"FluidSynth cannot read the soundfont {path}")
    soundfont: int = library.fluid_synth_get_sfont(keeper.synth, 0)
    return soundfont
