"""What a file of sounds holds: in words and in a figure."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twofold.folder import write_atomically
from twofold.simulation.sounds.script import Column

if TYPE_CHECKING:
    import h5py

_SHOWN = 12  # columns of a figure
_RANGE = 60  # decibels of a colour scale, from the loudest down
_WINDOW = 0.064  # seconds that a spectrum is taken over, about
_MUTED = "#666666"


class Known(NamedTuple):
    """One thing that a file says of its sounds."""

    column: Column
    values: np.ndarray
    """Of each sound `(n,)`."""


def read_known(file: h5py.File) -> dict[str, Known]:
    """What a file says of its sounds, by name, the balanced columns first."""
    names: list[str] = json.loads(file.attrs["settings"])["columns"]
    known = {}
    for name in names:
        about = file[name].attrs
        column = Column(tuple(map(str, about.get("classes", ()))), str(about.get("unit", "")))
        known[name] = Known(column, file[name][:])
    return known


def summary(path: Path) -> list[str]:
    """How many sounds there are, of which classes, and over which ranges."""
    import h5py

    with h5py.File(path) as file:
        known, settings = read_known(file), json.loads(file.attrs["settings"])
        n, redrawn, clipped = len(file["X"]), file.attrs["redrawn"], file.attrs["clipped"]
    width = max(map(len, known))
    length, rate = settings["seconds"], settings["sample_rate"]
    lines = [f"{n:,} {settings['subject']} of {length:g} s, {rate:,} samples a second"]
    lines += [f"{name:<{width}}  {_words(one)}" for name, one in known.items()]
    if redrawn:
        lines.append(f"{redrawn:,} were silent or too long, and drawn again")
    if clipped:
        lines.append(f"{clipped:,} are louder than full scale, and clipped")
    return lines


def write_figure(path: Path, out: Path) -> None:
    """Draws the spectrogram of a sound of each pair of classes, some of the first column's."""
    import h5py
    from matplotlib.figure import Figure

    with h5py.File(path) as file:
        known, rate = read_known(file), int(file.attrs["sample_rate"])
        first, second = [*known.values()][:2]
        shown = _shown(first)
        chosen = {
            (row, number): _typical(known, number, row)
            for row in range(len(second.column.classes))
            for number in shown
        }
        maps = {
            place: _decibels(file["X"][sound], rate)
            for place, sound in chosen.items()
            if sound is not None
        }
    rows = len(second.column.classes)
    figure = Figure(figsize=(0.85 * len(shown) + 1.4, 0.8 * rows + 0.5))
    cells = figure.subplots(rows, len(shown), squeeze=False)
    figure.subplots_adjust(
        left=1.35 / figure.get_figwidth(),
        right=0.995,
        bottom=0.05 / figure.get_figheight(),
        top=1 - 0.45 / figure.get_figheight(),
        wspace=0.06,
        hspace=0.06,
    )
    top = max(float(image.max()) for image in maps.values())
    for row, (places, name) in enumerate(zip(cells, second.column.classes, strict=True)):
        places[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        for axes, number in zip(places, shown, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if (row, number) in maps:
                limits = {"vmin": top - _RANGE, "vmax": top}
                axes.imshow(maps[row, number], origin="lower", aspect="auto", **limits)
    for axes, number in zip(cells[0], shown, strict=True):
        title = first.column.classes[number].replace(" ", "\n")
        axes.set_title(title, fontsize=8, color=_MUTED, va="bottom")
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=150)
    write_atomically(out, packed.getvalue())


def _words(one: Known) -> str:
    """Of which classes how many, or the range of the numbers."""
    if not one.column.classes:
        return f"{one.values.min():g} to {one.values.max():g} {one.column.unit}".rstrip()
    counts = np.bincount(one.values, minlength=len(one.column.classes)).tolist()
    if len(counts) > _SHOWN:
        return f"{len(counts)} classes, from {min(counts):,} to {max(counts):,} of each"
    return ", ".join(f"{name} {n:,}" for name, n in zip(one.column.classes, counts, strict=True))


def _shown(first: Known) -> list[int]:
    """Some classes, evenly spread over all."""
    count = len(first.column.classes)
    places = np.linspace(0, count - 1, min(count, _SHOWN)).round().astype(np.int64)
    return [int(place) for place in places]


def _typical(known: dict[str, Known], first: int, second: int) -> int | None:
    """The sound of two classes whose pitch is nearest to the middle one; None if there is none."""
    pair, pitch = [*known.values()][:2], known["pitch"].values
    own = np.flatnonzero((pair[0].values == first) & (pair[1].values == second))
    far = np.abs(pitch[own] - np.median(pitch))
    return int(own[far.argmin()]) if len(own) else None


def _decibels(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log-mel spectrogram of a sound, low pitches first."""
    import torch

    from twofold.spectrogram import Spectrogram

    n_fft = 2 ** round(math.log2(_WINDOW * sample_rate))
    spectrogram = Spectrogram(sample_rate=sample_rate, n_fft=n_fft, hop=n_fft // 8)
    waves = torch.from_numpy(samples.astype(np.float32) / 2**15)
    return spectrogram(waves.view(1, 1, 1, -1))[0, 0].numpy()
