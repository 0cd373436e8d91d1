"""Single notes of instruments: which family, soundfont, key and velocity each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twofold.simulation.sounds.script import Column, check_settings, sample_count
from twofold.simulation.sounds.soundfonts import (
    GAIN,
    Note,
    Soundfont,
    find_soundfonts,
    play_note,
    versions,
)

FAMILIES = (
    "Piano",
    "Chromatic percussion",
    "Organ",
    "Guitar",
    "Bass",
    "Strings",
    "Ensemble",
    "Brass",
    "Reed",
    "Pipe",
    "Synth lead",
    "Synth pad",
)
"""Of General MIDI, eight programs each; those of effects and of drums are left out."""

PITCHES = (36, 84)
"""From C2 to B5, the end not included."""
VELOCITIES = (60, 120)
"""From medium to hard, the end not included."""

_PROGRAMS = 8  # of a family
_PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_SILENT = 0.004  # largest sample of a note that nobody hears


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What settles every note of a file."""

    soundfonts: tuple[Soundfont, ...]
    seconds: float
    sample_rate: int
    seed: int
    subject = "notes"

    @classmethod
    def of(
        cls, soundfonts: Sequence[str | Path], *, seconds: float, sample_rate: int, seed: int
    ) -> Notes:
        """Notes of some soundfonts.

        Raises:
            TwofoldError: For a missing soundfont, or a length, rate or seed out of range.
        """
        check_settings(seconds, sample_rate, seed)
        found = find_soundfonts(soundfonts)
        return cls(soundfonts=found, seconds=seconds, sample_rate=sample_rate, seed=seed)

    @property
    def columns(self) -> Mapping[str, Column]:
        """What is known of each note."""
        return {
            "family": Column(FAMILIES),
            "soundfont": Column(tuple(one.name for one in self.soundfonts)),
            "program": Column(),
            "pitch": Column(unit="semitones"),
            "pitch_class": Column(_PITCH_CLASSES),
            "velocity": Column(unit="of 127"),
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        """All settings and versions that the notes follow from."""
        return {
            "soundfonts": {one.name: one.sha256 for one in self.soundfonts},
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "seed": self.seed,
            "gain": GAIN,
            **versions(),
        }

    def draw(self, first: int, second: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A note of a family and a soundfont."""
        program = _PROGRAMS * first + int(rng.integers(_PROGRAMS))
        pitch, velocity = int(rng.integers(*PITCHES)), int(rng.integers(*VELOCITIES))
        return first, second, program, pitch, pitch % len(_PITCH_CLASSES), velocity

    def play(self, drawn: tuple[int, ...]) -> np.ndarray | None:
        """The note, unless nobody would hear it."""
        _, soundfont, program, pitch, _, velocity = drawn
        note = Note(self.soundfonts[soundfont].path, program, pitch, velocity)
        sound = play_note(note, samples=sample_count(self), sample_rate=self.sample_rate)
        return None if sound is None or np.abs(sound).max() < _SILENT else sound
