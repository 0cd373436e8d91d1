"""Probes that found more than one accuracy: tables, a curve over labels, predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from twofold.evaluate.metrics import (
    METRICS,
    PROBES,
    TRAINED,
    certainly_best,
    figures_of,
    learned_figures,
    read_name,
    spell,
)
from twofold.report import wording
from twofold.report.charts import Curve, line_chart, scatter_chart
from twofold.report.run_folder import RunFolder
from twofold.report.summary import PROBES as DRAWN
from twofold.report.training import Figure

COLUMNS = {
    "": "learned features",
    "raw": "raw input",
    "untrained": "untrained network",
    "baseline": "from random weights",
    "teacher": "its teacher",
}
"""Whose features a column is of, by the end of a figure's name."""

_ERRORS = (
    "R² is 1 where all is predicted and 0 where the mean would do as well; MAE and RMSE are in the "
    "units of the numbers."
)
_AUC = (
    "AUC, the area under the ROC curve, is how often a test item of the second class scores above "
    "one of the first: 1 at best, 0.5 for scores that tell nothing."
)
_LEADS = {
    "knn": f"Each number is the mean over the nearest training items. {_ERRORS}",
    "regression": f"A linear map predicts each number from frozen features. {_ERRORS}",
    "fewshot": "Each episode shows {shots} of each of {ways} classes and asks for others of them; "
    "guessing gives {chance}.",
    "retrieval": "Each test item searches the others for its class. R@k: is one among the k "
    "nearest? R-precision: which share of the nearest, as many as there are to find? mAP@R counts "
    "early hits for more.",
    "clustering": "k-means gathers the test items without labels. NMI, AMI and ARI say how well "
    "its clusters agree with the classes, 1 at best; AMI and ARI are 0 for chance. Silhouette "
    "knows no classes: 1 for clusters far apart.",
    "fewlabels": "The linear probe with so many labelled items of each class.",
    "observables": "A linear map predicts from frozen features what experts read off items, which "
    "the training was never told: R² is 1 where all of it is known and 0 where nothing is.",
    "conserved": "Whether features stay the same along an orbit and tell the quantity: its rank "
    "correlation, R² after a monotone fit, the share of their variance that lies within orbits, "
    "and how far they drift over all the time, in deviations; both 0 for what is conserved.",
    "health": "Without any labels: how evenly the features of the test items are spread.",
    "finetune": "Not a probe: the network itself, trained on labels.",
    "distill": "Not a probe: the network itself, which learned to answer as its teacher does.",
    "forth": "Each item held out searches the other source for itself. R@k: is it among the k "
    "nearest? Chance is k/n, and (n + 1)/2 for the median rank.",
    "back": "The same from the other source.",
}
_MOST_POINTS, _MOST_TARGETS = 800, 4


@dataclass(frozen=True)
class Cell:
    """One figure of a table."""

    value: str
    """With its unit, if it has one; blank if there is none."""
    interval: str = ""
    """Its 95 % interval; blank if it has none."""


@dataclass(frozen=True)
class Line:
    """One measure of a probe, of each input."""

    name: str
    """What is measured."""
    cells: tuple[Cell, ...]
    """One for each column."""
    best: int | None
    """Which is certainly the best, if one is."""


@dataclass(frozen=True)
class Table:
    """What a probe found, learned features beside what they have to beat."""

    title: str
    """What a reader calls the probe."""
    lead: str
    """What its measures mean."""
    columns: tuple[str, ...]
    """What is compared."""
    lines: tuple[Line, ...]
    """A line for each measure."""
    protocol: str
    """How it was measured."""
    caption: str = ""
    """What the figures say, where that is known in words."""
    charts: list[Figure] = field(default_factory=list)
    """The same as pictures, where a picture says more."""


def tables(run: RunFolder) -> list[Table]:
    """A table for every probe of `evaluation.json` that is more than one accuracy."""
    found = []
    for name, (title, _) in (TRAINED | PROBES).items():
        entry = run.evaluation.get(name)
        figures = _tabled(name, entry) if isinstance(entry, Mapping) else {}
        if not figures:
            continue
        assert entry is not None
        used = [end for end in COLUMNS if any(read_name(key).input == end for key in figures)]
        charts = list(_curve(figures, used) if name == "fewlabels" else _scatters(run, name))
        found.append(
            Table(
                title,
                _lead(name, entry, figures),
                tuple(COLUMNS[end] if end or name in PROBES else "this network" for end in used),
                tuple(_lines(figures, used)),
                wording.settings(entry.get("protocol", {})),
                _words(entry),
                charts,
            )
        )
    return found


def transfer(run: RunFolder) -> Table | None:
    """The learned features on other sets of data, a line for each; None if there are none."""
    sets = run.evaluation.get("transfer")
    if not isinstance(sets, Mapping) or not sets:
        return None
    found = {data: learned_figures(probes) for data, probes in sets.items()}
    keys = dict.fromkeys(key for figures in found.values() for key in figures)
    return Table(
        "Transfer",
        "The same frozen features on other data, with training items of that data for the probes.",
        tuple(f"{probe} {read_name(name).words}" for probe, name in keys),
        tuple(
            Line(data, tuple(_cell(key[1], figures.get(key)) for key in keys), None)
            for data, figures in found.items()
        ),
        "",
    )


def _lines(figures: Mapping[str, Any], used: list[str]) -> Iterator[Line]:
    for name in figures:
        if not read_name(name).input:
            row = [figures.get(f"{name}_{end}" if end else name) for end in used]
            cells = tuple(_cell(name, figure) for figure in row)
            yield Line(read_name(name).words, cells, certainly_best(name, row))


def _cell(name: str, figure: Mapping[str, Any] | None) -> Cell:
    if figure is None:
        return Cell("—")
    value, interval = (text.replace("-", "−") for text in spell(name, figure))
    return Cell(value.replace(" ", "\N{NO-BREAK SPACE}"), interval)


def _tabled(name: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures of a probe without accuracies that are drawn."""
    drawn = name in DRAWN
    return {
        key: figure
        for key, figure in figures_of(entry).items()
        if not (drawn and read_name(key).words == "accuracy")
    }


def _lead(name: str, entry: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """What the measures in a table mean."""
    told = any(read_name(key).metric == METRICS["auc"] for key in figures)
    if name in DRAWN and told:
        return _AUC
    protocol, figure = entry.get("protocol", {}), entry.get("accuracy", {})
    shots = protocol.get("shots", "some")
    lead = _LEADS[name].format(
        shots=f"{shots} labelled item" if shots == 1 else f"{shots} labelled items",
        ways=protocol.get("ways", "some"),
        chance=wording.percent(figure.get("chance", 0)),
    )
    return f"{lead} {_AUC}" if told else lead


def _words(entry: Mapping[str, Any]) -> str:
    """What a probe says in words, and what to change where something is wrong."""
    healthy = entry.get("verdict", "healthy") == "healthy"
    return " ".join(str(entry.get(key, "")) for key in ("sentence", "advice")[: 2 - healthy])


def _curve(figures: Mapping[str, Any], used: list[str]) -> Iterator[Figure]:
    """Accuracy by labelled items of each class, with intervals; nothing for a single number."""
    curves = []
    for end in used:
        points = {
            float(read_name(name).of[1:]): figure
            for name, figure in figures.items()
            if read_name(name).metric == METRICS["accuracy"] and read_name(name).input == end
        }
        rows = [(100 * f["value"], *(100 * e for e in f["ci95"])) for f in points.values()]
        y, low, high = np.array(rows).T
        curves.append(Curve(COLUMNS[end], np.array(list(points)), y, low, high, points=True))
    if len(curves[0].x) < 2:
        return
    caption = (
        "Accuracy of a linear probe by labelled items of each class. Bands are 95 % intervals over "
        "draws of the labelled items."
    )
    svg = line_chart(
        curves,
        x_label="labelled items of each class",
        y_label="accuracy in %",
        description=caption,
        wide=True,
        log_x=True,
    )
    yield Figure(svg, caption)


def _scatters(run: RunFolder, probe: str) -> Iterator[Figure]:
    """Predicted against true numbers, target by target: once, by the ridge if it was asked."""
    shown = "regression" if "regression" in run.evaluation else "knn"
    predicted, true = run.arrays.get(f"predicted_{shown}"), run.arrays.get("true")
    if probe != shown or predicted is None or true is None or predicted.shape != true.shape:
        return
    step = -(-len(true) // _MOST_POINTS)
    figures = figures_of(run.evaluation[probe])
    names = [read_name(name) for name in figures]
    targets = dict.fromkeys(name.of for name in names if not name.input)
    unit = next((f", {figure['unit']}" for figure in figures.values() if figure.get("unit")), "")
    for target, which in enumerate(list(targets)[: min(_MOST_TARGETS, true.shape[1])]):
        x, y = true[::step, target], predicted[::step, target]
        caption = (
            f"Predicted against true numbers{which} of {wording.count(len(x))} test items; on the "
            "dashed line they are the same."
        )
        svg: Markup = scatter_chart(
            x, y, x_label=f"true{unit}", y_label=f"predicted{which}{unit}", description=caption
        )
        yield Figure(svg, caption)
