"""Folders of recordings: decoded once by several threads, then memory-mapped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twofold.domains.arrays import Opened
from twofold.domains.audio.decode import Header, decode, need, read_header
from twofold.domains.audio.names import AUDIO_SUFFIXES, FOREIGN_SUFFIXES
from twofold.domains.audio.windows import Reading, level_notes, rate_text, windowed
from twofold.domains.cache import cache_folder, damaged, key_of, publish
from twofold.domains.folders import (
    File,
    FileKind,
    FolderOptions,
    Stored,
    check_skipped,
    open_files,
    readable,
)
from twofold.domains.workers import read_all

_FORMAT = 1  # counted up when decoding changes, so that no older cache is taken for a new one
_HELD_SAMPLES = 2**28  # decoded and not yet written, of all files together
_KIND = FileKind("clips", AUDIO_SUFFIXES + FOREIGN_SUFFIXES, "audio")


class _Plan(NamedTuple):
    sample_rate: int
    channels: int
    whole: bool


def open_folder(root: Path, reading: Reading, options: FolderOptions) -> Opened:
    """Opens a folder of recordings, from the cache if no file has changed since."""
    need("soundfile")

    def store(files: Sequence[File], wanted: Sequence[str]) -> Stored:
        what = [_FORMAT, str(root.resolve()), *reading.as_stored, *files]
        stored = cache_folder(options.cache) / f"clips-{key_of(what)}"
        if not stored.is_dir():
            publish(stored, lambda folder: _build(folder, root, wanted, reading, options))
        return _load(stored, reading)

    return open_files(root, _KIND, options, store)


def _build(
    folder: Path, root: Path, ids: Sequence[str], reading: Reading, options: FolderOptions
) -> None:
    """Decodes the files into `folder`: samples, and of each file its id and length in index.json"""
    read = partial(read_all, workers=options.workers, progress=options.progress)
    skipped: dict[str, str] = {}
    found = read(read_header, [root / id for id in ids], task="Reading headers")
    headers = dict(readable(ids, found, skipped))
    check_skipped(root, tuple(skipped.items()), len(ids), options.max_bad, _KIND.items)
    while True:
        plan = _plan(headers.values(), reading)
        if any(header.sample_rate != plan.sample_rate for header in headers.values()):
            need("soxr")
        longest = max(_samples(header, plan) for header in headers.values())
        decoded = read(
            partial(decode, **plan._asdict()),
            [root / id for id in headers],
            task="Decoding recordings",
            ahead=max(1, _HELD_SAMPLES // longest),
        )
        lengths, levels = {}, []
        with (folder / "samples").open("wb") as file:
            for id, recording in readable(headers, decoded, skipped):
                recording.samples.tofile(file)
                lengths[id] = len(recording.samples)
                levels.append((recording.least, recording.most))
        check_skipped(root, tuple(skipped.items()), len(ids), options.max_bad, _KIND.items)
        headers = {id: headers[id] for id in lengths}
        # A file that failed after all must not have decided what the others became.
        if _plan(headers.values(), reading) == plan:
            break
    index = {
        "ids": list(lengths),
        "lengths": list(lengths.values()),
        "plan": plan,
        "skipped": [(id, skipped[id]) for id in ids if id in skipped],
        "notes": [
            *_changes(list(headers.values()), plan),
            *level_notes(*np.transpose(levels), whole=plan.whole),
        ],
    }
    (folder / "index.json").write_text(json.dumps(index))


def _plan(headers: Iterable[Header], reading: Reading) -> _Plan:
    """What all files are decoded to: what most of them are, and no less than any of them."""
    found = list(headers)
    rates = Counter(header.sample_rate for header in found)
    rate = reading.sample_rate or max(rates, key=lambda rate: (rates[rate], rate))
    channels = {header.channels for header in found}
    mixed = len(channels) > 1 or reading.mono
    as_they_are = rates.keys() == {rate} and (not mixed or channels == {1})
    whole = as_they_are and reading.whole and all(header.whole for header in found)
    return _Plan(rate, 1 if mixed else channels.pop(), whole)


def _samples(header: Header, plan: _Plan) -> int:
    """How many samples a file is while it is decoded."""
    return header.channels * header.frames * max(1, plan.sample_rate // header.sample_rate)


def _changes(headers: Sequence[Header], plan: _Plan) -> list[str]:
    """What the recordings have lost or gained by being made alike."""
    resampled = sum(header.sample_rate != plan.sample_rate for header in headers)
    mixed = sum(header.channels != plan.channels for header in headers)
    notes = [f"resampled to {rate_text(plan.sample_rate)}: {resampled:,}"] if resampled else []
    return notes + ([f"mixed down to mono: {mixed:,}"] if mixed else [])


def _load(stored: Path, reading: Reading) -> Stored:
    try:
        index = json.loads((stored / "index.json").read_text())
        plan = _Plan(*index["plan"])
        lengths = np.array(index["lengths"], dtype=np.int64)
        samples = np.memmap(
            stored / "samples",
            np.int16 if plan.whole else np.float32,
            mode="r",
            shape=(int(lengths.sum()), plan.channels),
        )
    except (OSError, ValueError) as error:
        raise damaged(stored, error) from None
    clips, notes = windowed(samples, lengths, plan.sample_rate, reading)
    return Stored(
        items=clips,
        ids=tuple(index["ids"]),
        skipped=tuple((id, reason) for id, reason in index["skipped"]),
        notes=(*index["notes"], *notes),
    )
