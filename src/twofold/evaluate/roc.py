"""How well scores tell two classes apart, wherever the line between them is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
from torch import Tensor

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, accuracy, wilson

_Z = NormalDist().inv_cdf(0.975)


def auc(scores: np.ndarray | Tensor, labels: np.ndarray | Tensor) -> Figure:
    """The area under the ROC curve: how often an item of class 1 scores above one of class 0.

    `A = mean over pairs of [s₁ > s₀] + ½ [s₁ = s₀]`

    The 95 % interval is DeLong's, over test items: `Var A = Var(above)/m + Var(below)/n`, where
    `above` is the share of class 0 that each of the `m` items of class 1 outscores, and `below`
    the share of class 1 that outscores each of the `n` items of class 0. It is symmetric in
    `log(A / (1 - A))`, so that it stays within [0, 1] and covers near 1 as often as it says. Where
    that variance is 0, as of perfect scores, or cannot be told, as of one item, Wilson's interval
    takes its place with the largest variance that any scores could have, `A(1 - A) / min(m, n)`.

    Args:
        scores: Any number for each item that is higher where class 1 is likelier `(n,)`; infinite
            ones are ranked as such.
        labels: Their classes `(n,)`, 0 or 1, both of which occur.

    Raises:
        TwofoldError: If a shape does not fit, a score is NaN, or there are not two classes.

    Example:
        >>> found = auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
        >>> found["value"], [round(end, 2) for end in found["ci95"]]
        (0.75, [0.07, 0.99])

    Reference: DeLong et al., 1988, doi:10.2307/2531595. On the logit scale: Pepe, 2003, The
    Statistical Evaluation of Medical Tests. Largest variance: Birnbaum and Klose, 1957, Annals of
    Mathematical Statistics 28.
    """
    from scipy.stats import rankdata

    score, true = (
        values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        for values in (scores, labels)
    )
    _check(score, true)
    of_one, of_zero = score[true == 1], score[true == 0]
    m, n = len(of_one), len(of_zero)
    ranks = rankdata(np.concatenate([of_one, of_zero]))  # equal scores share their mean rank
    above = (ranks[:m] - rankdata(of_one)) / n
    below = 1 - (ranks[m:] - rankdata(of_zero)) / m
    value, variance = float(above.mean()), 0.0
    if min(m, n) > 1:
        variance = float(above.var(ddof=1) / m + below.var(ddof=1) / n)
    ends = wilson(value * min(m, n), min(m, n)) if variance == 0 else _ends(value, variance)
    return {"value": value, "ci95": list(ends), "n": m + n}


def class_figures(
    scores: Tensor, labels: np.ndarray | Tensor, names: Sequence[str] = ()
) -> tuple[dict[str, Figure], dict[str, str]]:
    """How well scores tell classes: `accuracy`, and of two classes `auc`.

    Args:
        scores: Of each class for each item `(n, classes)`, higher where it is likelier.
        labels: True classes `(n,)`.
        names: Name of each class.

    Returns:
        The figures, and words for their protocol: which class the AUC counts as positive, or why
        there is none.

    Raises:
        TwofoldError: If the shapes differ.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
        >>> figures, words = class_figures(scores, torch.tensor([0, 1, 1]), ("quark", "gluon"))
        >>> figures["auc"]["value"], words["auc"]
        (0.75, 'counts gluon as positive; DeLong, over test items')
        >>> class_figures(scores, torch.tensor([1, 1, 1]))[1]["auc"]
        'none: every item is of class 1; an AUC needs both classes'
    """
    figures = {"accuracy": accuracy(scores.argmax(dim=1), labels)}
    if scores.shape[1] != 2:
        return figures, {}
    try:
        figures["auc"] = auc(scores[:, 1] - scores[:, 0], labels)
    except TwofoldError as error:
        return figures, {"auc": f"none: {error}"}
    return figures, {"auc": f"{positive(names)}; DeLong, over test items"}


def positive(names: Sequence[str]) -> str:
    """Which of two classes an AUC counts as positive, in words.

    Example:
        >>> positive(("quark", "gluon")), positive(())
        ('counts gluon as positive', 'counts class 1 as positive')
    """
    return f"counts {names[1] if len(names) == 2 else 'class 1'} as positive"


def _ends(value: float, variance: float) -> tuple[float, float]:
    """Both ends of the interval that is symmetric in `log(A / (1 - A))`."""
    middle, margin = log(value / (1 - value)), _Z * sqrt(variance) / (value * (1 - value))
    return 1 / (1 + exp(margin - middle)), 1 / (1 + exp(-margin - middle))


def _check(score: np.ndarray, true: np.ndarray) -> None:
    if score.shape != true.shape or score.ndim != 1:
        raise TwofoldError(
            f"scores have shape {score.shape} and labels {true.shape}; both must be (n,)"
        )
    if np.isnan(score).any():
        raise TwofoldError("a score is NaN, and an AUC ranks them; leave its item out")
    classes = np.unique(true)
    if not np.isin(classes, (0, 1)).all():
        raise TwofoldError(
            f"labels run from {classes[0]} to {classes[-1]}; those of an AUC are 0 and 1"
        )
    if len(classes) < 2:
        of = f"every item is of class {classes[0]}" if len(classes) else "there is no item"
        raise TwofoldError(f"{of}; an AUC needs both classes")
