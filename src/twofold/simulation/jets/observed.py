"""What a file of jets holds, class by class: in words and in a figure."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.folder import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OBSERVABLES = {  # by their names in the file: what they are called, with their unit
    "multiplicity": "multiplicity",
    "m0": "mass [GeV]",
    "girth": "girth",
}
"""What tells the classes apart, and is drawn."""
_PICTURED = 2000  # images that a mean is taken over, at most
_BINS = 50
_RANGE = 1e-4  # of a colour scale, from the brightest cell down
_COLOURS = ("#1f5fa8", "#c4622d")
_MUTED = "#666666"


@dataclass(frozen=True)
class Spread:
    """One observable of the jets of two classes."""

    values: tuple[np.ndarray, np.ndarray]
    """Of each class `(n,)`."""

    @property
    def means(self) -> list[float]:
        """Of each class."""
        return [float(value.mean()) for value in self.values]

    @property
    def medians(self) -> list[float]:
        """Of each class."""
        return [float(np.median(value)) for value in self.values]

    @property
    def deviations(self) -> list[float]:
        """Standard deviations of each class."""
        return [float(value.std()) for value in self.values]

    @property
    def auc(self) -> float:
        """How well it tells the classes apart, whichever has more of it: from 0.5 to 1.

        Example:
            >>> round(Spread((np.array([1, 2, 3]), np.array([2, 3, 4, 5]))).auc, 4)
            0.8333
        """
        from sklearn.metrics import roc_auc_score

        classes = np.repeat([0, 1], [len(values) for values in self.values])
        area = float(roc_auc_score(classes, np.concatenate(self.values)))
        return max(area, 1 - area)


def spread(path: Path, name: str) -> Spread:
    """An observable of a file of jets, by its name there."""
    import h5py

    with h5py.File(path) as file:
        values, classes = file[name][:], file["y"][:]
    return Spread((values[classes == 0], values[classes == 1]))


def class_names(path: Path) -> list[str]:
    """Names of the classes of a file of jets."""
    import h5py

    with h5py.File(path) as file:
        return [str(name) for name in file["y"].attrs["classes"]]


def summary(path: Path) -> list[str]:
    """A line on each observable: mean and standard deviation of both classes, and the AUC."""
    names = class_names(path)
    width = max(map(len, OBSERVABLES.values()))
    lines = []
    for name, title in OBSERVABLES.items():
        found = spread(path, name)
        words = [
            f"{label} {mean:.3g} ± {deviation:.2g}"
            for label, mean, deviation in zip(names, found.means, found.deviations, strict=True)
        ]
        lines.append(f"{title:<{width}}  {', '.join(words)}, AUC {found.auc:.3f}")
    return lines


def write_figure(path: Path, out: Path) -> None:
    """Draws the observables of a file of jets and the mean image of each class."""
    from matplotlib.figure import Figure

    names = class_names(path)
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    (above,), (below,) = figure.subfigures(2, squeeze=False)
    (upper,) = above.subplots(1, len(OBSERVABLES), squeeze=False)
    (lower,) = below.subplots(1, len(names), squeeze=False)
    for axes, (name, title) in zip(upper, OBSERVABLES.items(), strict=True):
        _draw_spread(axes, spread(path, name), names, title)
    means = [_mean_image(path, label) for label in range(len(names))]
    top = max(float(mean.max()) for mean, _ in means)
    for axes, name, (mean, count) in zip(lower, names, means, strict=True):
        _draw_mean(axes, mean, half=_half(path), top=top, title=f"{name}, mean of {count:,}")
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=150)
    write_atomically(out, packed.getvalue())


def _draw_spread(axes: Axes, found: Spread, names: list[str], title: str) -> None:
    edges = _edges(np.concatenate(found.values))
    for values, label, colour in zip(found.values, names, _COLOURS, strict=True):
        axes.hist(
            values, edges.tolist(), density=True, histtype="step", color=colour, lw=1.6, label=label
        )
    axes.set_xlabel(title)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"AUC {found.auc:.3f}", fontsize=10, color=_MUTED)
    axes.legend(frameon=False, handlelength=1)


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins from 0 to where hardly anything is left; around whole numbers if all are."""
    top, bins = float(np.quantile(values, 0.995)), min(_BINS, 5 + len(values) // 20)
    if np.all(values == np.round(values)):
        step = max(1, round(top / bins))
        return np.arange(-0.5, top + step, step)
    return np.linspace(0, top, bins + 1)


def _half(path: Path) -> float:
    """Half the side of the images, in pseudorapidity and azimuth."""
    import h5py

    with h5py.File(path) as file:
        return float(file.attrs["window"]) / 2


def _mean_image(path: Path, label: int) -> tuple[np.ndarray, int]:
    """The mean of images of a class, their channels summed, and over how many."""
    import h5py

    with h5py.File(path) as file:
        rows = np.flatnonzero(file["y"][:] == label)[:_PICTURED]
        total = np.zeros(file["X_jets"].shape[1:3])
        for row in rows:
            total += file["X_jets"][row].sum(axis=-1)
    return total / max(len(rows), 1), len(rows)


def _draw_mean(axes: Axes, mean: np.ndarray, *, half: float, top: float, title: str) -> None:
    from matplotlib.colors import LogNorm

    bottom = _RANGE * top
    shown = axes.imshow(
        np.maximum(mean, bottom),
        norm=LogNorm(bottom, top),
        extent=(-half, half, -half, half),
        origin="lower",
        cmap="viridis",
    )
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("azimuth")
    axes.set_ylabel("pseudorapidity")
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(shown, ax=axes, label="energy per cell [GeV]")
