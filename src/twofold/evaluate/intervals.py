"""Accuracies that say how far they can be trusted."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from twofold.errors import TwofoldError


class Figure(TypedDict):
    """A share with its 95 % interval and the number of items it was measured on."""

    value: float
    ci95: list[float]
    n: int


def wilson(correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share, sound even near 0 and 1 and for few items.

    `(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)` with `p = correct / n`

    It tells how much the figure would change with other test items; not with another seed of
    the training.

    Args:
        correct: How many were right, in [0, n].
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
    correct, n = int((predicted == true).sum()), len(true)
    return {"value": correct / n if n else 0.0, "ci95": list(wilson(correct, n)), "n": n}


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
