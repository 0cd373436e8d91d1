"""What a study found as one figure: a curve, a heat map, or a panel of them."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.folder import write_atomically
from twofold.studies.plan import label, short_names
from twofold.studies.result import PICTURES, PROBES, Estimate, Row, Study, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

_MOST_PANELS = 9
_MOST_TICKS = 12  # numbers on an axis before they run into each other
_PROBE = next(iter(PROBES))
_CURVE = "accuracy"  # of both probes
_CELL = (0.95, 0.62)  # inches
_INK, _MUTED, _GRID = "#222222", "#666666", "#dddddd"
_COLOURS = {"linear": "#1f5fa8", "knn": "#c4622d"}
_MAP = "Blues"
_DPI = 160


def write_figure(study: Study, *, compose: Sequence[str] = ()) -> str | None:
    """Writes `figure.svg` and `figure.png`, or says in a sentence why there is none.

    One varied field is drawn as a curve of both probes with their intervals; two as a heat map of
    the linear probe; more as a heat map for every combination of the others.

    Args:
        study: What was found.
        compose: Augmentations of a composition study, in the order of the rows.
    """
    values = {field: _distinct(row.values[field] for row in study.rows) for field in study.fields}
    varied = [field for field, several in values.items() if len(several) > 1]
    panels = math.prod(len(values[field]) for field in varied[2:])
    if not compose and not varied:
        return "one combination makes no figure; table.csv has it"
    if panels > _MOST_PANELS:
        return f"{panels} heat maps are too many for one figure; table.csv has all rows"
    if compose:
        figure = _composition(study, compose)
    elif len(varied) == 1:
        figure = _curve(study, varied[0], values[varied[0]])
    else:
        figure = _heat_maps(study, varied, values)
    _save(study, figure)
    return None


def _curve(study: Study, field: str, values: list[Any]) -> Figure:
    figure = _blank(study, (6.4, 4.0), _CURVE)
    axes = figure.subplots()
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    x = np.array(values, dtype=float) if numeric else np.arange(len(values), dtype=float)
    axes.update_datalim(np.stack([x, x], axis=1), updatey=False)  # also where all seeds failed
    for at, row in zip(x, study.rows, strict=True):
        if row.estimate(_PROBE) is None:
            _write(axes, at, 0.03, "failed", _MUTED, transform=axes.get_xaxis_transform())
    for side, (probe, words) in zip((-1, 1), PROBES.items(), strict=True):
        _draw_probe(axes, study.rows, x, probe, words, joined=numeric, side=side)
    if numeric and min(values) > 0 and max(values) >= 10 * min(values):
        axes.set_xscale("log")
    if not numeric or len(values) <= _MOST_TICKS:
        axes.set_xticks(x, [textwrap.fill(label(value), 14) for value in values])
        axes.minorticks_off()
    axes.margins(x=0.08, y=0.08)
    axes.autoscale_view()
    axes.set_xlabel(field, color=_INK)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=_MUTED, length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0)
    return figure


def _draw_probe(
    axes: Axes,
    rows: Sequence[Row],
    x: np.ndarray,
    probe: str,
    words: str,
    *,
    joined: bool,
    side: int,
) -> None:
    """One probe's means with intervals and its single seeds, a little to one side of the value."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure()
    assert figure is not None
    beside = axes.transData + ScaledTranslation(side * 4 / 72, 0, figure.dpi_scale_trans)
    found = [(at, row.estimate(probe), row.figures[probe]) for at, row in zip(x, rows, strict=True)]
    points = sorted((at, *(100 * np.array(e[:3]))) for at, e, _ in found if e is not None)
    if points:
        where, mean, low, high = np.array(points).T
        # The limits do not follow what is drawn beside its place.
        axes.update_datalim(np.concatenate([np.stack([where, y], 1) for y in (low, high)]))
        axes.errorbar(
            where,
            mean,
            yerr=[(mean - low).tolist(), (high - mean).tolist()],  # 3.10 warns of arrays of one
            fmt="o-" if joined else "o",
            color=_COLOURS[probe],
            capsize=3,
            label=words,
            transform=beside,
        )
    for at, _, figures in found:
        single = [100 * figure["value"] for figure in figures if figure is not None]
        if len(single) > 1:
            axes.update_datalim([(at, value) for value in single])
            axes.plot(
                [at] * len(single),
                single,
                "o",
                color=_COLOURS[probe],
                markerfacecolor="white",
                markersize=3,
                zorder=3,
                transform=beside,
            )


def _heat_maps(study: Study, varied: Sequence[str], values: Mapping[str, list[Any]]) -> Figure:
    down, across, *others = varied
    places = list(itertools.product(*(values[field] for field in others)))
    columns = min(len(places), 3)
    lines = math.ceil(len(places) / columns)
    width, height = len(values[across]) * _CELL[0], len(values[down]) * _CELL[1]
    size = (columns * (width + 1.0), lines * (height + 0.9) + 0.8)
    figure = _blank(study, size, PROBES[_PROBE])
    panels = figure.subplots(lines, columns, squeeze=False).flat
    short, norm = short_names(study.fields), _norm(study.rows)
    for axes, place in itertools.zip_longest(panels, places):
        if place is None:
            axes.set_visible(False)
            continue
        fixed = dict(zip(others, place, strict=True))
        rows = [r for r in study.rows if all(r.values[f] == v for f, v in fixed.items())]
        cells = {(_key(r.values[down]), _key(r.values[across])): r.estimate(_PROBE) for r in rows}
        _heat_map(
            axes,
            [[cells[_key(v), _key(w)] for w in values[across]] for v in values[down]],
            norm,
        )
        _name_ticks(axes, values[across], values[down])
        axes.set_xlabel(short[across], color=_INK)
        axes.set_ylabel(short[down], color=_INK)
        axes.set_title(named(fixed), fontsize="medium", color=_INK)
    return figure


def _composition(study: Study, names: Sequence[str]) -> Figure:
    """Every augmentation alone on the diagonal, every pair beside it, and the mean of each row."""
    found = {frozenset(row.values.values()): row.estimate(_PROBE) for row in study.rows}
    cells = [[found[frozenset((first, second))] for second in names] for first in names]
    count = len(names)
    size = ((count + 1.3) * _CELL[0] + 1.4, count * _CELL[1] + 1.7)
    figure = _blank(study, size, PROBES[_PROBE])
    axes = figure.subplots()
    norm = _norm(study.rows)
    _heat_map(axes, cells, norm)
    means = [_mean(line) for line in cells]
    extent = (count - 0.3, count + 0.7, count - 0.5, -0.5)
    shown = np.array(means)[:, None]
    axes.imshow(shown, cmap=_MAP, norm=norm, extent=extent, aspect="auto")
    for at, mean in enumerate(means):
        if math.isfinite(mean):
            colour = _contrasting(mean, norm)
            _write(axes, count + 0.2, at, f"{mean:.1f}", colour)
    axes.set_xlim(-0.5, count + 0.7)
    axes.set_ylim(count - 0.5, -0.5)
    _name_ticks(axes, names, names)
    axes.set_xticks([*range(count), count + 0.2], [*names, "mean"])
    return figure


def _heat_map(axes: Axes, cells: Sequence[Sequence[Estimate | None]], norm: Normalize) -> None:
    """Means in colour and in figures, each with its interval."""
    means = np.array([[math.nan if e is None else 100 * e.mean for e in line] for line in cells])
    axes.imshow(means, cmap=_MAP, norm=norm, aspect="auto")
    for (line, column), mean in np.ndenumerate(means):
        found = cells[line][column]
        if found is None:
            _write(axes, column, line, "failed", _MUTED)
            continue
        colour = _contrasting(mean, norm)
        interval = f"{100 * found.low:.1f} to {100 * found.high:.1f}"
        _write(axes, column, line - 0.12, f"{mean:.1f}", colour)
        _write(axes, column, line + 0.22, interval, colour, fontsize=6.5)


def _write(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    axes.text(x, y, text, ha="center", va="center", color=colour, **options)


def _name_ticks(axes: Axes, across: Sequence[Any], down: Sequence[Any]) -> None:
    axes.set_xticks(range(len(across)), [textwrap.fill(label(v), 12) for v in across])
    axes.set_yticks(range(len(down)), [textwrap.fill(label(v), 16) for v in down])
    axes.tick_params(length=0, colors=_INK)
    axes.spines[:].set_visible(False)


def _blank(study: Study, size: tuple[float, float], what: str) -> Figure:
    """An empty figure that says what is shown, on what it was measured and what intervals mean."""
    from matplotlib.figure import Figure

    width = max(size[0], 4.2)
    figure = Figure(figsize=(width, size[1]), layout="constrained")
    figure.suptitle(_wrapped(f"{study.title}: {what}", width, 12), x=0.02, ha="left", fontsize=12)
    caption = f"In %. Judged on {study.judged_on}. {study.basis}."
    if what == _CURVE and len(study.seeds) > 1:
        caption += " Small circles are single seeds."
    figure.supxlabel(_wrapped(caption, width, 8), x=0.02, ha="left", fontsize=8, color=_MUTED)
    return figure


def _wrapped(text: str, width: float, size: int) -> str:
    return textwrap.fill(text, int(0.96 * width * 72 / (0.56 * size)))  # a letter is half as wide


def _norm(rows: Sequence[Row]) -> Normalize:
    from matplotlib.colors import Normalize

    means = [100 * e.mean for row in rows if (e := row.estimate(_PROBE))] or [0.0]
    return Normalize(min(means) - 1, max(means) + 1)


def _contrasting(value: float, norm: Normalize) -> str:
    return "white" if norm(value) > 0.6 else _INK


def _mean(line: Sequence[Estimate | None]) -> float:
    means = [100 * found.mean for found in line if found is not None]
    return float(np.mean(means)) if len(means) == len(line) else math.nan


def _distinct(values: Any) -> list[Any]:
    return list({_key(value): value for value in values}.values())


def _key(value: Any) -> str:
    """A list cannot be the key of a dictionary; its words can."""
    return repr(value)


def _save(study: Study, figure: Figure) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "twofold"}):
        for name in PICTURES:
            kind = name.rpartition(".")[2]
            metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
            write_atomically(study.folder / name, buffer.getvalue())
