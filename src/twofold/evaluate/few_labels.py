"""What features are worth where labels are few: the linear probe on a handful of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, t_figure
from twofold.evaluate.labels import class_labels, draw_labels
from twofold.evaluate.linear import linear_probe
from twofold.evaluate.roc import class_figures


def few_labels(
    train: Tensor,
    labels: np.ndarray | Tensor,
    test: Tensor,
    test_labels: np.ndarray | Tensor,
    *,
    per_class: Sequence[int] = (1, 10, 100),
    draws: int = 5,
    seed: int = 0,
) -> dict[str, Figure]:
    """How well a linear probe does by how many labelled items of each class it learns from.

    For each number, the probe learns from several draws of that many items of each class, and all
    test items are classified each time. Draws of more items contain those of fewer. The interval
    is Student's over draws: it tells how much the accuracy depends on which items were labelled.

    Args:
        train: Features with known classes `(n, dim)`.
        labels: Their classes `(n,)`, whole numbers from 0.
        test: Features to classify `(m, dim)`.
        test_labels: Their classes `(m,)`.
        per_class: Labelled items of each class, > 0. Numbers that the smallest class cannot give
            are left out.
        draws: How many draws of each number, >= 2.
        seed: Chooses the draws and what each probe holds out.

    Returns:
        Mean accuracy `accuracy@NUMBER`, and of two classes the mean area under the ROC curve
        `auc@NUMBER`, for each number that was left; `n` counts draws.

    Raises:
        TwofoldError: If a shape, a label or a number does not fit, or no number is left.

    Example:
        >>> labels = torch.arange(40) % 2
        >>> features = torch.stack([labels, 1 - labels], 1).float()
        >>> found = few_labels(features, labels, features, labels, per_class=(1, 10, 100))
        >>> {name: figure["value"] for name, figure in found.items()}
        {'accuracy@1': 1.0, 'accuracy@10': 1.0, 'auc@1': 1.0, 'auc@10': 1.0}
    """
    if draws < 2:
        raise TwofoldError(f"draws is {draws}; it must be >= 2 for an interval over them")
    classes = class_labels(labels, len(train), train.device)
    true = class_labels(test_labels, len(test), torch.device("cpu"))
    sizes = classes.bincount()
    fewest = min(sizes[sizes > 0].tolist(), default=0)
    counts = [count for count in per_class if count <= fewest]
    if not counts:
        raise TwofoldError(
            f"per_class is {tuple(per_class)}; the smallest class has {fewest} items, "
            "so at least one number must be 1 to that"
        )
    seeds = range(seed, seed + draws)
    reached = {
        count: [_reached(train, classes, test, true, count, one) for one in seeds]
        for count in counts
    }
    return {
        f"{measure}@{count}": t_figure(torch.tensor([figures[measure] for figures in drawn]))
        for measure in ("accuracy", "auc")
        for count, drawn in reached.items()
        if all(measure in figures for figures in drawn)
    }


def _reached(
    train: Tensor, classes: Tensor, test: Tensor, true: Tensor, per_class: int, seed: int
) -> dict[str, float]:
    """What the probe reaches on one draw."""
    rows = torch.from_numpy(draw_labels(classes, per_class=per_class, seed=seed)).to(train.device)
    probe = linear_probe(train[rows], classes[rows], test, seed=seed)
    figures, _ = class_figures(probe.scores, true)
    return {measure: figure["value"] for measure, figure in figures.items()}
