"""How several losses were balanced: the factors on them, their gradients and how those agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from twofold.report import wording
from twofold.report.charts import Curve, Level, line_chart
from twofold.report.run_folder import RunFolder
from twofold.report.training import Figure, abridged, progress

_KINDS = {
    "weights": ("weight", "Factor on each loss in the sum that is minimised"),
    "gradient_norms": ("gradient norm", "Norm of each loss's gradient, before any factor"),
}
_FEW = 40  # measurements up to which each is marked


@dataclass(frozen=True)
class BalanceReport:
    """What a balancer did along the training."""

    curves: list[Figure]
    """Weights and norms of gradients, all losses in one chart each."""
    cosines: list[Markup]
    """One small chart for each pair of losses."""
    cosine_caption: str
    """What to see in those."""


def curves(run: RunFolder) -> BalanceReport | None:
    """Weights, gradient norms and gradient cosines as far as they were recorded; None if not."""
    drawn = []
    for key, (label, meaning) in _KINDS.items():
        losses, unit = _recorded(run, key)
        if len(losses) > 1:
            drawn.append(_together(losses, unit, label, meaning))
    cosines, unit = _recorded(run, "gradient_cosines")
    if not drawn and not cosines:
        return None
    return BalanceReport(drawn, list(_pairs(cosines, unit)), _agreement(cosines))


def _together(losses: list[Curve], unit: str, label: str, meaning: str) -> Figure:
    last = ", ".join(f"{c.label} {wording.significant(float(c.y[-1]))}" for c in losses)
    caption = f"{meaning}; at the end {last}."
    top = 1.08 * max(float(curve.y.max()) for curve in losses)
    svg = line_chart(
        [Curve(abridged(c.label, 20), c.x, c.y, points=c.points) for c in losses],
        x_label=unit,
        y_label=label,
        description=caption,
        y_range=(0.0, top) if top > 0 else None,
    )
    return Figure(svg, caption)


def _pairs(cosines: list[Curve], unit: str) -> Iterator[Markup]:
    """A small chart for each pair, all on the same scale around 0."""
    largest = max((float(np.abs(curve.y).max()) for curve in cosines), default=0.0)
    reach = min(1.0, max(0.2, math.ceil(10 * largest) / 10))
    for curve in cosines:
        last = wording.decimals(float(curve.y[-1]), 2)
        yield line_chart(
            Curve(last, curve.x, curve.y, points=curve.points),
            [Level("", curve.x, np.zeros_like(curve.x))],
            x_label=unit,
            y_label=abridged(_pair(curve.label), 40),
            description=f"Cosine of the gradients of {_pair(curve.label)}: {last} at the end.",
            small=True,
            y_range=(-reach, reach),
        )


def _agreement(cosines: list[Curve]) -> str:
    text = (
        "Cosines of the losses' gradients. At the dashed line of 0 two losses leave each other "
        "alone, above it they pull together, below it against each other."
    )
    means = {_pair(curve.label): float(curve.y.mean()) for curve in cosines}
    against = min(means, key=lambda pair: means[pair], default="")
    if against and means[against] < -0.005:
        text += f" Most against each other: {against}, {wording.decimals(means[against], 2)} "
        text += "on average."
    return text


def _recorded(run: RunFolder, key: str) -> tuple[list[Curve], str]:
    """A curve for each name under a key of the records, along the training."""
    x, unit = progress(run, run.steps)
    found: dict[str, list[tuple[float, float]]] = {}
    for at, step in zip(x, run.steps, strict=True):
        for name, value in _part(_part(step, "balance"), key).items():
            if isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name, []).append((float(at), float(value)))
    drawn = []
    for name, points in found.items():
        where, what = np.array(points).T
        drawn.append(Curve(name, where, what, points=len(points) <= _FEW))
    return drawn, unit


def _part(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = mapping.get(key)
    return part if isinstance(part, Mapping) else {}


def _pair(name: str) -> str:
    return " · ".join(name.split("|"))
