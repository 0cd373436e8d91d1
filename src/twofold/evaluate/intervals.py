"""Figures that say how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor

from twofold.errors import TwofoldError


class Figure(TypedDict):
    """A figure with its 95 % interval, the number of items it was measured on, and its unit."""

    value: float
    ci95: list[float]
    n: int
    unit: NotRequired[str]


def wilson(correct: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share, sound even near 0 and 1 and for few items.

    `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)` with `p = correct / n`

    It tells how much the figure would change with other test items; not with another seed of
    the training.

    Args:
        correct: How many were right, in [0, n]; a part of one where some are right in part.
        n: Of how many, > 0.
        confidence: Probability that the interval covers the true share, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        TwofoldError: If an argument is out of range.

    Example:
        >>> [round(end, 4) for end in wilson(8410, 10_000)]
        [0.8337, 0.848]

    Reference: Wilson, 1927, doi:10.1080/01621459.1927.10502953
    """
    if n < 1 or not 0 <= correct <= n:
        raise TwofoldError(f"{correct} of {n} is no share; it must be 0 to n of n > 0")
    if not 0 < confidence < 1:
        raise TwofoldError(f"confidence is {confidence}; it must be in (0, 1)")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / n
    centre = share + z**2 / (2 * n)
    margin = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def accuracy(predictions: np.ndarray | Tensor, labels: np.ndarray | Tensor) -> Figure:
    """The share of predictions that are right, with its 95 % interval.

    Args:
        predictions: Predicted classes `(n,)`.
        labels: True classes `(n,)`.

    Raises:
        TwofoldError: If the shapes differ.

    Example:
        >>> accuracy(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))["value"]
        0.75
    """
    predicted, true = (
        values.cpu().numpy() if isinstance(values, Tensor) else values
        for values in (predictions, labels)
    )
    if predicted.shape != true.shape:
        raise TwofoldError(
            f"predictions have shape {predicted.shape} and labels {true.shape}; they must agree"
        )
    return share_figure(int((predicted == true).sum()), len(true))


def share_figure(correct: int, n: int) -> Figure:
    """The share `correct / n` with Wilson's 95 % interval.

    Args:
        correct: How many were right, in [0, n].
        n: Of how many, > 0.

    Raises:
        TwofoldError: If an argument is out of range.

    Example:
        >>> share_figure(3, 4)["value"]
        0.75
    """
    ends = list(wilson(correct, n))
    return {"value": correct / n, "ci95": ends, "n": n}


def mean_figure(values: Tensor) -> Figure:
    """The mean of independent values with its normal 95 % interval, `mean ± 1.96 sd/√n`.

    Args:
        values: One value for each item `(n,)`, n >= 2.

    Example:
        >>> [round(end, 4) for end in mean_figure(torch.tensor([0.0, 1.0, 0.0, 1.0]))["ci95"]]
        [-0.0658, 1.0658]
    """
    std, mean = (float(moment) for moment in torch.std_mean(values.double()))
    margin = 1.96 * std / sqrt(len(values))
    return {"value": mean, "ci95": [mean - margin, mean + margin], "n": len(values)}


def t_figure(values: Tensor) -> Figure:
    """The mean of a few independent values with Student's 95 % interval, `mean ± t sd/√n`.

    `t` is the 97.5 % quantile with `n - 1` degrees of freedom: 2.78 for five values, where the
    normal 1.96 would be far too sure.

    Args:
        values: One value for each draw or run `(n,)`, n >= 2.

    Example:
        >>> [round(end, 4) for end in t_figure(torch.tensor([0.0, 1.0, 0.0, 1.0]))["ci95"]]
        [-0.4187, 1.4187]

    Reference: Student, 1908, doi:10.1093/biomet/6.1.1
    """
    from scipy.stats import t

    n = len(values)
    std, mean = (float(moment) for moment in torch.std_mean(values.double()))
    margin = float(t.ppf(0.975, n - 1)) * std / sqrt(n)
    return {"value": mean, "ci95": [mean - margin, mean + margin], "n": n}


def bootstrap(
    statistic: Callable[..., float],
    *columns: np.ndarray | Tensor,
    resamples: int = 200,
    seed: int = 0,
) -> Figure:
    """Any statistic of the items with its 95 % interval, from items drawn again with replacement.

    The ends are the 2.5 % and 97.5 % quantiles over the resamples, moved together so that the
    resamples have the figure as their mean. Without the move, measures that rise when items are
    repeated, such as the mutual information of clusters and classes, would lie below their own
    interval. As `wilson`'s, the interval is over items: it tells how much the figure would change
    with other test items, not with another training.

    Args:
        statistic: Takes the columns and returns a number, for any rows drawn from them.
        columns: What is known of each item, row by row `(n, ...)`; resampled together.
        resamples: How many resamples, > 0.
        seed: Chooses them.

    Returns:
        The statistic of all items, its interval, and the number of items.

    Raises:
        TwofoldError: If there are no rows, columns differ in length or `resamples` is not > 0.

    Example:
        >>> errors = np.array([0.3, -0.1, 0.4, -0.5, 0.2])
        >>> found = bootstrap(lambda column: np.abs(column).mean(), errors)
        >>> round(found["value"], 1), [round(end, 1) for end in found["ci95"]]
        (0.3, [0.2, 0.4])

    Reference: Efron, 1979, doi:10.1214/aos/1176344552
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise TwofoldError(
            f"columns have {[len(column) for column in columns]} rows; "
            "they must have one for each item, all the same number > 0"
        )
    if resamples < 1:
        raise TwofoldError(f"resamples is {resamples}; it must be > 0")
    rng, n = np.random.default_rng(seed), lengths.pop()
    drawn = (rng.integers(n, size=n) for _ in range(resamples))
    values = [float(statistic(*(column[rows] for column in columns))) for rows in drawn]
    value = float(statistic(*columns))
    ends = np.quantile(values, [0.025, 0.975]) + (value - np.mean(values))
    return {"value": value, "ci95": ends.tolist(), "n": n}
