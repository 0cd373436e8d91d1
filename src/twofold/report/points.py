"""Many points as inline SVG, in the colours of an amount or along a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from twofold.report import wording
from twofold.report.charts import ACCENT, INK, MUTED, SHADES, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _DOT = (420, 330), 4.0
_PLAIN, _SCALED = 16.0, 72.0
"""Pixels right of the axes, without a scale of colours and with one."""
_TICKS = 5


@dataclass(frozen=True, eq=False)
class Shading:
    """Colours of points, and the scale that tells what they mean."""

    name: str
    """Of the amount, printed above the scale."""
    places: np.ndarray
    """Where on the scale each point is `(points,)`, in [0, 1]."""
    ticks: dict[float, str]
    """What is printed beside the scale, by the place where it stands."""


def by_rank(name: str, values: np.ndarray) -> Shading:
    """Colours by rank, so that each is of as many points whatever the unit of the amount.

    Two amounts that go up and down together have the same colours.

    Args:
        name: Of the amount.
        values: Of each point `(points,)`.

    Example:
        >>> shading = by_rank("energy", np.array([0.0, 10.0, 1000.0]))
        >>> shading.places.tolist(), shading.ticks[1.0]
        ([0.0, 0.5, 1.0], '1,000')
    """
    at = np.linspace(0, 1, _TICKS)
    ends = wording.significant
    ticks = {float(a): ends(float(q)) for a, q in zip(at, np.quantile(values, at), strict=True)}
    return Shading(name, rank_shares(values), ticks)


def rank_shares(values: np.ndarray) -> np.ndarray:
    """The rank of each value from 0 for the least to 1 for the most; ties share theirs.

    Example:
        >>> rank_shares(np.array([3.0, 1.0, 1.0, 2.0, 9.0])).tolist()
        [0.75, 0.125, 0.125, 0.5, 1.0]
    """
    from scipy.stats import rankdata

    return np.asarray((rankdata(values) - 1) / max(1, len(values) - 1))


def point_chart(
    x: np.ndarray,
    y: np.ndarray,
    *,
    shading: Shading | None = None,
    line: tuple[np.ndarray, np.ndarray] | None = None,
    x_label: str,
    y_label: str,
    description: str,
) -> Markup:
    """Points as inline SVG of some 30 bytes each.

    Args:
        x: Where the points are to the right `(points,)`.
        y: Where they are upwards `(points,)`.
        shading: Their colours; those of later ones lie on top. All are alike if None.
        line: Where a line through them goes, to the right and upwards.
        x_label: Below the axis.
        y_label: Above the axis, with the unit.
        description: What the chart shows, in words, for those who cannot see it.

    Example:
        >>> x = np.arange(3.0)
        >>> svg = point_chart(
        ...     x, x, shading=by_rank("v", x), x_label="q", y_label="p", description="It rises."
        ... )
        >>> svg.startswith("<svg"), "var(--s0)" in svg, "var(--s11)" in svg
        (True, True, True)
    """
    places = np.stack([x, y], axis=1)

    def paint(axes: Axes) -> None:
        axes.update_datalim(places)
        axes.autoscale_view()
        if shading is None:
            _dots(axes, places, ACCENT, alpha=0.5)
        else:
            shades = list(SHADES)
            number = np.minimum((shading.places * len(shades)).astype(np.int64), len(shades) - 1)
            for shade in np.unique(number):
                _dots(axes, places[number == shade], shades[shade])
            _scale(axes, shading, shades)
        if line is not None:
            axes.plot(*line, color=INK, linewidth=1.3, scalex=False, scaley=False)

    room = _PLAIN if shading is None else _SCALED
    return draw(paint, (x_label, y_label, description), _SIZE, room, "points")


def _dots(axes: Axes, places: np.ndarray, colour: str, alpha: float = 1.0) -> None:
    """Points as one path of lines without length, of which only the round ends are seen."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes = np.tile([Path.MOVETO, Path.LINETO], len(places))
    path = Path(np.repeat(places, 2, axis=0), codes)
    path.should_simplify = False
    axes.add_patch(
        PathPatch(path, edgecolor=colour, alpha=alpha, fill=False, linewidth=_DOT, capstyle="round")
    )


def _scale(axes: Axes, shading: Shading, shades: list[str]) -> None:
    """The colours beside the axes, the least amount lowest."""
    scale = axes.inset_axes((1.04, 0, 0.035, 1))
    scale.bar(0.5, 1, 1, np.arange(len(shades)), color=shades)
    scale.set(xlim=(0, 1), ylim=(0, len(shades)), xticks=[])
    scale.spines[:].set_visible(False)
    scale.yaxis.tick_right()
    heights = [place * len(shades) for place in shading.ticks]
    scale.set_yticks(heights, list(shading.ticks.values()), parse_math=False)
    scale.tick_params(colors=MUTED, length=0, pad=4)
    scale.annotate(
        shading.name,
        (1, 1),
        xytext=(0, -12),
        xycoords="figure fraction",
        textcoords="offset points",
        color=MUTED,
        ha="right",
        parse_math=False,
    )
