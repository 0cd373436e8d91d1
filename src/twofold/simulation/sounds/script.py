"""What settles every sound of a file, and how sounds are drawn and rendered from it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from twofold.errors import TwofoldError
from twofold.folder import write_atomically

SECONDS = (0.1, 60.0)
"""Shortest and longest sound."""
SAMPLE_RATES = (8000, 96000)
"""Fewest and most samples a second."""

_STREAM = 1  # raised whenever the same seed comes to give other sounds
_TRIES = 50  # draws for one sound before it is given up
_PAIRS, _SOUNDS = 0, 1  # streams of random numbers


@dataclass(frozen=True)
class Column:
    """What is known of each sound under one name: classes, numbers of a unit, or else codes."""

    classes: tuple[str, ...] = ()
    """Names of the classes, by number."""
    unit: str = ""
    """Of the numbers."""


class Script(Protocol):
    """What settles every sound of a file.

    The first two columns are balanced; all others are drawn at random.
    """

    @property
    def subject(self) -> str:
        """What the sounds are called."""

    @property
    def seconds(self) -> float:
        """Length of a sound."""

    @property
    def sample_rate(self) -> int:
        """Samples a second."""

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """What is known of each sound, in the order that `draw` gives it."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All settings and versions that the sounds follow from."""

    def draw(self, first: int, second: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A sound of a class each of the first two columns: the value of every column."""

    def play(self, drawn: tuple[int, ...]) -> np.ndarray | None:
        """The sound `(samples,)`, full scale 1; None if it is silent or too long."""


@dataclass(frozen=True)
class Sounds:
    """Some sounds, and what is known of each."""

    samples: np.ndarray
    """int16 `(n, samples)`."""
    known: np.ndarray
    """int16 `(n, columns)`."""
    redrawn: np.ndarray
    """How many draws before were silent or too long `(n,)`."""
    clipped: np.ndarray
    """Whether any sample lay beyond full scale `(n,)`."""

    def __len__(self) -> int:
        return len(self.samples)

    def head(self, n: int) -> Sounds:
        """The first `n` of them."""
        return Sounds(**{name: values[:n] for name, values in vars(self).items()})

    def save(self, path: Path) -> None:
        """Writes them to a .npz file, all of it or nothing."""
        packed = io.BytesIO()
        np.savez(packed, **vars(self))
        write_atomically(path, packed.getvalue())


def load(path: Path) -> Sounds | None:
    """Sounds of a file that `Sounds.save` wrote; None if there is none that can be read."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return Sounds(**{name: arrays[name] for name in Sounds.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def check_settings(seconds: float, sample_rate: int, seed: int) -> None:
    """Refuses settings that make no sounds."""
    for name, value, (low, high) in (
        ("seconds", seconds, SECONDS),
        ("sample_rate", sample_rate, SAMPLE_RATES),
    ):
        if not low <= value <= high:
            raise TwofoldError(f"{name} is {value:g}; it must be from {low:g} to {high:g}")
    if seed < 0:
        raise TwofoldError(f"seed is {seed}; it must be >= 0")


def sample_count(script: Script) -> int:
    """Samples of a sound."""
    return round(script.seconds * script.sample_rate)


def digest(script: Script) -> str:
    """Names what a script makes."""
    facts = {"subject": script.subject, "stream": _STREAM, **script.facts}
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def pairs(script: Script, rows: range) -> np.ndarray:
    """The classes of the first two columns of some sounds, `(n, 2)`.

    In every stretch of as many sounds as the first column has classes, each is there once; in as
    many of these as the second has classes, so is each pair.
    """
    first, second = (len(column.classes) for column in [*script.columns.values()][:2])
    cycle = first * second
    numbers = range(rows.start // cycle, -(-rows.stop // cycle))
    cycles = [
        _cycle(first, second, np.random.default_rng((script.seed, _PAIRS, number)))
        for number in numbers
    ]
    skipped = rows.start - cycle * numbers.start
    return np.concatenate(cycles)[skipped : skipped + len(rows)]


def render(script: Script, rows: range) -> Sounds:
    """Draws and plays some sounds, each by random numbers of its own.

    Raises:
        TwofoldError: If draw upon draw of one sound is silent or too long.
    """
    count = len(rows)
    samples = np.zeros((count, sample_count(script)), np.int16)
    known = np.zeros((count, len(script.columns)), np.int16)
    redrawn, clipped = np.zeros(count, np.int16), np.zeros(count, bool)
    for place, (row, pair) in enumerate(zip(rows, pairs(script, rows).tolist(), strict=True)):
        rng = np.random.default_rng((script.seed, _SOUNDS, row))
        drawn, sound, redrawn[place] = _played(script, pair, rng)
        samples[place] = (32767 * sound.clip(-1, 1)).round()
        known[place], clipped[place] = drawn, np.abs(sound).max() > 1
    return Sounds(samples, known, redrawn, clipped)


def _cycle(first: int, second: int, rng: np.random.Generator) -> np.ndarray:
    """Every pair of classes once, the first in turns `(first * second, 2)`."""
    turns = rng.permuted(np.tile(np.arange(first), (second, 1)), axis=1)
    partners = rng.permuted(np.tile(np.arange(second), (first, 1)), axis=1)
    return np.stack([turns, partners[turns, np.arange(second)[:, None]]], axis=-1).reshape(-1, 2)


def _played(
    script: Script, pair: list[int], rng: np.random.Generator
) -> tuple[tuple[int, ...], np.ndarray, int]:
    """A draw of two classes that can be heard, its sound, and how many before it could not."""
    for again in range(_TRIES):
        drawn = script.draw(pair[0], pair[1], rng)
        sound = script.play(drawn)
        if sound is not None:
            return drawn, sound, again
    named = zip(script.columns.items(), pair, strict=False)
    words = ", ".join(f"{name} {column.classes[number]}" for (name, column), number in named)
    raise TwofoldError(
        f"{words}: {_TRIES} draws are all silent or longer than {script.seconds:g} s; "
        "leave it out, or give more seconds"
    )
