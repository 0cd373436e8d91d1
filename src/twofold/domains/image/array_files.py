"""Images in .npy, .npz and .h5 files."""

from __future__ import annotations

from pathlib import Path

from twofold.domains.array_files import UNNAMED, Keys, choose, named_arrays, read_npy
from twofold.domains.arrays import LabelColumn, Opened, Part
from twofold.domains.image.arrays import to_sources

_LAYOUTS = {3: "(n, height, width)", 4: "(n, channels, height, width)"}


def open_array_file(
    path: Path,
    keys: Keys = UNNAMED,
    labels: LabelColumn | None = None,
) -> Opened:
    """Opens a .npy file as a memory map, or finds images and what belongs to each in others."""
    if path.suffix.lower() == ".npy":
        return to_sources(path.stem, [Part(str(path), read_npy(path), labels)])
    with named_arrays(path) as entries:
        chosen, notes = choose(
            path,
            entries,
            keys,
            labels=labels,
            layouts=_LAYOUTS,
            items="images",
        )
        parts = [
            Part(f"{found.items.key} of '{path}'", found.items.read(), *found[1:])
            for found in chosen
        ]
    opened = to_sources(path.stem, parts)
    return Opened(opened.sources, opened.notes + notes)
