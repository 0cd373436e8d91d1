"""A file of emoji: pictures of the same concepts by several artists, sorted into categories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.errors import TwofoldError
from twofold.simulation.emoji.concepts import Concept, match_concepts
from twofold.simulation.emoji.drawing import Rendered, Sheet, render, renderer
from twofold.simulation.emoji.packages import (
    IconSet,
    fetch_packages,
    find_packages,
    read_package,
)
from twofold.simulation.emoji.sets import SETS
from twofold.simulation.files import check_place, progress, whole_file
from twofold.simulation.processes import in_processes, worker_count

if TYPE_CHECKING:
    import h5py

SMALLEST, LARGEST = 8, 512
"""Pixels along each side of a picture."""
_SHEET = 256  # drawings rendered in one go
_CHUNK = 64  # pictures that are read together


def simulate_emoji(
    out: str | Path,
    *,
    sets: Sequence[str] = (),
    packages: str | Path | None = None,
    size: int = 32,
    workers: int | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Makes a file of emoji: the same concepts drawn by several artists, rendered by resvg.

    Packages of icons are fetched by npm and kept in the cache; each must hash to what is pinned in
    `SETS`. Nothing is drawn at random: the same packages and size give the same file. Skin tones,
    genders, families and mirrored drawings are left out, and so is what one set alone has.

    The file holds pictures `X` `(n, 3, size, size)` uint8 on white, the drawings of a concept side
    by side; and of each its category as `labels`, its `concept` and its `artist`, which is its set.

    Args:
        out: File to write, .h5.
        sets: Names of two or more of `SETS`, or of those in `packages`; all if none. The first
            settles the concepts and categories.
        packages: Folder of packages to take instead of fetching any, whatever versions they are.
        size: Height and width in pixels, from 8 to 512.
        workers: Processes; one for each processor if None.
        cache: Folder of decoded data; see `cache_folder`.
        overwrite: Whether a file at `out` may be replaced.
        quiet: Whether to show no progress.

    Returns:
        The file.

    Raises:
        TwofoldError: For an unknown set, a package that is missing, damaged or another than the
            pinned one, sets with nothing in common, or a file that cannot be written; or where
            resvg or npm is missing.

    Example:
        >>> simulate_emoji("emoji.h5", sets=["twemoji", "noto"])  # doctest: +SKIP
        PosixPath('emoji.h5')
    """
    renderer()
    if not SMALLEST <= size <= LARGEST:
        raise TwofoldError(f"size is {size}; it must be from {SMALLEST} to {LARGEST} pixels")
    processes = worker_count(workers)
    if len(set(sets)) < len(sets) or len(sets) == 1:
        raise TwofoldError(f"sets is {', '.join(sets)}; name two or more, each once")
    out = Path(out)
    check_place(out, overwrite=overwrite)
    if packages is None:
        paths = fetch_packages(sets or list(SETS), cache)
    else:
        paths = find_packages(Path(packages), sets)
    artists = [read_package(path) for path in paths]
    concepts = match_concepts(artists)
    if not concepts:
        raise TwofoldError(
            f"no concept is drawn by two of the sets {', '.join(one.name for one in artists)}; "
            f"name others, one with categories such as {next(iter(SETS))} first"
        )
    with whole_file(out) as file:
        _begin(file, concepts, artists, size)
        _draw(file, concepts, size, workers=processes, quiet=quiet)
    return out


def _begin(file: h5py.File, concepts: list[Concept], artists: list[IconSet], size: int) -> None:
    """Room for all pictures, and what is known of each."""
    import h5py

    rows = [(concept, artist) for concept in concepts for artist in concept.drawings]
    n, text = len(rows), h5py.string_dtype()
    chunks = (min(_CHUNK, n), 3, size, size)
    file.create_dataset("X", (n, *chunks[1:]), np.uint8, chunks=chunks, compression="gzip")
    for name, column in {
        "ids": [f"{concept.name}/{artist}" for concept, artist in rows],
        "labels": [concept.category for concept, _ in rows],
        "concept": [concept.name for concept, _ in rows],
        "artist": [artist for _, artist in rows],
    }.items():
        file.create_dataset(name, data=np.array(column, object), dtype=text)
    about = {
        one.name: {"version": one.version, "licence": one.licence, "author": one.author}
        for one in artists
    }
    file.attrs.update(
        domain="image",
        size=size,
        sets=json.dumps(about),
        twofold=version("twofold"),
        **renderer(),
    )


def _draw(
    file: h5py.File, concepts: list[Concept], size: int, *, workers: int, quiet: bool
) -> None:
    """Renders all drawings, some at a time."""
    svgs = tuple(drawing.svg for concept in concepts for drawing in concept.drawings.values())
    starts = range(0, len(svgs), _SHEET)
    sheets = [Sheet(start, svgs[start : start + _SHEET], size) for start in starts]
    with progress("rendering", len(svgs), "drawings", quiet=quiet) as more:

        def write(made: Rendered) -> None:
            file["X"][made.first : made.first + len(made.images)] = made.images
            more(len(made.images))

        if min(workers, len(sheets)) > 1:
            in_processes(render, sheets, workers=workers, done=write)
        else:
            for sheet in sheets:
                write(render(sheet))
