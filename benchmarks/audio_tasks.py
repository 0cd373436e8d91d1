"""Sounds to learn from without labels, and tasks on sounds that no run has learned from.

Notes of soundfonts and words of a synthesiser are rendered here; the recorded words are those of
Tux Paint (Debian's tuxpaint-stamps-default), spoken by people in nine languages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from twofold.clips import Clips, joined
from twofold.domains import Data, Source
from twofold.domains.audio import open_data
from twofold.simulation import simulate_notes, simulate_speech

SETS = ("notes", "speech", "recorded")
STAMPS = Path("/usr/share/tuxpaint/stamps")
HELD_OUT = {"notes": "sf_GMbank", "speech": 1 / 4, "recorded": 1 / 4}
"""The soundfont that is judged alone; shares of the voices and of the recorded words."""
LANGUAGES = 9  # most recorded words are spoken in so many
SPEEDS = ("slow", "medium", "fast")
WINDOW = {"sample_rate": 16_000, "seconds": 1.0}


class Task(NamedTuple):
    """Something to be told by ear."""

    name: str
    about: str
    needs: bool
    """Whether an encoder must keep what augmentations change."""
    data: Data


def make(folder: Path, n: int, sets: Sequence[str]) -> None:
    """Renders notes and words into `folder`, and lays out as many recordings by language."""
    folder.mkdir(parents=True, exist_ok=True)
    if "notes" in sets and not (folder / "notes.h5").exists():
        simulate_notes(folder / "notes.h5", n=n, quiet=True)
    if "speech" in sets and not (folder / "speech.h5").exists():
        simulate_speech(folder / "speech.h5", n=n, quiet=True)
    if "recorded" in sets:
        _lay_out(folder / "recorded", n)


def _lay_out(folder: Path, n: int) -> None:
    """Links to about `n` recorded words, a folder for each language."""
    files = {file: file.stem.rsplit("_desc_", 1) for file in STAMPS.rglob("*_desc_*.ogg")}
    if not files:
        sys.exit(f"there are no recordings in {STAMPS}: apt-get install tuxpaint-stamps-default")
    chosen = set(sorted({word for word, _ in files.values()})[: n // LANGUAGES])
    for file, (word, language) in files.items():
        link = folder / language / f"{word}.ogg"
        if word in chosen and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)


def tasks(folder: Path) -> list[Task]:
    """What encoders are judged on, each with items to learn a probe from and others to test it.

    Tasks on the same sounds share them.
    """
    found = []
    if (notes := folder / "notes.h5").exists():
        font = labelled(notes, whole(open_data(notes, **WINDOW)), "soundfont")
        held = np.array(font.label_names)[font.labels] == HELD_OUT["notes"]
        family, pitch = (labelled(notes, font, name) for name in ("family", "pitch_class"))
        found.append(Task("family", "instrument family", False, parted(family, held)))
        found.append(Task("pitch", "pitch class", True, parted(pitch, held)))
    if (speech := folder / "speech.h5").exists():
        voice = labelled(speech, whole(open_data(speech, **WINDOW)), "voice")
        held = drawn(voice.labels, HELD_OUT["speech"])
        word, speed = labelled(speech, voice, "word"), by_speed(speech, voice)
        found.append(Task("word", "word", False, parted(word, held)))
        found.append(Task("speed", "speed of speech", True, parted(speed, held)))
    if (folder / "recorded").exists():
        recorded = whole(open_data(folder / "recorded", **WINDOW))
        words = np.unique([Path(name).stem for name in recorded.ids], return_inverse=True)[1]
        held = drawn(words, HELD_OUT["recorded"])
        found.append(Task("speaker", "recorded speaker", False, parted(recorded, held)))
    return found


def to_learn_from(found: Sequence[Task]) -> Source:
    """The training parts of all tasks as one set without labels, each sound once."""
    sources = list({task.data.name: task.data.train for task in found}.values())
    clips = joined([as_float(source.items) for source in sources])
    ids = [f"{number}:{name}" for number, s in enumerate(sources) for name in s.ids]
    return Source(name="sounds", items=clips, ids=tuple(ids), domain="audio")


def whole(data: Data) -> Source:
    """Both parts as one set."""
    parts = (data.train, data.test)
    labels = None if data.train.labels is None else np.concatenate([p.labels for p in parts])
    return replace(
        data.train,
        name=data.name,
        items=joined([part.items for part in parts]),
        ids=tuple(name for part in parts for name in part.ids),
        labels=labels,
    )


def labelled(path: Path, sounds: Source, column: str) -> Source:
    """The sounds of a file with one of its columns of classes as labels."""
    with h5py.File(path) as file:
        labels = file[column][:][rows_of(file, sounds)].astype(np.int64)
        return replace(sounds, labels=labels, label_names=tuple(file[column].attrs["classes"]))


def rows_of(file: h5py.File, sounds: Source) -> list[int]:
    """Where each sound is in its file."""
    places = {name: row for row, name in enumerate(file["ids"].asstr()[:])}
    return [places[name] for name in sounds.ids]


def by_speed(path: Path, sounds: Source) -> Source:
    """The words of a file as slow, medium and fast thirds."""
    with h5py.File(path) as file:
        speed = file["speed"][:][rows_of(file, sounds)]
    thirds = np.searchsorted(np.quantile(speed, [1 / 3, 2 / 3]), speed)
    return replace(sounds, labels=thirds.astype(np.int64), label_names=SPEEDS)


def parted(source: Source, held: np.ndarray) -> Data:
    """What is held out to test on."""
    train, test = source.take(np.flatnonzero(~held)), source.take(np.flatnonzero(held))
    return Data(name=source.name, train=train, test=test, note="")


def drawn(groups: np.ndarray, share: float) -> np.ndarray:
    """Whether each item is of the held-out share of the groups, drawn once and for all."""
    order = np.random.default_rng(0).permutation(np.unique(groups))
    return np.isin(groups, order[: round(share * len(order))])


def as_float(clips: Clips) -> Clips:
    """Clips of full scale 1."""
    if clips.dtype.kind == "f":
        return clips
    scaled = clips.samples.astype(np.float32) / 2**15
    how = {"window": clips.window, "sample_rate": clips.sample_rate}
    return Clips(scaled, clips.starts, clips.lengths, **how)
