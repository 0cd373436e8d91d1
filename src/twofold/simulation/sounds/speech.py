"""Single words: who says each of them, how high and how fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold.errors import TwofoldError, unknown
from twofold.simulation.sounds.espeak import VOLUME, Utterance, every_voice, speak, versions
from twofold.simulation.sounds.script import Column, check_settings, sample_count

WORDS = (
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow"),
    *("backward", "forward", "follow", "learn", "visual"),
)
"""Of Speech Commands: Warden, 2018, arXiv:1804.03209."""

ACCENTS = {
    "en": "Great Britain",
    "en-gb-x-rp": "Received Pronunciation",
    "en-gb-x-gbclan": "Lancaster",
    "en-gb-x-gbcwmd": "West Midlands",
    "en-gb-scotland": "Scotland",
    "en-us": "America",
    "en-us-nyc": "New York City",
    "en-029": "Caribbean",
}
"""By espeak's names, where each is spoken."""

PITCHES = (20, 80)
"""Of espeak's 0 to 99, the end not included."""
SPEEDS = (120, 220)
"""Words a minute, the end not included."""


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What settles every word of a file."""

    words: tuple[str, ...]
    accents: tuple[str, ...]
    voices: tuple[str, ...]
    seconds: float
    sample_rate: int
    seed: int
    subject = "words"

    @classmethod
    def of(
        cls,
        words: Sequence[str] = (),
        accents: Sequence[str] = (),
        voices: Sequence[str] = (),
        *,
        seconds: float,
        sample_rate: int,
        seed: int,
    ) -> Speech:
        """Words in some accents and voices, in all if none are named.

        Raises:
            TwofoldError: For an accent or a voice that espeak-ng lacks, a name that comes twice, or
                a length, rate or seed out of range.
        """
        check_settings(seconds, sample_rate, seed)
        return cls(
            words=_named("words", words, words or WORDS),
            accents=_named("accents", accents, ACCENTS),
            voices=_named("voices", voices, every_voice()),
            seconds=seconds,
            sample_rate=sample_rate,
            seed=seed,
        )

    @property
    def columns(self) -> Mapping[str, Column]:
        """What is known of each word."""
        return {
            "word": Column(self.words),
            "accent": Column(self.accents),
            "voice": Column(self.voices),
            "pitch": Column(unit="of 99"),
            "speed": Column(unit="words/min"),
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        """All settings and versions that the words follow from."""
        return {**vars(self), "volume": VOLUME, **versions()}

    def draw(self, first: int, second: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A word in an accent, as anyone says it."""
        voice = int(rng.integers(len(self.voices)))
        return first, second, voice, int(rng.integers(*PITCHES)), int(rng.integers(*SPEEDS))

    def play(self, drawn: tuple[int, ...]) -> np.ndarray | None:
        """The word in the middle of a clip, if it is heard and has room."""
        word, accent, voice, pitch, speed = drawn
        said = Utterance(self.words[word], self.accents[accent], self.voices[voice], pitch, speed)
        sound, room = speak(said, sample_rate=self.sample_rate), sample_count(self)
        if not 0 < len(sound) <= room:
            return None
        before = (room - len(sound)) // 2
        return np.pad(sound, (before, room - len(sound) - before))


def _named(what: str, names: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Those of all that are named, or all of them."""
    choices = tuple(known)
    for name in names:
        if name not in choices:
            raise unknown(what.removesuffix("s"), name, choices)
    if len(set(names)) < len(names):
        raise TwofoldError(f"{what} are {', '.join(names)}; name each once")
    return tuple(names) or choices
