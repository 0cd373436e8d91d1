"""A file of orbits: what is seen of them at many times, and what each of them conserves."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.simulation.files import check_place, progress, whole_file
from twofold.simulation.trajectories.block import SIZE, Rows, make_block, pictures
from twofold.simulation.trajectories.camera import camera_of
from twofold.simulation.trajectories.conditions import Conditions
from twofold.simulation.trajectories.system import System
from twofold.simulation.trajectories.systems import system_by_name

if TYPE_CHECKING:
    import h5py

_STREAM = 1  # raised whenever the same seed comes to give other orbits
_CHUNK = 64  # pictures that are read together


def simulate_trajectories(
    out: str | Path,
    name: str,
    conditions: Conditions | None = None,
    *,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Makes a file of orbits of a mechanical system, sampled at random times.

    Rows of one orbit lie side by side. The same seed gives the same file, and one of more orbits
    begins with one of fewer, unless their values are evenly spaced.

    The file holds `X`, states `(n, dim)` float32 or pictures `(n, 3, size, size)` uint8; of each
    row the number `orbit` of its orbit, which is the group of its positives, and the time `t`; of
    its orbit each conserved quantity by name, such as `energy`; `state` `(n, dim)`, the state as
    it is without noise, of a picture at its first moment; and of pictures `visible`, whether every
    bob of both moments lies wholly inside. The attribute `drift` says by how much the first
    conserved quantity was off in any state, at most; the others hold the conditions and versions.

    Args:
        out: File to write, .h5.
        name: Of the system.
        conditions: How orbits are drawn, sampled and seen; the published ones if None.
        overwrite: Whether a file at `out` may be replaced.
        quiet: Whether to show no progress.

    Returns:
        The file.

    Raises:
        TwofoldError: For an unknown system, a range in which it has no such orbits, pictures of
            what has none, or a file that cannot be written.

    Example:
        >>> import h5py, tempfile
        >>> out = Path(tempfile.mkdtemp(), "orbits.h5")
        >>> few = Conditions(orbits=3, samples=4, render="images")
        >>> with h5py.File(simulate_trajectories(out, "pendulum", few)) as file:
        ...     file["X"].shape, file["orbit"][:].tolist(), bool(file.attrs["drift"] < 1e-10)
        ((12, 3, 32, 32), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], True)
    """
    system, conditions, out = system_by_name(name), conditions or Conditions(), Path(out)
    conditions.range_of(system)
    check_place(out, overwrite=overwrite)
    with (
        whole_file(out) as file,
        progress("simulating", conditions.orbits, "orbits", quiet=quiet) as more,
    ):
        _begin(file, system, conditions)
        drift = 0.0
        for number in range(-(-conditions.orbits // SIZE)):
            rng = np.random.default_rng((conditions.seed, number))
            rows = make_block(system, conditions, number, rng)
            _write_rows(file, rows, conditions, rng)
            drift = max(drift, rows.drift)
            more(len(rows.t) // conditions.samples)
        file.attrs["drift"] = drift
    return out


def conditions_in(file: h5py.File) -> Conditions:
    """Under which conditions a file was made."""
    settings: dict[str, Any] = json.loads(file.attrs["settings"])
    kept: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()
    }
    return Conditions(**kept)


def _begin(file: h5py.File, system: System, conditions: Conditions) -> None:
    """Room for all rows, and what is known of all of them."""
    n, dim, packed = conditions.rows, len(system.coordinates), {"compression": "gzip"}
    if conditions.render == "images":
        shape = (n, 3, conditions.size, conditions.size)
        file.create_dataset("X", shape, np.uint8, chunks=(min(_CHUNK, n), *shape[1:]), **packed)
        file.create_dataset("visible", (n,), bool)
    else:
        file.create_dataset("X", (n, dim), np.float32).attrs["columns"] = system.coordinates
    file.create_dataset("state", (n, dim), np.float64).attrs["columns"] = system.coordinates
    file.create_dataset("orbit", (n,), np.int64)
    quantities = system.conserved(np.ones(dim))
    for name in ("t", *quantities):
        column = file.create_dataset(name, (n,), np.float64)
        if name in system.units:
            column.attrs["unit"] = system.units[name]
    settings = {**asdict(conditions), "range": conditions.range_of(system)}
    file.attrs.update(
        domain="image" if conditions.render == "images" else "trajectory",
        system=system.name,
        conserved=list(quantities),
        settings=json.dumps(settings),
        stream=_STREAM,
        **{name: version(name) for name in ("twofold", "numpy", "scipy")},
    )


def _write_rows(
    file: h5py.File, rows: Rows, conditions: Conditions, rng: np.random.Generator
) -> None:
    """Writes the rows of a block."""
    first = int(rows.orbit[0]) * conditions.samples
    place = slice(first, first + len(rows.t))
    for name, column in {
        "orbit": rows.orbit,
        "t": rows.t,
        "state": rows.state,
        **rows.conserved,
    }.items():
        file[name][place] = column
    if conditions.render == "vectors":
        file["X"][place] = rows.seen
        return
    file["visible"][place] = camera_of(conditions).sees(rows.seen)
    for part, drawn in pictures(rows, conditions, rng):
        file["X"][first + part.start : first + part.stop] = drawn
