"""Clustering: whether the groups that features fall into are the classes."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, bootstrap, mean_figure
from twofold.evaluate.labels import class_labels

_SILHOUETTES = 2000  # items whose distances to one another are held


def clustering(
    features: Tensor,
    labels: np.ndarray | Tensor,
    *,
    clusters: int | None = None,
    inits: int = 10,
    seed: int = 0,
) -> dict[str, Figure]:
    """How well the clusters that k-means finds, without labels, agree with the classes.

    k-means of features scaled to length 1, the best of several starts. Then:

    - `nmi`: mutual information of clusters and classes over the mean of their entropies, in
      [0, 1]; above 0 even for random clusters if they are many,
    - `ami`: the same, adjusted so that random clusters have 0,
    - `ari`: pairs of items that both put together or apart, adjusted in the same way,
    - `accuracy`: share of items in the cluster that stands for their class, with the one-to-one
      assignment of clusters to classes that makes it largest (Kuhn, 1955,
      doi:10.1002/nav.3800020109),
    - `silhouette`: `(b - a) / max(a, b)`, where `a` is the mean distance of an item to its own
      cluster and `b` to the nearest other one; in [-1, 1], of at most 2000 items. No labels enter.

    Intervals resample the items and keep the clusters: they tell how much a figure would change
    with other items, not with another start or another training.

    Args:
        features: Features of the items `(n, dim)`.
        labels: Their classes `(n,)`, whole numbers from 0, two or more.
        clusters: How many clusters, in [2, n]; as many as there are classes if None.
        inits: Starts of k-means, > 0; the one with the least squared distances is kept.
        seed: Chooses the starts, the items for the silhouette and the resamples.

    Returns:
        Each measure with its 95 % interval.

    Raises:
        TwofoldError: If a shape, a label or a number does not fit, or a feature is not finite.

    Example:
        >>> labels = torch.arange(60) % 3
        >>> found = clustering(F.one_hot(labels).float(), 2 - labels)
        >>> {name: round(figure["value"], 2) for name, figure in found.items()}
        {'nmi': 1.0, 'ami': 1.0, 'ari': 1.0, 'accuracy': 1.0, 'silhouette': 1.0}

    Reference: Vinh et al., 2010, jmlr.org/papers/v11/vinh10a.html
    """
    from sklearn import metrics

    classes = class_labels(labels, len(features), torch.device("cpu")).numpy()
    clusters = len(np.unique(classes)) if clusters is None else clusters
    _check(features, classes, clusters, inits)
    points = F.normalize(features.detach().float()).cpu().numpy()
    found = _k_means(points, clusters, inits, seed)
    measures = {
        "nmi": metrics.normalized_mutual_info_score,
        "ami": metrics.adjusted_mutual_info_score,
        "ari": metrics.adjusted_rand_score,
        "accuracy": _accuracy,
    }
    agreement = {
        name: bootstrap(measure, classes, found, seed=seed) for name, measure in measures.items()
    }
    return {**agreement, "silhouette": _silhouette(points, found, seed)}


def _k_means(points: np.ndarray, clusters: int, inits: int, seed: int) -> np.ndarray:
    """Cluster of each item."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Equal items fall into fewer clusters than asked for; the figures show that.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(KMeans(clusters, n_init=inits, random_state=seed).fit_predict(points))


def _accuracy(classes: np.ndarray, found: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(classes, found)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(classes))


def _silhouette(points: np.ndarray, found: np.ndarray, seed: int) -> Figure:
    """Mean over items; 0, as for an item alone in its cluster, where there is but one cluster."""
    from sklearn.metrics import silhouette_samples

    size = min(len(points), _SILHOUETTES)
    rows = np.random.default_rng(seed).choice(len(points), size, replace=False)
    points, found = points[rows], found[rows]
    defined = 1 < len(np.unique(found)) < size
    values = silhouette_samples(points, found) if defined else np.zeros(size)
    return mean_figure(torch.from_numpy(values))


def _check(features: Tensor, classes: np.ndarray, clusters: int, inits: int) -> None:
    if features.ndim != 2:
        raise TwofoldError(f"features have shape {tuple(features.shape)}; they must be (n, dim)")
    if not features.isfinite().all():
        raise TwofoldError("a feature is NaN or infinite; leave out the rows that have one")
    if len(np.unique(classes)) < 2:
        raise TwofoldError(
            f"labels hold {len(np.unique(classes))} class; clusters are compared with 2 or more"
        )
    if not 2 <= clusters <= len(features):
        raise TwofoldError(
            f"clusters is {clusters}; with {len(features)} items it must be 2 to that"
        )
    if inits < 1:
        raise TwofoldError(f"inits is {inits}; it must be > 0")
