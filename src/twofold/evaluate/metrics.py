"""What the figures of an evaluation are called, what they count in, and which of two is better.

Imports no torch: tables, comparisons and reports read figures from files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, NamedTuple

from twofold.errors import unknown


class ProbeName(NamedTuple):
    """What a probe is called."""

    title: str
    """By a reader."""
    about: str
    """In one line."""


PROBES = {
    "knn": ProbeName("Nearest neighbours", "classes or numbers from the nearest training items"),
    "linear": ProbeName("Linear probe", "classes by logistic regression"),
    "regression": ProbeName("Ridge regression", "numbers by a linear map: R², MAE, RMSE, Spearman"),
    "fewshot": ProbeName("Few-shot episodes", "classes told apart from a few items of each"),
    "retrieval": ProbeName("Retrieval", "whether the nearest are alike: R@k, R-precision, mAP@R"),
    "clustering": ProbeName("Clustering", "k-means against the classes: NMI, AMI, ARI, accuracy"),
    "fewlabels": ProbeName("Few labels", "the linear probe by labelled items of each class"),
    "observables": ProbeName("Observables", "what experts read off items, by ridge regression: R²"),
    "conserved": ProbeName(
        "Conserved quantities", "what is constant along orbits: |Spearman|, R², within / total"
    ),
    "health": ProbeName(
        "Health", "how evenly features are spread, without labels: RankMe and more"
    ),
}
"""Every probe by name."""

TRAINED = {
    "finetune": ProbeName("Fine-tuned", "the network itself, trained on labels"),
    "distill": ProbeName("Distilled", "the network itself, taught by another"),
    "forth": ProbeName("Retrieval across", "the same item in the other source, in one space"),
    "back": ProbeName("Retrieval back", "from the other source, the same item in this one"),
}
"""What else has figures: networks with heads of their own."""

INPUTS = {
    "": "learned",
    "raw": "raw",
    "untrained": "untrained",
    "baseline": "baseline",
    "teacher": "teacher",
}
"""Whose features a figure is of, by the end of its name: `accuracy`, `accuracy_raw`, ..."""


class Metric(NamedTuple):
    """One measure."""

    words: str
    """What a reader calls it."""
    unit: Literal["share", "target", "number"]
    """A share is shown in percent; `target` counts in the units of the numbers predicted."""
    better: Literal["higher", "lower"] | None = "higher"
    """Which of two figures is the better one; None where that depends."""


METRICS = {
    "accuracy": Metric("accuracy", "share"),
    "auc": Metric("AUC", "number"),
    "agreement": Metric("agreement", "share", None),
    "r2": Metric("R²", "number"),
    "mae": Metric("MAE", "target", "lower"),
    "rmse": Metric("RMSE", "target", "lower"),
    "spearman": Metric("Spearman", "number"),
    "within": Metric("variance within / total", "number", "lower"),
    "drift": Metric("drift", "number", "lower"),
    "iqr": Metric("IQR left", "number", "lower"),
    "orbit_dimension": Metric("dimension of orbits", "number", None),
    "r": Metric("R", "share"),
    "r_precision": Metric("R-precision", "share"),
    "map@r": Metric("mAP@R", "share"),
    "median_rank": Metric("median rank", "number", "lower"),
    "nmi": Metric("NMI", "number"),
    "ami": Metric("AMI", "number"),
    "ari": Metric("ARI", "number"),
    "silhouette": Metric("silhouette", "number"),
    "std_ratio": Metric("std ratio", "number", None),
    "rankme": Metric("RankMe", "number", None),
    "rank_fraction": Metric("share of directions", "share", None),
    "mean_cosine": Metric("mean cosine", "number", None),
    "uniformity": Metric("uniformity", "number", None),
    "alignment": Metric("alignment", "number", None),
}
"""Every measure by name. `r@5` is `r` of 5, and `mae_2` the `mae` of target 2."""


class Name(NamedTuple):
    """The name of a figure, taken apart."""

    metric: Metric
    """What is measured."""
    of: str
    """Its number `@5` or its target ` (mass)`; blank if it has none."""
    input: str
    """Whose features it is of: a key of `INPUTS`."""

    @property
    def words(self) -> str:
        """The measure as a reader calls it, without whose features it is of."""
        return f"{self.metric.words}{self.of}"

    @property
    def in_full(self) -> str:
        """The same, and whose features it is of if not those that are judged."""
        return f"{self.words}, {INPUTS[self.input]}" if self.input else self.words


def read_name(name: str) -> Name:
    """Takes the name of a figure apart; a measure that is not known is a number.

    Example:
        >>> found = read_name("r@5_raw")
        >>> found.words, found.metric.unit, found.input
        ('R@5', 'share', 'raw')
        >>> read_name("mae_mass").words, read_name("mae_mass").metric.better
        ('MAE (mass)', 'lower')
    """
    stem, _, last = name.rpartition("_")
    whose = last if stem and last in INPUTS else ""
    stem = stem if whose else name
    for known in sorted(METRICS, key=len, reverse=True):
        rest = stem.removeprefix(known)
        if stem.startswith(known) and rest[:1] in ("", "@", "_"):
            of = f" ({rest[1:]})" if rest.startswith("_") else rest
            return Name(METRICS[known], of, whose)
    return Name(Metric(stem.replace("_", " "), "number", None), "", whose)


class Spelled(NamedTuple):
    """A figure as it is read."""

    value: str
    """With its unit, if it has one."""
    interval: str
    """Its 95 % interval without the unit; blank if it has none."""


def spell(name: str, figure: Mapping[str, Any]) -> Spelled:
    """A figure in its unit, rounded as far as it can be read.

    Shares are in percent with one decimal. Others have three digits; those without a unit three
    decimals below 10, so that scores can be compared.

    Args:
        name: Its name in `evaluation.json`.
        figure: With `value`, `ci95`, which may be None, and `unit` if it is known.

    Example:
        >>> spell("accuracy_raw", {"value": 0.8432, "ci95": [0.8361, 0.8501], "n": 10_000})
        Spelled(value='84.3 %', interval='83.6 to 85.0')
        >>> spell("rankme", {"value": 35.2191, "ci95": None, "n": 4000})
        Spelled(value='35.2', interval='')
        >>> spell("mae", {"value": 8.3132, "ci95": [8.1, 8.5], "n": 4000, "unit": "GeV"})
        Spelled(value='8.31 GeV', interval='8.10 to 8.50')
    """
    unit = read_name(name).metric.unit
    value, ends = figure["value"], figure["ci95"] or ()
    if unit == "share":
        numbers = [f"{100 * number:.1f}" for number in (value, *ends)]
        return Spelled(f"{numbers[0]} %", " to ".join(numbers[1:]))
    magnitude = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    if magnitude > 6 or (unit == "target" and magnitude < -4):
        numbers = [f"{number:.2e}" for number in (value, *ends)]
    else:
        places = 3 if unit == "number" and magnitude < 1 else max(0, 2 - magnitude)
        numbers = [f"{round(number, places) + 0.0:,.{places}f}" for number in (value, *ends)]
    return Spelled(f"{numbers[0]} {figure.get('unit', '')}".rstrip(), " to ".join(numbers[1:]))


def certainly_best(name: str, figures: Sequence[Mapping[str, Any] | None]) -> int | None:
    """Which of several figures of one measure is the best, if its interval overlaps no other.

    Args:
        name: Their name in `evaluation.json`: of errors the lowest is the best.
        figures: One of each input or run; None where it has none.

    Returns:
        Its place; None if there are not two, one has no interval, or two overlap.

    Example:
        >>> found = [{"value": v, "ci95": [v - 1, v + 1], "n": 9} for v in (2.0, 8.0)]
        >>> certainly_best("r2", found), certainly_best("mae", found)
        (1, 0)
    """
    better = read_name(name).metric.better
    found = {i: figure for i, figure in enumerate(figures) if figure is not None}
    if len(found) < 2 or better is None or not all(f["ci95"] for f in found.values()):
        return None
    sign = -1 if better == "lower" else 1  # turned over, errors are best where highest
    ends = {i: sorted(sign * end for end in f["ci95"]) for i, f in found.items()}
    best = max(found, key=lambda i: sign * found[i]["value"])
    apart = all(ends[i][1] < ends[best][0] for i in found if i != best)
    return best if apart else None


def figures_of(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The figures of one probe in `evaluation.json`, without its words and its protocol.

    Example:
        >>> list(figures_of({"accuracy": {"value": 0.5, "ci95": [0.4, 0.6]}, "auc": {"ci95": []}}))
        ['accuracy']
    """
    return {name: figure for name, figure in metrics.items() if _is_figure(figure)}


def _is_figure(found: Any) -> bool:
    """Whether it has a value, and an interval or none: files may have been changed by anyone."""
    if not isinstance(found, Mapping) or "ci95" not in found:
        return False
    ends = () if found["ci95"] is None else found["ci95"]
    if not isinstance(ends, list | tuple) or len(ends) not in (0, 2):
        return False
    return all(isinstance(number, Real) for number in (found.get("value"), *ends))


def learned_figures(probes: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The figures of what is judged, not of what it is compared with, by probe and name."""
    return {
        (probe, name): figure
        for probe, metrics in probes.items()
        for name, figure in figures_of(metrics).items()
        if not read_name(name).input
    }


def check_probes(names: Iterable[str]) -> None:
    """Refuses a probe that is none.

    Example:
        >>> check_probes(["knn", "liner"])
        Traceback (most recent call last):
        twofold.errors.TwofoldError: unknown probe 'liner'; did you mean 'linear'? (known: ...)
    """
    for name in names:
        if name not in PROBES:
            raise unknown("probe", name, PROBES)
