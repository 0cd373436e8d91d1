"""A file of jets as physicists keep them: images, classes, masses and momenta in HDF5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.errors import TwofoldError
from twofold.simulation.files import check_place, progress, whole_file
from twofold.simulation.jets import detector as seeing
from twofold.simulation.jets.blocks import SIZE, Block, blocks, labels, make, missing
from twofold.simulation.jets.tasks import Sample, generators
from twofold.simulation.processes import worker_count

if TYPE_CHECKING:
    import h5py

_CHUNK = 4  # images that are read together
_MEASURED = {  # of each jet: name in the file, unit
    "mass": ("m0", "GeV"),
    "pt": ("pt", "GeV"),
    "eta": ("eta", ""),
    "phi": ("phi", "rad"),
    "multiplicity": ("multiplicity", ""),
    "charged_multiplicity": ("charged_multiplicity", ""),
    "girth": ("girth", ""),
    "ptd": ("ptd", ""),
}


def simulate_jets(
    out: str | Path,
    *,
    task: str = "quark-gluon",
    n: int,
    seed: int = 0,
    size: int = 40,
    detector: str = "cms",
    pt: Sequence[float] | None = None,
    radius: float | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Makes a file of jets of two classes, with Pythia 8, FastJet and a toy detector.

    Collisions are kept in the cache, apart from what a detector makes of them: a call that was
    stopped goes on, more jets or another detector need no collision twice, and the same settings
    give the same jets in any number of processes. A longer file begins with a shorter one.

    The file holds images `X_jets` `(n, size, size, 3)` of transverse energy in GeV, channels
    tracks, ECAL, HCAL; classes `y`; mass `m0` and momentum `pt` in GeV; `eta`, `phi`, and of the
    constituents `multiplicity`, `charged_multiplicity`, `girth` and `ptd`.

    Args:
        out: File to write, .h5.
        task: `quark-gluon`, gluons and light quarks beside a Z that goes unseen at 14 TeV; or
            `top-qcd`, any jets and tops with all three quarks inside at 13 TeV.
        n: Number of jets, >= 2; half of each class.
        seed: Of everything.
        size: Cells along each side of an image, a multiple of 5 from 20 to 125.
        detector: `cms`, a toy of CMS; or `truth`, each particle where it was made.
        pt: Lower and upper end of the transverse momentum, GeV; the task's own if None.
        radius: Of the jets; the task's own if None.
        workers: Processes; one for each processor if None.
        cache: Folder of decoded data; see `cache_folder`.
        overwrite: Whether a file at `out` may be replaced.
        quiet: Whether to show no progress.

    Returns:
        The file.

    Raises:
        TwofoldError: For settings that make no jets, a file that cannot be written, or where
            Pythia or FastJet is missing.

    Example:
        >>> simulate_jets("qg.h5", task="quark-gluon", n=1000)  # doctest: +SKIP
        PosixPath('qg.h5')

    Reference: Bierlich et al., 2022, arXiv:2203.11601; Cacciari et al., 2012, arXiv:1111.6097.
    """
    sample = Sample.of(task, pt=pt, radius=radius, seed=seed)
    seeing.check(detector, size)
    if n < 2:
        raise TwofoldError(f"n is {n}; it must be >= 2, one jet of each class")
    workers, out = worker_count(workers), Path(out)
    check_place(out, overwrite=overwrite)
    pairs = blocks(sample, n, cache)
    wanted = missing(block for pair in pairs for block in pair)
    kept = n - sum(block.n for block in wanted)
    with progress("simulating", n, "jets", done=kept, quiet=quiet) as more:
        make(wanted, workers=workers, progress=more)
    with progress("writing", n, "jets", quiet=quiet) as more:
        _write(out, pairs, n, detector=detector, size=size, done=more)
    return out


def _write(
    out: Path,
    pairs: list[tuple[Block, Block]],
    n: int,
    *,
    detector: str,
    size: int,
    done: Callable[[int], None],
) -> None:
    """Writes the file, all of it or nothing."""
    sample = pairs[0][0].sample
    with whole_file(out) as file:
        _begin(file, sample, n, detector=detector, size=size)
        classes = labels(n, sample.seed)
        file["y"][:] = classes
        for number, pair in enumerate(pairs):
            rows = slice(2 * SIZE * number, min(2 * SIZE * (number + 1), n))
            _write_rows(file, rows, classes[rows], pair, detector=detector, size=size)
            done(rows.stop - rows.start)


def _begin(file: h5py.File, sample: Sample, n: int, *, detector: str, size: int) -> None:
    """Room for `n` jets, and what is known of all of them."""
    packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    shape = (n, size, size, len(seeing.CHANNELS))
    chunks = (min(_CHUNK, n), *shape[1:])
    images = file.create_dataset("X_jets", shape, np.float32, chunks=chunks, **packed)
    images.attrs.update(channels=list(seeing.CHANNELS), unit="GeV")
    classes = file.create_dataset("y", (n,), np.uint8)
    classes.attrs["classes"] = list(sample.classes)
    for name, unit in _MEASURED.values():
        column = file.create_dataset(name, (n,), np.float32)
        if unit:
            column.attrs["unit"] = unit
    file.attrs.update(
        domain="jet",
        task=sample.task,
        seed=sample.seed,
        pt_range=sample.pt,
        radius=sample.radius,
        detector=detector,
        window=seeing.window(detector, size, sample.radius),
        note="simulated, seen by a toy detector: not data of any experiment",
        **generators(),
    )


def _write_rows(
    file: h5py.File,
    rows: slice,
    classes: np.ndarray,
    pair: tuple[Block, Block],
    *,
    detector: str,
    size: int,
) -> None:
    """Writes the jets of two blocks, each to the rows of its class."""
    shape = (len(classes), *file["X_jets"].shape[1:])
    found = np.empty(shape, np.float32)
    columns = {name: np.empty(len(classes), np.float32) for name in _MEASURED}
    for block in pair:
        jets = block.read()
        if jets is None:
            raise TwofoldError(f"{block.path} was deleted meanwhile; call again to make it anew")
        mine = classes == block.label
        found[mine] = seeing.images(
            jets, detector=detector, size=size, radius=block.sample.radius, seed=(block.seed,)
        )
        for name, column in columns.items():
            column[mine] = getattr(jets, name)
    file["X_jets"][rows] = found
    for name, column in columns.items():
        file[_MEASURED[name][0]][rows] = column
