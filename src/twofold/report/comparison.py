"""The page of a comparison: the table, the figures side by side and the curves overlaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold import __version__
from twofold.comparison import Comparison, Figure
from twofold.evaluate.metrics import PROBES, read_name
from twofold.report import run_folder, summary, training
from twofold.report.page import write_page

_SECTIONS = {
    "table": "Side by side",
    "quality": "Quality of the features",
    "training": "Course of the training",
}


@dataclass(frozen=True)
class _Probe:
    """One way to judge the features of every run."""

    title: str
    rows: list[summary.Row]
    sentence: str

    @property
    def axis(self) -> summary.Axis:
        """An axis of its own: few-shot accuracies, say, lie elsewhere than a linear probe's."""
        return summary.axis(self.rows)


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Write runs side by side as one page that loads nothing from the network.

    Args:
        comparison: The runs, from `twofold.compare`.
        out: Where to write the page.

    Returns:
        Path of the page.

    Example:
        >>> write_comparison(twofold.compare(["runs/a", "runs/b"]), "ab.html")  # doctest: +SKIP
        PosixPath('ab.html')
    """
    runs = [run_folder.read(folder) for folder in comparison.folders]
    probes = list(_probes(comparison))
    table = comparison.table()
    context = {
        "sections": _SECTIONS,
        "name": f"{len(runs)} runs side by side",
        "title": ", ".join(comparison.names),
        "notes": comparison.remarks,
        "names": comparison.names,
        "table": table,
        "zip": zip,
        "any_best": any(row.best is not None for rows in table.values() for row in rows),
        "probes": probes,
        "judged": bool(comparison.figures),
        "course": training.overlaid(dict(zip(comparison.names, runs, strict=True))),
        "version": __version__,
    }
    return write_page(Path(out), "comparison.html.j2", context)


def _probes(comparison: Comparison) -> Iterator[_Probe]:
    """Accuracies by probe; one that is the same for all runs, as of raw input, is drawn once.

    The table has the other figures, which share no axis.
    """
    drawn = {
        key: f for key, f in comparison.figures.items() if read_name(key[1]).words == "accuracy"
    }
    for probe in dict.fromkeys(probe for probe, _ in drawn):
        rows: list[summary.Row] = []
        for (owner, metric), figures in drawn.items():
            if owner == probe:
                rows += _rows(metric, figures, comparison.names)
        title = PROBES[probe].title if probe in PROBES else probe.capitalize()
        yield _Probe(title, rows, _sentence(comparison, probe))


def _rows(
    metric: str, figures: Sequence[Figure | None], names: Sequence[str]
) -> Iterator[summary.Row]:
    label, kind = summary.INPUTS.get(metric, (metric.replace("_", " "), "trained"))
    left = [(name, figure) for name, figure in zip(names, figures, strict=True) if figure]
    everyone = len(left)
    while left:
        figure = left[0][1]
        alike = left[:1] if kind == "trained" else [entry for entry in left if entry[1] == figure]
        left = [entry for entry in left if entry not in alike]
        owners = ", ".join(name for name, _ in alike)
        if metric != "accuracy":
            owners = label if len(alike) == everyone else f"{label} ({owners})"
        yield summary.row(owners, kind, figure)


def _sentence(comparison: Comparison, probe: str) -> str:
    """What the rows of a probe say of the runs."""
    judged = [figure for figure in comparison.figures.get((probe, "accuracy"), ()) if figure]
    if len(judged) < 2:
        return "There are no two runs to compare here."
    if not comparison.comparable:
        return "The runs were judged on different data, so none is called the best."
    best = comparison.best(probe, "accuracy")
    if best is None:
        return "No run is certainly the best: the intervals of the first ones overlap."
    return f"{comparison.names[best]} is the best: no other run's interval overlaps its own."
