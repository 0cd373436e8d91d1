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
from twofold.evaluate.few_labels import few_labels
from twofold.evaluate.few_shot import few_shot
from twofold.evaluate.health import health
from twofold.evaluate.intervals import accuracy, mean_figure
from twofold.evaluate.knn import knn
from twofold.evaluate.linear import L2_GRID, linear_probe
from twofold.evaluate.options import ProbeOptions
from twofold.evaluate.regression import (
    RIDGE_GRID,
    figures_by_target,
    knn_regression,
    ridge_probe,
)
from twofold.evaluate.retrieval import retrieval

Kind = Literal["classes", "numbers", "none"]
"""What labels are: classes, numbers to regress, or not there."""

_HEALTH_ITEMS = 4000  # the rank needs no more, and its cost grows with their square
_ERRORS = ("r2", "mae", "rmse", "spearman")


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
    targets: tuple[str, ...] = ()
    """Name of each target; they are counted if empty."""
    pair: Callable[[], tuple[Tensor, Tensor]] | None = None
    """Features of two views of some test items, if it is known how views are made."""


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
    classes = knn(frozen.train, frozen.labels, frozen.test, **how)
    return _accuracy(classes, frozen, protocol, {"predictions": classes.cpu().numpy()})


def _linear(frozen: Frozen, options: ProbeOptions, seed: int) -> Measured:
    probe = linear_probe(frozen.train, frozen.labels, frozen.test, seed=seed)
    protocol = {
        "classifier": "logistic regression on standardised features",
        "l2_grid": list(L2_GRID),
        "l2_chosen_on": "a tenth of the training items",
    }
    return _accuracy(probe.predictions, frozen, protocol, l2=probe.l2)


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
    return Measured(
        dict(figures),
        {
            "per_class": [int(name.partition("@")[2]) for name in figures],
            "draws": options.draws,
            "classifier": "the linear probe",
            "interval": "Student, over draws of labelled training items",
            "test_labels": "only count what is right",
        },
    )


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


def _accuracy(
    classes: Tensor,
    frozen: Frozen,
    protocol: dict[str, Any],
    artefacts: Mapping[str, np.ndarray] = {},
    **chosen: float,
) -> Measured:
    """The share of classes that are right, with what the probe chose."""
    figure = {**accuracy(classes, frozen.test_labels), **chosen}
    said = {"interval": "Wilson, over test items", "test_labels": "only count what is right"}
    return Measured({"accuracy": figure}, protocol | said, artefacts)


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
    by_target = figures_by_target(numbers, true, frozen.targets, seed=seed)
    figures = {name: {**figure, **chosen} for name, figure in by_target.items()}
    said = {
        "interval": "bootstrap, over test items",
        "test_labels": "only measure the errors",
    }
    artefacts = {f"predicted_{probe}": numbers.numpy().astype(np.float32), "true": true}
    return Measured(figures, protocol | said, artefacts)


PROBES = {
    "knn": Probe(metrics={"classes": ("accuracy",), "numbers": _ERRORS}, measure=_knn),
    "linear": Probe(metrics={"classes": ("accuracy",)}, measure=_linear),
    "regression": Probe(metrics={"numbers": _ERRORS}, measure=_regression),
    "fewshot": Probe(metrics={"classes": ("accuracy",)}, measure=_few_shot),
    "retrieval": Probe(metrics={"classes": ("r", "r_precision", "map@r")}, measure=_retrieval),
    "clustering": Probe(
        metrics={"classes": ("nmi", "ami", "ari", "accuracy", "silhouette")}, measure=_clustering
    ),
    "fewlabels": Probe(metrics={"classes": ("accuracy",)}, measure=_few_labels),
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
