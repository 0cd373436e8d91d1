"""Few-shot episodes: classes told apart from a handful of labelled items each."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError, unknown
from twofold.evaluate.intervals import Figure, mean_figure
from twofold.evaluate.labels import class_labels

CLASSIFIERS = ("centroid", "cl2n", "logistic")

_NUMBERS = 2**25  # of features held at a time: 128 MiB
_TOGETHER = 1e-6  # scores this close, relative to the largest, differ by rounding alone


class FewShot(Figure):
    """Mean accuracy over episodes, with its interval; `n` counts episodes."""

    chance: float
    """One in `ways`."""


class Episodes(NamedTuple):
    """Which items each episode shows and asks for; the way is the class within the episode."""

    support: np.ndarray
    """Indices of the labelled items `(episodes, ways, shots)`."""
    query: np.ndarray
    """Indices of the items to classify `(episodes, ways, queries)`."""


def few_shot(
    features: Tensor,
    labels: np.ndarray | Tensor,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 1,
    episodes: int = 1000,
    classifier: Literal["centroid", "cl2n", "logistic"] = "centroid",
    seed: int = 0,
    centre: Tensor | None = None,
) -> FewShot:
    """Accuracy of a classifier that learns `ways` new classes from `shots` items of each.

    `centroid` takes the nearest class mean by squared distance; `cl2n` does so after `centre` is
    subtracted and each feature scaled to length 1; `logistic` fits a logistic regression to
    features of length 1. A query whose best classes tie counts as right by its chance among them.
    The interval is `± 1.96 sd/√episodes`. Equal labels and seeds give equal episodes, so that
    encoders can be compared pair by pair.

    Args:
        features: Features of the items `(n, dim)`.
        labels: Their classes `(n,)`, whole numbers from 0, none of them seen in training.
        ways: Classes in an episode, >= 2.
        shots: Labelled items of each class, > 0.
        queries: Items of each class to classify, > 0.
        episodes: How many, >= 2. Usual are 600 for images and 10 000 for audio.
        classifier: `centroid`, `cl2n` or `logistic`.
        seed: Chooses the episodes.
        centre: For `cl2n`, mean feature `(dim,)` of the items that the encoder was trained on;
            that of `features` if None.

    Returns:
        Mean accuracy with its 95 % interval, the number of episodes and chance, `1 / ways`.

    Raises:
        TwofoldError: If a shape, a label or an option does not fit.

    Example:
        >>> labels = torch.arange(60) % 6
        >>> few_shot(F.one_hot(labels).float(), labels, episodes=10)["value"]
        1.0

    Reference: Wang et al., 2019, arXiv:1911.04623
    """
    if classifier not in CLASSIFIERS:
        raise unknown("classifier", classifier, CLASSIFIERS)
    if centre is not None and classifier != "cl2n":
        raise TwofoldError(f"centre is for cl2n; {classifier} subtracts none, so leave it out")
    if features.ndim != 2 or (centre is not None and centre.shape != features.shape[1:]):
        raise TwofoldError(
            f"features have shape {tuple(features.shape)}"
            + (f" and centre {tuple(centre.shape)}" if centre is not None else "")
            + "; they must be (n, dim), and centre (dim,)"
        )
    drawn = draw_episodes(
        class_labels(labels, len(features), torch.device("cpu")),
        ways=ways,
        shots=shots,
        queries=queries,
        episodes=episodes,
        seed=seed,
    )
    features = features.detach().float()
    if classifier == "cl2n":
        features = features - (features.mean(dim=0) if centre is None else centre.to(features))
    if classifier != "centroid":
        features = F.normalize(features)
    classify = _logistic if classifier == "logistic" else _centroid
    block = max(1, _NUMBERS // (features.shape[1] * ways * (shots + queries)))
    accuracies = [
        _accuracy(classify(features[support], features[query]))
        for support, query in zip(
            torch.split(torch.from_numpy(drawn.support), block),
            torch.split(torch.from_numpy(drawn.query), block),
            strict=True,
        )
    ]
    return {**mean_figure(torch.cat(accuracies)), "chance": 1 / ways}


def draw_episodes(
    labels: np.ndarray | Tensor,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 1,
    episodes: int = 1000,
    seed: int = 0,
) -> Episodes:
    """Draw the items of each episode: a function of its arguments alone.

    Each episode draws `ways` different classes, each class equally often, and from each class
    `shots + queries` different items. Classes with fewer items are left out.

    Args:
        labels: Classes of the items `(n,)`, whole numbers from 0.
        ways: Classes in an episode, >= 2.
        shots: Labelled items of each class, > 0.
        queries: Items of each class to classify, > 0.
        episodes: How many, >= 2.
        seed: Chooses the episodes.

    Returns:
        Indices of labelled items and of queries.

    Raises:
        TwofoldError: If an option is out of range or too few classes have enough items.

    Example:
        >>> support, query = draw_episodes(np.arange(40) % 8, shots=2, episodes=100)
        >>> support.shape, query.shape, bool((support[:, :, 0] % 8 == query[:, :, 0] % 8).all())
        ((100, 5, 2), (100, 5, 1), True)
    """
    for name, value, least in (
        ("ways", ways, 2),
        ("shots", shots, 1),
        ("queries", queries, 1),
        ("episodes", episodes, 2),
    ):
        if value < least:
            raise TwofoldError(f"{name} is {value}; it must be >= {least}")
    classes = class_labels(labels, len(labels), torch.device("cpu")).numpy()
    by_class = np.argsort(classes, kind="stable")
    sizes = np.bincount(classes)
    starts = np.cumsum(sizes) - sizes
    enough = np.flatnonzero(sizes >= shots + queries)
    if len(enough) < ways:
        raise TwofoldError(
            f"{len(enough)} classes have the {shots + queries} items that {shots} shots and "
            f"{queries} queries need; {ways} ways need as many classes"
        )
    rng = np.random.default_rng(seed)
    chosen = enough[_distinct(rng, np.full(episodes, len(enough)), ways)]
    places = _distinct(rng, sizes[chosen], shots + queries)
    items = by_class[starts[chosen][:, :, None] + places]
    return Episodes(support=items[:, :, :shots], query=items[:, :, shots:])


def _distinct(rng: np.random.Generator, sizes: np.ndarray, count: int) -> np.ndarray:
    """`count` different whole numbers below each of `sizes`, in random order `(..., count)`.

    Floyd's method takes `count` draws however large the sizes are (Bentley and Floyd, 1987,
    doi:10.1145/30401.315746). It favours some orders, so the numbers are shuffled.
    """
    drawn = np.empty((*sizes.shape, count), dtype=np.int64)
    for i in range(count):
        last = sizes - count + i
        number = rng.integers(0, last, endpoint=True)
        taken = (drawn[..., :i] == number[..., None]).any(axis=-1)
        drawn[..., i] = np.where(taken, last, number)
    return rng.permuted(drawn, axis=-1)


def _centroid(support: Tensor, query: Tensor) -> Tensor:
    """Minus the squared distance of each query to each class mean."""
    distance = torch.cdist(
        query.flatten(1, 2),
        support.mean(dim=2),
        # Differences, not products: features may share an offset far larger than they vary.
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    return -distance.square()


def _logistic(support: Tensor, query: Tensor) -> Tensor:
    """Probability of each class for each query."""
    from sklearn.linear_model import LogisticRegression

    _, ways, shots, dim = support.shape
    labels = np.repeat(np.arange(ways), shots)
    scores = [
        LogisticRegression(max_iter=1000).fit(known, labels).predict_proba(asked)
        for known, asked in zip(
            support.reshape(-1, ways * shots, dim).cpu().numpy(),
            query.reshape(len(query), -1, dim).cpu().numpy(),
            strict=True,
        )
    ]
    return torch.from_numpy(np.stack(scores))


def _accuracy(scores: Tensor) -> Tensor:
    """Share of queries that score best for their own way, in each episode.

    Args:
        scores: Of each query for each way `(episodes, ways * queries, ways)`; queries by way.
    """
    ways = scores.shape[2]
    way = torch.arange(ways, device=scores.device).repeat_interleave(scores.shape[1] // ways)
    margin = _TOGETHER * scores.abs().amax(dim=2, keepdim=True)
    best = scores >= scores.amax(dim=2, keepdim=True) - margin
    right = best.gather(2, way.expand(len(scores), -1)[:, :, None])[:, :, 0]
    return (right.double() / best.sum(dim=2)).mean(dim=1).cpu()
