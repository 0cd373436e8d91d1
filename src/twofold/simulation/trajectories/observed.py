"""What a file of orbits holds: in words and in a figure."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.folder import write_atomically
from twofold.simulation.trajectories.ceiling import rendering_ceiling
from twofold.simulation.trajectories.file import conditions_in
from twofold.simulation.trajectories.system import System
from twofold.simulation.trajectories.systems import SYSTEMS

if TYPE_CHECKING:
    import h5py
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORBITS = 80  # in a portrait, at most
_PICTURES = 8
_COLOURS = "viridis"
_MUTED = "#666666"


def summary(path: Path) -> list[str]:
    """How many rows there are, how exact they are, and the most that pictures can tell."""
    import h5py

    with h5py.File(path) as file:
        conditions, system = conditions_in(file), SYSTEMS[file.attrs["system"]]
        off = f"{file.attrs['conserved'][0]} off by {file.attrs['drift']:.0e} at most"
        seen = float(file["visible"][:].mean()) if "visible" in file else 1.0
    lines = [f"{conditions.rows:,} rows of {conditions.orbits:,} orbits; {off}"]
    if seen < 1:
        lines.append(f"{seen:.1%} of the pictures show all of what moves")
    if conditions.render == "images" and system.closed:
        best = rendering_ceiling(system.name, conditions)
        lines.append(
            f"nothing read off such a picture orders {system.drawn} better than {best:.4f}"
        )
    return lines


def write_figure(path: Path, out: Path) -> None:
    """Draws states of a file of orbits, how often each value occurs, and some of the pictures."""
    import h5py
    from matplotlib.figure import Figure

    with h5py.File(path) as file:
        system, pictured = SYSTEMS[file.attrs["system"]], conditions_in(file).render == "images"
        figure = Figure(figsize=(9.6, 6.0 if pictured else 4.0), layout="constrained")
        grid = figure.add_gridspec(2 if pictured else 1, 2, height_ratios=[2, 1][: 1 + pictured])
        _draw_portrait(figure, figure.add_subplot(grid[0, 0]), file, system)
        _draw_values(figure.add_subplot(grid[0, 1]), file, system)
        if pictured:
            below = grid[1, :].subgridspec(1, _PICTURES)
            rows = _evenly(file[system.drawn][:], _PICTURES)
            for at, row in enumerate(rows):
                _draw_picture(figure.add_subplot(below[0, at]), file, int(row), system)
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=150)
    write_atomically(out, packed.getvalue())


def _evenly(values: np.ndarray, count: int) -> np.ndarray:
    """Rows whose values rise evenly from the smallest to the greatest."""
    order = np.argsort(values, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)]


def _draw_portrait(figure: Figure, axes: Axes, file: h5py.File, system: System) -> None:
    orbit, values = file["orbit"][:], file[system.drawn][:]
    first = np.flatnonzero(np.diff(orbit, prepend=-1))
    shown = np.isin(orbit, orbit[first[_evenly(values[first], _ORBITS)]])
    states = file["state"][:][shown]
    across, up = system.portrait
    points = axes.scatter(
        states[:, across], states[:, up], c=values[shown], s=4, cmap=_COLOURS, linewidths=0
    )
    axes.set_xlabel(system.coordinates[across])
    axes.set_ylabel(system.coordinates[up])
    axes.set_title(f"states of {len(np.unique(orbit[shown])):,} orbits", fontsize=10)
    figure.colorbar(points, ax=axes, label=_named(file, system))


def _draw_values(axes: Axes, file: h5py.File, system: System) -> None:
    orbit, values = file["orbit"][:], file[system.drawn][:]
    of_orbits = values[np.flatnonzero(np.diff(orbit, prepend=-1))]
    axes.hist(of_orbits, min(60, 5 + len(of_orbits) // 20), color="#1f5fa8")
    axes.set_xlabel(_named(file, system))
    axes.set_ylabel("orbits")
    axes.set_title(f"off by {file.attrs['drift']:.0e} at most", fontsize=10, color=_MUTED)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_picture(axes: Axes, file: h5py.File, row: int, system: System) -> None:
    axes.imshow(np.moveaxis(file["X"][row], 0, -1))
    axes.set_title(f"{file[system.drawn][row]:.2f}", fontsize=9, color=_MUTED)
    axes.set_xticks([])
    axes.set_yticks([])


def _named(file: h5py.File, system: System) -> str:
    """The quantity that is drawn, with its unit if it has one."""
    unit = file[system.drawn].attrs.get("unit", "")
    return f"{system.drawn} [{unit}]" if unit else system.drawn
