"""Sounds that cost nothing: tones of two classes by three, in this process."""

from dataclasses import dataclass

import numpy as np
import pytest

from twofold.simulation.sounds.script import Column


@dataclass(frozen=True, kw_only=True)
class Tones:
    """Tones; those of a voice that is mute are silent."""

    seed: int = 0
    mute: tuple[int, ...] = ()
    loud: float = 0.5
    seconds: float = 0.1
    sample_rate: int = 8000
    subject = "tones"

    @property
    def columns(self):
        return {
            "shape": Column(("sine", "square")),
            "room": Column(("a", "b", "c")),
            "voice": Column(),
            "pitch": Column(unit="semitones"),
        }

    @property
    def facts(self):
        return {**vars(self)}

    def draw(self, first, second, rng):
        return first, second, int(rng.integers(4)), int(rng.integers(40, 80))

    def play(self, drawn):
        shape, room, voice, pitch = drawn
        if voice in self.mute:
            return None
        wave = np.sin(np.arange(800) * 2 ** (pitch / 12) / 100 + room)
        return self.loud * (np.sign(wave) if shape else wave).astype(np.float32)


@pytest.fixture
def tones():
    """A maker of scripts: `tones(seed=0, mute=(), loud=0.5)`."""
    return Tones


@pytest.fixture
def rendered(monkeypatch):
    """Renders in this process: the blocks that were made, in order, by their rows.

    Set `rendered.limit` to be interrupted once that many are made.
    """
    from twofold.simulation.sounds import blocks

    class Made(list):
        limit = None

    made = Made()

    def here(work, jobs, *, workers, done):
        for job in jobs:
            if made.limit is not None and len(made) >= made.limit:
                raise KeyboardInterrupt
            made.append(job.rows)
            done(work(job))

    monkeypatch.setattr(blocks, "in_processes", here)
    return made
