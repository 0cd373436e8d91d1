"""Curves as inline SVG that takes its colours and fonts from the page, in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE, _HALF, _NARROW, _SMALL = (860, 320), (420, 250), (350, 260), (270, 150)
_SQUARE, _MAP = (420, 420), (270, 236)
_LETTER = 7.4
"""Pixels that a letter of a line's name takes, bold and with some to spare."""
_LABEL_ROOM = 108
"""Pixels right of the axes for the names of the lines, more where those are longer."""
_MAX_POINTS = 400
_FAINTEST, _AROUND_ZERO = 1e-4, 1e-2
"""Shares of the largest amount where colours begin, and where those of both signs are linear."""
_FONT = 12
# Colours that matplotlib writes and that the page replaces by its own.
_COLOURS = {
    "#0a0002": "var(--muted)",
    "#0a0003": "var(--line)",
    "#0a0004": "var(--accent)",
    "#0a0005": "var(--ink)",
}
MUTED, _GRID, ACCENT, INK = _COLOURS
_SEVERAL = {f"#0a01{i:02d}": f"var(--c{i})" for i in range(10)}
SHADES = {f"#0a02{i:02d}": f"var(--s{i})" for i in range(12)}
"""Colours of an amount, from the least to the most."""
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True, eq=False)
class Curve:
    """One measured quantity along the training."""

    label: str
    """Its name, printed at its end."""
    x: np.ndarray
    """Where it was measured `(points,)`."""
    y: np.ndarray
    """What was measured `(points,)`; gaps are NaN."""
    low: np.ndarray | None = None
    """Lower end of its interval `(points,)`."""
    high: np.ndarray | None = None
    """Upper end of its interval `(points,)`."""
    smooth: bool = False
    """Whether it is noisy: then it is drawn faint, with its running mean on top."""
    points: bool = False
    """Whether every point is marked."""


@dataclass(frozen=True, eq=False)
class Level:
    """A known value to compare a curve with, such as what guessing gives."""

    label: str
    """Its name, printed at its end unless empty."""
    x: np.ndarray
    """Where it is known `(points,)`."""
    y: np.ndarray
    """Its value there `(points,)`."""
    style: str = "--"
    """Dash pattern, as matplotlib names it."""


def line_chart(
    curve: Curve | Sequence[Curve],
    levels: Sequence[Level] = (),
    *,
    x_label: str,
    y_label: str,
    description: str,
    wide: bool = False,
    small: bool = False,
    y_range: tuple[float, float] | None = None,
    log_x: bool = False,
) -> Markup:
    """Curves with their levels as inline SVG; a second form of a wide one is for narrow screens.

    Args:
        curve: What was measured; several curves are told apart by their colour.
        levels: What to compare it with.
        x_label: Below the axis.
        y_label: Above the axis, with the unit.
        description: What the chart shows, in words, for those who cannot see it.
        wide: Whether it spans the page rather than half of it.
        small: Whether it is one of many that are alike, with room for no more than a value at the
            end of its line.
        y_range: Limits of the vertical axis; fitted to the values if None.
        log_x: Whether the horizontal axis counts in powers, marked where the first curve is.

    Returns:
        One `<svg>`, or two of which the page shows one.

    Example:
        >>> curve = Curve("loss", np.arange(3.0), np.array([3.0, 2.0, 1.0]))
        >>> svg = line_chart(curve, x_label="step", y_label="loss", description="It falls.")
        >>> svg.startswith("<svg"), 'aria-label="It falls."' in svg
        (True, True)
    """
    one = {"small": _SMALL} if small else {"": _HALF}
    sizes = {"wide": _WIDE, "narrow": _NARROW} if wide else one
    curves = [curve] if isinstance(curve, Curve) else curve

    def paint(axes: Axes) -> None:
        _plot(axes, curves, levels)
        if y_range is not None:
            axes.set_ylim(*y_range)
        if log_x:
            axes.set_xscale("log")
            axes.set_xticks(curves[0].x, [f"{x:g}" for x in curves[0].x])
            axes.minorticks_off()
        _name_lines(axes, curves, levels)

    names = [curve.label for curve in curves] + [level.label for level in levels]
    longest = max(map(len, names), default=0)
    room = 52.0 if small else max(_LABEL_ROOM, 8 + _LETTER * longest)
    labels = (x_label, y_label, description)
    drawn = [draw(paint, labels, size, room, name) for name, size in sizes.items()]
    return Markup("").join(drawn)


def scatter_chart(
    x: np.ndarray, y: np.ndarray, *, x_label: str, y_label: str, description: str
) -> Markup:
    """Points with the diagonal, on which both coordinates are the same, as inline SVG.

    Args:
        x: Where the points are to the right `(points,)`.
        y: Where they are upwards `(points,)`, in the same unit.
        x_label: Below the axis.
        y_label: Above the axis, with the unit.
        description: What the chart shows, in words, for those who cannot see it.

    Example:
        >>> svg = scatter_chart(
        ...     np.arange(3.0), np.ones(3), x_label="true", y_label="predicted", description="Flat."
        ... )
        >>> svg.startswith("<svg")
        True
    """
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])

    def paint(axes: Axes) -> None:
        axes.plot(ends, ends, "--", color=MUTED, linewidth=1.3)
        axes.plot(x, y, "o", color=ACCENT, markersize=3.5, alpha=0.4, markeredgewidth=0)

    return draw(paint, (x_label, y_label, description), _SQUARE, 16.0, "square")


def heat_map(
    values: np.ndarray,
    *,
    reach: float,
    signed: bool = False,
    x_label: str,
    y_label: str,
    description: str,
) -> Markup:
    """Amounts on a grid as colours on a logarithmic scale, as inline SVG.

    Args:
        values: `(rows, columns)`; the first row is drawn lowest.
        reach: Largest amount on the scale, > 0; colours tell four powers of ten.
        signed: Whether amounts below 0 have colours of their own; the scale is linear around 0
            then, within a hundredth of `reach`.
        x_label: Below the axis.
        y_label: Above the axis.
        description: What the map shows, in words, for those who cannot see it.

    Example:
        >>> svg = heat_map(
        ...     np.eye(3), reach=1.0, x_label="φ", y_label="η", description="A diagonal."
        ... )
        >>> svg.count("<image") >= 1
        True
    """
    from matplotlib.colors import LogNorm, Normalize, SymLogNorm

    norm: Normalize = LogNorm(_FAINTEST * reach, reach, clip=True)
    if signed:
        norm = SymLogNorm(_AROUND_ZERO * reach, vmin=-reach, vmax=reach)
    rows, columns = values.shape

    def paint(axes: Axes) -> None:
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        drawn = axes.imshow(
            values if signed else np.maximum(values, _FAINTEST * reach),
            norm=norm,
            cmap="RdBu_r" if signed else "inferno",
            origin="lower",
            extent=(-columns / 2, columns / 2, -rows / 2, rows / 2),
            interpolation="none",
        )
        scale = axes.figure.colorbar(drawn, cax=axes.inset_axes((1.04, 0, 0.045, 1)))
        scale.outline.set_visible(False)
        scale.ax.tick_params(colors=MUTED, length=0, pad=3)
        scale.ax.minorticks_off()
        if signed:
            decade = 10.0 ** np.floor(np.log10(reach))
            scale.set_ticks([-decade, -decade / 10, 0, decade / 10, decade])

    return draw(paint, (x_label, y_label, description), _MAP, 62.0, "map")


def draw(
    paint: Callable[[Axes], None],
    labels: tuple[str, str, str],
    size: tuple[int, int],
    room: float,
    css_class: str,
) -> Markup:
    """What `paint` draws within axes that leave `room` to their right."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    (width, height), (x_label, y_label, description) = size, labels
    with mpl.rc_context({"svg.fonttype": "none", "font.size": _FONT, "svg.hashsalt": "twofold"}):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        left, bottom, top = 52 / width, 44 / height, 1 - 30 / height
        axes = figure.add_axes((left, bottom, 1 - room / width - left, top - bottom))
        _frame(axes, x_label, y_label)
        paint(axes)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _themed(buffer.getvalue(), css_class, description)


def _frame(axes: Axes, x_label: str, y_label: str) -> None:
    """Horizontal grid lines and nothing else that a reader does not need."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.grid(axis="y", color=_GRID, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, pad=6)
    axes.locator_params(axis="both", nbins=6)
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlabel(x_label, color=MUTED, loc="right", labelpad=4, parse_math=False)
    axes.annotate(
        y_label,
        (0, 1),
        xytext=(0, -_FONT),
        xycoords="figure fraction",
        textcoords="offset points",
        color=MUTED,
        parse_math=False,
    )


def _plot(axes: Axes, curves: Sequence[Curve], levels: Sequence[Level]) -> None:
    for level in levels:
        x, y = _thinned(level.x, level.y)
        axes.plot(x, y, level.style, color=MUTED, linewidth=1.3)
    for curve, (colour, dash) in zip(curves, _looks(curves), strict=True):
        x, y = _thinned(curve.x, curve.y)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(
                curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0, zorder=2
            )
        if curve.smooth and len(x) > 20:
            axes.plot(x, y, color=colour, linewidth=1, alpha=0.35)
            x, y = _running_mean(x, y)
        marker = "o" if curve.points else ""
        axes.plot(x, y, dash, color=colour, linewidth=2, marker=marker, markersize=4.5)
    axes.margins(x=0.01, y=0.08)


def _looks(curves: Sequence[Curve]) -> list[tuple[str, str]]:
    """Colour and dashes of each curve: one alone is in the accent, no two look the same."""
    colours = [*_SEVERAL] if len(curves) > 1 else [ACCENT]
    rounds = [divmod(i, len(colours)) for i in range(len(curves))]
    return [(colours[at], _DASHES[turn % len(_DASHES)]) for turn, at in rounds]


def _name_lines(axes: Axes, curves: Sequence[Curve], levels: Sequence[Level]) -> None:
    """Name every line where it ends, names apart from each other even where lines meet."""
    ends = [
        (_last(_running_mean(c.x, c.y)[1] if c.smooth else c.y), c.label, colour, "bold")
        for c, (colour, _) in zip(curves, _looks(curves), strict=True)
    ]
    ends += [(_last(level.y), level.label, MUTED, "normal") for level in levels]
    bottom, top = axes.get_ylim()
    apart = 1.35 * _FONT / axes.get_window_extent().height
    places: list[float] = []
    shown = sorted((e for e in ends if np.isfinite(e[0]) and e[1]), key=lambda end: end[0])
    for value, *_ in shown:
        place = (value - bottom) / (top - bottom)
        places.append(max(place, places[-1] + apart) if places else place)
    overflow = max(0.0, places[-1] - 1) if places else 0.0
    for i in reversed(range(len(places))):
        limit = places[i + 1] - apart if i + 1 < len(places) else 1.0
        places[i] = min(places[i], limit) if overflow else places[i]
    for place, (_, label, colour, weight) in zip(places, shown, strict=True):
        axes.annotate(
            label,
            (1, place),
            xytext=(8, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontweight=weight,
            va="center",
            annotation_clip=False,
        )


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `_MAX_POINTS` points: means of neighbours, so that no swing is picked or dropped."""
    if len(x) <= _MAX_POINTS:
        return x, y
    parts = np.array_split(np.arange(len(x)), _MAX_POINTS)
    return np.array([x[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])


def _running_mean(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over a window of a twentieth of the points, shorter at both ends."""
    reach = max(1, len(y) // 40)
    windows = [y[max(0, i - reach) : i + reach + 1] for i in range(len(y))]
    return x, np.array([window.mean() for window in windows])


def _themed(svg: str, css_class: str, description: str) -> Markup:
    """Matplotlib's SVG as part of a page: the page's colours and font, no ids that could clash."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    for colour, variable in (_COLOURS | _SEVERAL | SHADES).items():
        body = body.replace(colour, variable)
    body = re.sub(r"font: (?:(bold|\d{3}) )?[\d.]+px [^;\"]+;?", _weight, body)
    body = re.sub(r"font-(?:family|size): [^;\"]+;?\s*", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r"<[^>]+>", _shorter_numbers, body)
    body = re.sub(r"\s*\n\s*", " ", body)
    body = _private_ids(body, css_class)
    head = re.search(r"viewBox=\"([^\"]+)\"", body)
    view_box = head[1] if head else ""
    inside = body[body.index(">") + 1 :]
    # Matplotlib escapes the text it writes; only the attributes below are ours.
    return Markup('<svg class="chart {}" viewBox="{}" role="img" aria-label="{}">').format(
        css_class, view_box, escape(description)
    ) + Markup(inside)


def _shorter_numbers(tag: re.Match[str]) -> str:
    """Coordinates to a hundredth of a pixel; numbers that are read stay as they are."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", tag[0])


def _weight(font: re.Match[str]) -> str:
    return "font-weight: 600;" if font[1] else ""


def _private_ids(body: str, css_class: str) -> str:
    """Drop ids nothing refers to; make the others depend on the drawing's content."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    key = f"{_checksum(body):08x}{css_class}"

    def rename(match: re.Match[str]) -> str:
        return f' id="{match[1]}-{key}"' if match[1] in used else ""

    body = re.sub(r'\sid="([^"]+)"', rename, body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#\1-{key}"', body)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#\1-{key})", body)


def _checksum(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())
