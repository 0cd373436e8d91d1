"""A file of sounds: waveforms, and what is known of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.errors import TwofoldError
from twofold.simulation.files import check_place, progress, whole_file
from twofold.simulation.processes import worker_count
from twofold.simulation.sounds.blocks import Block, blocks, make, missing
from twofold.simulation.sounds.notes import Notes
from twofold.simulation.sounds.script import Script, sample_count
from twofold.simulation.sounds.speech import Speech

if TYPE_CHECKING:
    import h5py

_CHUNK = 16  # sounds that are read together


def simulate_notes(
    out: str | Path,
    *,
    n: int,
    soundfonts: Sequence[str | Path] = (),
    seconds: float = 1.0,
    sample_rate: int = 16_000,
    seed: int = 0,
    workers: int | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Makes a file of single notes of instruments, which FluidSynth plays from soundfonts.

    Instruments are the first twelve families of General MIDI, keys go from C2 to B5, velocities
    from 60 to 119. A key is held for three quarters of a clip. Families and soundfonts are
    balanced in any head of the file; program, key and velocity are drawn at random, again where a
    soundfont plays nothing that is heard. Loudness is kept: one gain serves all notes.

    Notes are kept in the cache: a call that was stopped goes on, more notes begin with those that
    were made, and the number of processes changes nothing.

    The file holds waveforms `X` `(n, samples)` int16; `family`, which is also `labels`,
    `soundfont`, `program`, `pitch` in semitones (60 is the middle C), `pitch_class`, `velocity`.

    Args:
        out: File to write, .h5.
        n: Number of notes, >= 1.
        soundfonts: Files, .sf2 or .sf3; three that Debian packages if none.
        seconds: Length of a clip, from 0.1 to 60.
        sample_rate: Samples a second, from 8,000 to 96,000.
        seed: Of everything that is drawn.
        workers: Processes; one for each processor if None.
        cache: Folder of decoded data; see `cache_folder`.
        overwrite: Whether a file at `out` may be replaced.
        quiet: Whether to show no progress.

    Returns:
        The file.

    Raises:
        TwofoldError: For settings that make no notes, a soundfont that is missing or cannot be
            read, a file that cannot be written, or where FluidSynth is missing.

    Example:
        >>> simulate_notes("notes.h5", n=6000)  # doctest: +SKIP
        PosixPath('notes.h5')
    """
    check_place(Path(out), overwrite=overwrite)
    script = Notes.of(soundfonts, seconds=seconds, sample_rate=sample_rate, seed=seed)
    return _simulate(Path(out), script, n, workers=workers, cache=cache, quiet=quiet)


def simulate_speech(
    out: str | Path,
    *,
    n: int,
    words: Sequence[str] = (),
    accents: Sequence[str] = (),
    voices: Sequence[str] = (),
    seconds: float = 1.0,
    sample_rate: int = 16_000,
    seed: int = 0,
    workers: int | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Makes a file of single words, which espeak-ng speaks.

    Words and accents are balanced in any head of the file; voice, pitch and speed are drawn at
    random, again where a word is longer than a clip. A word lies in the middle of its clip, with
    silence around it.

    Words are kept in the cache: a call that was stopped goes on, more words begin with those that
    were made, and the number of processes changes nothing.

    The file holds waveforms `X` `(n, samples)` int16; `word`, which is also `labels`, `accent`,
    `voice`, `pitch` on espeak's scale from 0 to 99, and `speed` in words a minute.

    Args:
        out: File to write, .h5.
        n: Number of clips, >= 1.
        words: What is said; the 35 words of Speech Commands if none.
        accents: English ones, by espeak's names; all eight if none.
        voices: By espeak's names; all that it has if none.
        seconds: Length of a clip, from 0.1 to 60.
        sample_rate: Samples a second, from 8,000 to 96,000.
        seed: Of everything that is drawn.
        workers: Processes; one for each processor if None.
        cache: Folder of decoded data; see `cache_folder`.
        overwrite: Whether a file at `out` may be replaced.
        quiet: Whether to show no progress.

    Returns:
        The file.

    Raises:
        TwofoldError: For settings that make no words, an unknown accent or voice, a file that
            cannot be written, or where espeak-ng is missing.

    Example:
        >>> simulate_speech("speech.h5", n=4000)  # doctest: +SKIP
        PosixPath('speech.h5')

    Reference: Warden, 2018, arXiv:1804.03209 (the words).
    """
    check_place(Path(out), overwrite=overwrite)
    script = Speech.of(words, accents, voices, seconds=seconds, sample_rate=sample_rate, seed=seed)
    return _simulate(Path(out), script, n, workers=workers, cache=cache, quiet=quiet)


def _simulate(
    out: Path,
    script: Script,
    n: int,
    *,
    workers: int | None,
    cache: str | Path | None,
    quiet: bool,
) -> Path:
    """Makes what is missing of the sounds, then the file."""
    if n < 1:
        raise TwofoldError(f"n is {n}; it must be >= 1")
    processes, parts = worker_count(workers), blocks(script, n, cache)
    wanted = missing(parts)
    kept = n - sum(len(block.rows) for block in wanted)
    with progress("rendering", n, script.subject, done=kept, quiet=quiet) as more:
        make(wanted, workers=processes, progress=more)
    with (
        progress("writing", n, script.subject, quiet=quiet) as more,
        whole_file(out) as file,
    ):
        _begin(file, script, n)
        for block in parts:
            _write(file, block)
            more(len(block.rows))
    return out


def _begin(file: h5py.File, script: Script, n: int) -> None:
    """Room for `n` sounds, and what is known of all of them."""
    import h5py

    samples = sample_count(script)
    chunks = (min(_CHUNK, n), samples)
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    file.create_dataset("X", (n, samples), np.int16, chunks=chunks, **packed)
    file.create_dataset("ids", (n,), h5py.string_dtype())
    for name, about in script.columns.items():
        column = file.create_dataset(name, (n,), np.float32 if about.unit else np.uint8)
        if about.unit:
            column.attrs["unit"] = about.unit
        if about.classes:
            column.attrs["classes"] = list(about.classes)
    file["labels"] = file[next(iter(script.columns))]
    facts = {"subject": script.subject, "columns": list(script.columns), **script.facts}
    file.attrs.update(
        domain="audio",
        sample_rate=script.sample_rate,
        settings=json.dumps(facts),
        redrawn=0,
        clipped=0,
    )


def _write(file: h5py.File, block: Block) -> None:
    """Writes the sounds of a block."""
    sounds = block.read()
    if sounds is None:
        raise TwofoldError(f"{block.path} was deleted meanwhile; call again to make it anew")
    place = slice(block.rows.start, block.rows.stop)
    columns = block.script.columns
    file["X"][place] = sounds.samples
    for name, values in zip(columns, sounds.known.T, strict=True):
        file[name][place] = values
    first, second = (about.classes for about in [*columns.values()][:2])
    file["ids"][place] = [
        f"{row}/{first[pair[0]]}/{second[pair[1]]}"
        for row, pair in zip(block.rows, sounds.known.tolist(), strict=True)
    ]
    file.attrs["redrawn"] += sounds.redrawn.sum()
    file.attrs["clipped"] += sounds.clipped.sum()
