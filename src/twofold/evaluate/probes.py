"""The probes of an evaluation, each a value: what it measures for which labels, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.evaluate.clustering import clustering
from twofold.evaluate.conservation import (
    NEIGHBOURS,
    in_one_dimension,
    orbit_dimension,
    quantity_figures,
    within_figure,
)
from twofold.evaluate.few_labels import few_labels
from twofold.evaluate.few_shot import few_shot
from twofold.evaluate.health import health
from twofold.evaluate.intervals import bootstrap, mean_figure
from twofold.evaluate.knn import knn_votes
from twofold.evaluate.linear import L2_GRID, linear_probe
from twofold.evaluate.options import ProbeOptions
from twofold.evaluate.regression import (
    RIDGE_GRID,
    endings,
    figures_by_target,
    knn_regression,
    ridge_probe,
)
from twofold.evaluate.retrieval import retrieval
from twofold.evaluate.roc import class_figures, positive
from twofold.evaluate.steadiness import drift_figure, least_drift

Kind = Literal["classes", "numbers", "none"]
"""What labels are: classes, numbers to regress, or not there."""

_AXES = 64  # principal ones: more dimensions, such as pixels, cannot be turned in a moment
_HEALTH_ITEMS = 4000  # the rank needs no more, and its cost grows with their square
_TOLD = ("accuracy", "auc")  # the latter where there are two classes
_ERRORS = ("r2", "mae", "rmse", "spearman")


class Observed(NamedTuple):
    """What experts read off some items."""

    rows: np.ndarray
    """Which items, int64 `(n,)`."""
    values: np.ndarray
    """What was read off them `(n, observables)`."""


class Orbits(NamedTuple):
    """Groups of some items, such as orbits, and their times."""

    groups: np.ndarray
    """Group of each item `(n,)`."""
    times: np.ndarray | None
    """Time of each `(n,)`; None if it is not known."""


class Frozen(NamedTuple):
    """Frozen features of the training and the test items, with the labels of both."""

    train: Tensor
    """Features of the training items `(n, dim)`."""
    test: Tensor
    """Features of the test items `(m, dim)`, on the same device."""
    labels: Any
    """Labels of the training items: classes `(n,)`, or numbers `(n,)` or `(n, targets)`."""
    test_labels: Any
    """Those of the test items."""
    kind: Kind
    """What the labels are."""
    names: tuple[str, ...] = ()
    """Name of each class or target; they are counted if empty."""
    unit: str = ""
    """Unit of labels that are numbers; blank if unknown."""
    pair: Callable[[], tuple[Tensor, Tensor]] | None = None
    """Features of two views of some test items, if it is known how views are made."""
    observables: Mapping[str, str] = {}
    """What experts read off items: in words by name; nothing if it is not known."""
    observed: tuple[Observed, Observed] | None = None
    """That of some training items and of some test items."""
    train_orbits: Orbits | None = None
    """Groups of the training items; None if there are none."""
    orbits: Orbits | None = None
    """Those of the test items."""


class Measured(NamedTuple):
    """What a probe found."""

    figures: dict[str, Any]
    """Figures by name, and a few words where a probe has some."""
    protocol: dict[str, Any]
    """How they were measured; `test_labels` says where labels of the test items enter."""
    artefacts: Mapping[str, np.ndarray] = {}
    """Arrays that a report draws."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One way to judge frozen features.

    Example:
        >>> PROBES["regression"].metrics
        {'numbers': ('r2', 'mae', 'rmse', 'spearman')}
    """

    metrics: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    """What it measures, by the kinds of labels that it can be used with."""
    measure: Callable[[Frozen, ProbeOptions, int], Measured]
    """Measures it on frozen features, with the options and a seed."""


def _knn(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    how: dict[str, Any] = {"k": options.k, "temperature": options.temperature}
    protocol = {**how, "similarity": "cosine"}
    if frozen.kind == "numbers":
        numbers = knn_regression(frozen.train, frozen.labels, frozen.test, **how)
        return _errors("knn", numbers, frozen, seed, protocol)
    votes = knn_votes(frozen.train, frozen.labels, frozen.test, **how)
    return _told(votes, frozen, protocol, {"predictions": votes.argmax(dim=1).cpu().numpy()})


def _linear(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    probe = linear_probe(frozen.train, frozen.labels, frozen.test, seed=seed)
    protocol = {
        "classifier": "logistic regression on standardised features",
        "l2_grid": list(L2_GRID),
        "l2_chosen_on": "a tenth of the training items",
    }
    return _told(probe.scores, frozen, protocol, l2=probe.l2)


def _regression(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    probe = ridge_probe(frozen.train, frozen.labels, frozen.test, seed=seed)
    protocol = {
        "regression": "ridge on standardised features and targets",
        "l2_grid": list(RIDGE_GRID),
        "l2_chosen_on": "a tenth of the training items",
    }
    return _errors("regression", probe.predictions, frozen, seed, protocol, l2=probe.l2)


def _few_shot(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    how: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("ways", "shots", "queries", "episodes", "classifier")
    }
    centre = frozen.train.mean(dim=0) if options.classifier == "cl2n" else None
    figure = few_shot(frozen.test, frozen.test_labels, **how, seed=seed, centre=centre)
    return Measured(
        {"accuracy": figure},
        {
            **how,
            "interval": "mean ± 1.96 sd/√n, over episodes",
            "test_labels": "make the episodes: support and queries are test items",
        },
    )


def _retrieval(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    found = retrieval(frozen.test, frozen.test_labels, ks=options.ks)
    return Measured(
        found.figures,
        {
            "ks": list(options.ks),
            "similarity": "cosine",
            "queries": "every test item, among all other test items",
            "dropped_queries": found.dropped,
            "interval": "Wilson for R@k, mean ± 1.96 sd/√n for others, over queries",
            "test_labels": "say which items are right",
        },
    )


def _clustering(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    how: dict[str, Any] = {"clusters": options.clusters, "inits": options.inits}
    classes = len(np.unique(frozen.test_labels))
    return Measured(
        clustering(frozen.test, frozen.test_labels, **how, seed=seed),
        {
            **how,
            "clusters": options.clusters or classes,
            "algorithm": "k-means of unit features of the test items",
            "interval": "bootstrap, over test items",
            "test_labels": "are compared with the clusters"
            + ("" if options.clusters else ", and say how many there are"),
        },
    )


def _few_labels(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    how: dict[str, Any] = {"per_class": options.per_class, "draws": options.draws}
    figures = few_labels(
        frozen.train, frozen.labels, frozen.test, frozen.test_labels, **how, seed=seed
    )
    counts = list(dict.fromkeys(int(name.partition("@")[2]) for name in figures))
    words = {"auc": positive(frozen.names)} if f"auc@{counts[0]}" in figures else {}
    return Measured(
        dict(figures),
        {
            "per_class": counts,
            "draws": options.draws,
            "classifier": "the linear probe",
            "interval": "Student, over draws of labelled training items",
            "test_labels": "only count what is right",
        }
        | words,
    )


def _observables(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    from sklearn.metrics import r2_score

    assert frozen.observed is not None
    known, asked = frozen.observed
    train, test = frozen.train[known.rows], frozen.test[asked.rows]
    probe = ridge_probe(train, known.values, test, seed=seed)
    predicted = probe.predictions.cpu().numpy()
    figures = {
        f"r2_{name}": {
            **bootstrap(r2_score, asked.values[:, i], predicted[:, i], seed=seed),
            "l2": probe.l2,
        }
        for i, name in enumerate(frozen.observables)
    }
    return Measured(
        figures,
        {
            "observables": list(frozen.observables.values()),
            "fitted_to": len(known.rows),
            "regression": "ridge on standardised features and targets",
            "l2_grid": list(RIDGE_GRID),
            "l2_chosen_on": "a tenth of the training items",
            "interval": "bootstrap, over test items",
            "test_labels": "are not read",
        },
    )


def _conserved(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    assert frozen.orbits is not None
    (groups, times), test = frozen.orbits, frozen.test.cpu().numpy()
    figures: dict[str, Any] = {"within": within_figure(test, groups, seed=seed)}
    if np.unique(groups, return_counts=True)[1].max() > NEIGHBOURS:
        dimension = orbit_dimension(test, groups)
        figures["orbit_dimension"] = {"value": dimension, "ci95": None, "n": len(np.unique(groups))}
    if times is not None:
        figures["drift"] = drift_figure(test, groups, times, seed=seed)
    reading = "as it is, in one dimension"
    if frozen.kind == "numbers":
        reading, known, asked = _in_one_dimension(frozen, seed)
        labels, true = (
            np.asarray(values).reshape(len(values), -1)
            for values in (frozen.labels, frozen.test_labels)
        )
        for which, ending in enumerate(endings(true.shape[1], frozen.names)):
            found = quantity_figures(
                (known, labels[:, which]), (asked, true[:, which]), groups, seed=seed
            )
            figures |= {f"{name}{ending}": figure for name, figure in found.items()}
    return Measured(
        figures,
        {
            "reading": reading,
            "fit": "isotonic regression, on training items",
            "neighbours": NEIGHBOURS,
            "interval": "bootstrap, over groups of test items",
            "test_labels": "only judge the order and the fit",
        },
    )


def _in_one_dimension(frozen: Frozen, seed: int) -> tuple[str, np.ndarray, np.ndarray]:
    """How embeddings are read as one number, and that of the training and of the test items."""
    from sklearn.decomposition import PCA

    train, test, orbits = frozen.train.cpu().numpy(), frozen.test.cpu().numpy(), frozen.train_orbits
    if test.shape[1] == 1:
        return "as it is, in one dimension", train[:, 0], test[:, 0]
    if test.shape[1] > _AXES:
        axes = PCA(_AXES, svd_solver="randomized", random_state=seed).fit(train)
        train, test = axes.transform(train), axes.transform(test)
    if orbits is None or orbits.times is None:
        train, test = in_one_dimension(train, test, seed=seed)
        return "a spectral embedding in one dimension", train, test
    direction = least_drift(train, orbits.groups, orbits.times)
    return "the direction of least drift along training orbits", train @ direction, test @ direction


def _health(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    rows = np.random.default_rng(seed).permutation(len(frozen.test))[:_HEALTH_ITEMS]
    found = asdict(health(frozen.test[torch.from_numpy(np.sort(rows)).to(frozen.test.device)]))
    words = {name: found[name] for name in ("verdict", "sentence", "advice")}
    figures: dict[str, Any] = {
        name: {"value": found[name], "ci95": None, "n": len(rows)}
        for name in ("std_ratio", "rankme", "rank_fraction", "mean_cosine", "uniformity")
    }
    aligned = "none: it is not known here how views are made"
    if frozen.pair is not None:
        first, second = (F.normalize(features.double()) for features in frozen.pair())
        figures["alignment"] = mean_figure((first - second).square().sum(dim=1).cpu())
        aligned = f"of {len(first)} test items, each in two views as the run makes them"
    return Measured(
        figures | words,
        {
            "items": f"{len(rows)} test items as they are",
            "alignment": aligned,
            "interval": "mean ± 1.96 sd/√n for alignment; the others are no means over items",
            "test_labels": "are not read",
        },
    )


def _told(
    scores: Tensor,
    frozen: Frozen,
    protocol: dict[str, Any],
    artefacts: Mapping[str, np.ndarray] = {},
    **chosen: float,
) -> Measured:
    """How well scores `(m, classes)` tell the classes, with what the probe chose."""
    found, words = class_figures(scores, frozen.test_labels, frozen.names)
    figures = {name: {**figure, **chosen} for name, figure in found.items()}
    said = {"interval": "Wilson, over test items", "test_labels": "only count what is right"}
    return Measured(figures, protocol | said | words, artefacts)


def _errors(
    probe: str,
    predicted: Tensor,
    frozen: Frozen,
    seed: int,
    protocol: dict[str, Any],
    **chosen: float,
) -> Measured:
    """How near predicted numbers come, target by target, with what the probe chose."""
    numbers = predicted.reshape(len(predicted), -1).cpu()
    true = np.asarray(frozen.test_labels).reshape(len(numbers), -1)
    by_target = figures_by_target(numbers, true, frozen.names, seed=seed, unit=frozen.unit)
    figures = {name: {**figure, **chosen} for name, figure in by_target.items()}
    said = {
        "interval": "bootstrap, over test items",
        "test_labels": "only measure the errors",
    }
    artefacts = {f"predicted_{probe}": numbers.numpy().astype(np.float32), "true": true}
    return Measured(figures, protocol | said, artefacts)


PROBES = {
    "knn": Probe(metrics={"classes": _TOLD, "numbers": _ERRORS}, measure=_knn),
    "linear": Probe(metrics={"classes": _TOLD}, measure=_linear),
    "regression": Probe(metrics={"numbers": _ERRORS}, measure=_regression),
    "fewshot": Probe(metrics={"classes": ("accuracy",)}, measure=_few_shot),
    "retrieval": Probe(metrics={"classes": ("r", "r_precision", "map@r")}, measure=_retrieval),
    "clustering": Probe(
        metrics={"classes": ("nmi", "ami", "ari", "accuracy", "silhouette")}, measure=_clustering
    ),
    "fewlabels": Probe(metrics={"classes": _TOLD}, measure=_few_labels),
    "observables": Probe(
        metrics=dict.fromkeys(("classes", "numbers", "none"), ("r2",)), measure=_observables
    ),
    "conserved": Probe(
        metrics={
            "numbers": ("spearman", "r2", "iqr", "within", "drift", "orbit_dimension"),
            "classes": ("within", "drift", "orbit_dimension"),
            "none": ("within", "drift", "orbit_dimension"),
        },
        measure=_conserved,
    ),
    "health": Probe(
        metrics=dict.fromkeys(
            ("classes", "numbers", "none"),
            ("std_ratio", "rankme", "rank_fraction", "mean_cosine", "uniformity", "alignment"),
        ),
        measure=_health,
    ),
}
"""Every probe by name."""

DEFAULTS: dict[Kind, tuple[str, ...]] = {
    "classes": ("knn", "linear"),
    "numbers": ("knn", "regression"),
    "none": ("health",),
}
"""The probes where none is asked for, by what the labels are."""
