"""How well a fresh probe recovers from frozen features what was drawn for an augmentation."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError, unknown
from twofold.evaluate.intervals import Figure, wilson
from twofold.evaluate.labels import class_labels
from twofold.evaluate.linear import L2_GRID, _fit, _scale

KINDS = ("binary", "classes", "continuous")
"""What can be drawn: whether (AUC), which (accuracy) and how much (R²)."""

_PROBES = ("mlp", "linear")
_FEWEST = 20  # rows on either side: with fewer, nothing is held out and no interval means anything
_HELD_OUT = 10  # one in so many training rows ends the training or chooses the penalty
_HIDDEN, _BATCH = 256, 256
_STEPS, _CHECK = 800, 20  # updates in all: the cost does not grow with the rows
# Both far above what trains a network that is kept: the decay silences features without a trace
# faster than the probe can learn noise by heart, which finds XOR of two features among 256.
_RATE, _DECAY = 3e-3, 3.0
_L2_GRID = (1e2, 1e1, 1e0, *L2_GRID)  # weaker ones alone leave the R² of noise far below 0
_RESAMPLES = 200


class Decoded(Figure):
    """What a probe recovered, in the measure of its kind, with its interval over test rows."""

    metric: Literal["AUC", "accuracy", "R²"]
    """Measure of `value`: of `binary`, `classes` and `continuous` in turn."""
    chance: float
    """The value that features without any trace of the draw would have."""


def decode(
    train: Tensor,
    drawn: Tensor,
    test: Tensor,
    drawn_test: Tensor,
    *,
    kind: Literal["binary", "classes", "continuous"],
    groups_test: Tensor | None = None,
    seed: int = 0,
    probe: Literal["mlp", "linear"] = "mlp",
) -> Decoded:
    """How well a fresh probe tells from frozen features what was drawn.

    An embedding that ignores an augmentation leaves the probe at chance; one that keeps it does
    not. `mlp` is a network with one hidden layer, which also finds traces that are not linear; its
    training ends where the loss of a held-out tenth of the training rows is least, which may be
    before it began: at the constant answer. `linear` is a logistic or a ridge regression, its
    penalty chosen on the same rows. Test rows enter no choice. The same call gives the same bits.

    The interval is Wilson's for an accuracy and that of 200 bootstrap resamples otherwise. It
    tells how much the value would change with other test rows, not with another training.

    Args:
        train: Features to learn from `(n, dim)`, n >= 20.
        drawn: What was drawn for them: `binary` `(n,)` bool or 0 and 1; `classes` `(n,)` whole
            numbers from 0; `continuous` `(n, parameters)`.
        test: Features to recover it from `(m, dim)`, m >= 20.
        drawn_test: What was drawn for those, like `drawn`.
        kind: Chooses the measure: area under the ROC curve, accuracy, or R² (1 at best, below 0
            where the mean would do better) averaged over the parameters that vary in the test.
        groups_test: Group of each test row `(m,)`, such as its image: rows that share one are
            resampled together. Each row stands for itself if None.
        seed: Chooses held-out rows, first weights, minibatches and resamples.
        probe: `mlp` or `linear`.

    Returns:
        The value with its 95 % interval, its number of test rows and its chance level: 0.5 for
        AUC, the share of the most frequent class among the test rows for accuracy, 0 for R².

    Raises:
        TwofoldError: If a shape or value does not fit, or there is nothing to tell apart.

    Example:
        >>> features = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
        >>> drawn = features[:, 0] * features[:, 1] > 0
        >>> found = decode(features[:400], drawn[:400], features[400:], drawn[400:], kind="binary")
        >>> found["metric"], found["value"] > 0.95, found["chance"]
        ('AUC', True, 0.5)
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if probe not in _PROBES:
        raise unknown("probe", probe, _PROBES)
    _check(train, test)
    target, true = _targets(drawn, drawn_test, (len(train), len(test)), kind)
    groups = _groups(groups_test, len(test))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    order = order.to(train.device)
    mean, std = _scale(train.float())
    x, x_test = (train[order].float() - mean) / std, (test.float() - mean) / std
    y = target.to(train.device)[order]
    with torch.enable_grad():
        if probe == "linear":
            answers = _linear(x, y, x_test)
        else:
            answers = _mlp(x, y, x_test, seed, ranks=kind == "binary")
    return _measured(answers.cpu(), true, kind, groups, seed)


def _mlp(x: Tensor, y: Tensor, x_test: Tensor, seed: int, *, ranks: bool) -> Tensor:
    """Answers of the network for `x_test`, in the state that did best on the held-out rows.

    The constant answer it begins at counts among those states, unless `ranks` are asked for: a
    constant has none, and its AUC of 0.5 would come with an interval of no width.
    """
    generator = torch.Generator().manual_seed(seed)
    held, (inputs, outputs) = len(x) // _HELD_OUT, (x.shape[1], _num_outputs(y))
    kept = y[held:]
    level = kept.mean(0) if y.is_floating_point() else _log_frequencies(kept, outputs)
    first = torch.randn(inputs, _HIDDEN, generator=generator) * (2 / inputs) ** 0.5
    network = [first.to(x), x.new_zeros(_HIDDEN), x.new_zeros(_HIDDEN, outputs), level]
    best, least = [parameter.clone() for parameter in network], float("inf")
    if not ranks:
        least = float(_loss(_answers(x[:held], network), y[:held]))
    for parameter in network:
        parameter.requires_grad_()
    optimizer = torch.optim.AdamW(network, lr=_RATE, weight_decay=_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)

    for step in range(1, _STEPS + 1):
        rows = torch.randint(held, len(x), (_BATCH,), generator=generator).to(x.device)
        optimizer.zero_grad()
        _loss(_answers(x[rows], network), y[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % _CHECK == 0:
            state = [parameter.detach().clone() for parameter in network]
            loss = float(_loss(_answers(x[:held], state), y[:held]))
            if loss < least:
                best, least = state, loss
    return _answers(x_test, best)


def _answers(x: Tensor, network: list[Tensor]) -> Tensor:
    first, bias, second, level = network
    return torch.addmm(level, torch.addmm(bias, x, first).relu(), second)


def _linear(x: Tensor, y: Tensor, x_test: Tensor) -> Tensor:
    """Answers of the linear probe for `x_test`, its penalty chosen on the held-out rows."""
    held = len(x) // _HELD_OUT
    kept, outputs, losses = x[held:], _num_outputs(y), {}
    covariance = (kept.T @ kept).double() / len(kept)
    for l2 in _L2_GRID:
        weight, bias = _fitted(kept, y[held:], covariance, outputs, l2)
        losses[l2] = float(_loss(torch.addmm(bias, x[:held], weight), y[:held]))
    best = min(_L2_GRID, key=lambda l2: losses[l2])
    weight, bias = _fitted(x, y, (x.T @ x).double() / len(x), outputs, best)
    return torch.addmm(bias, x_test, weight)


def _fitted(
    x: Tensor, y: Tensor, covariance: Tensor, num_outputs: int, l2: float
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a logistic regression on classes, of a ridge regression on numbers.

    Ridge minimises `mean ‖x W + b - y‖² + l2 ‖W‖²`. `covariance` is `xᵀx / n`, not centred.
    """
    if not y.is_floating_point():
        start = (x.new_zeros(x.shape[1], num_outputs), x.new_zeros(num_outputs))
        return _fit(x, y, covariance, l2, start)
    centre, level = x.mean(dim=0), y.mean(dim=0)
    covariance = covariance - torch.outer(centre, centre)
    covariance.diagonal().add_(l2)
    joint = (x.T @ (y - level)).double() / len(x)
    weight = torch.linalg.solve(covariance, joint).to(x.dtype)
    return weight, level - centre @ weight


def _loss(answers: Tensor, y: Tensor) -> Tensor:
    """What a probe minimises: squared errors of numbers, cross-entropy of classes."""
    return F.mse_loss(answers, y) if y.is_floating_point() else F.cross_entropy(answers, y)


def _num_outputs(y: Tensor) -> int:
    return y.shape[1] if y.is_floating_point() else int(y.max()) + 1


def _log_frequencies(classes: Tensor, num_classes: int) -> Tensor:
    """Log share of each class, as if each had been seen once more, so that all are finite."""
    return (classes.bincount(minlength=num_classes) + 1.0).div(len(classes) + num_classes).log()


def _measured(
    answers: Tensor, true: Tensor, kind: str, groups: Tensor | None, seed: int
) -> Decoded:
    """The measure of the kind on the test rows, with its interval and its chance level."""
    metric: Literal["AUC", "accuracy", "R²"]
    if kind == "binary":
        metric, chance = "AUC", 0.5
        measure = partial(_auc, answers[:, 1] - answers[:, 0], true == 1)
    elif kind == "continuous":
        metric, chance = "R²", 0.0
        measure = partial(_r_squared, answers.double(), true.double())
    else:
        metric, chance = "accuracy", int(true.bincount().max()) / len(true)
        measure = partial(_share, answers.argmax(dim=1) == true)
    value = float(measure(torch.ones(1, len(true), dtype=torch.float64)))
    resampled = measure(_resamples(torch.arange(len(true)) if groups is None else groups, seed))
    ends = resampled.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    if kind == "classes":
        low, high = wilson(round(value * len(true)), len(true))
        # Resampled groups alone would leave no interval where every row is right.
        ends = [low, high] if groups is None else [min(low, ends[0]), max(high, ends[1])]
    return {"metric": metric, "value": value, "ci95": ends, "n": len(true), "chance": chance}


def _resamples(groups: Tensor, seed: int) -> Tensor:
    """How often each row comes up in each bootstrap resample of the groups `(resamples, n)`."""
    member = torch.unique(groups, return_inverse=True)[1]
    num_groups = int(member.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(num_groups, (_RESAMPLES, num_groups), generator=generator)
    times = torch.zeros(_RESAMPLES, num_groups, dtype=torch.float64)
    times.scatter_add_(1, chosen, torch.ones_like(chosen, dtype=torch.float64))
    return times[:, member]


# Each measure takes the weights of the rows `(resamples, n)`, float64, and gives `(resamples,)`,
# NaN where a resample leaves nothing to tell apart.


def _auc(score: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """How often a positive scores above a negative; a tie counts half."""
    levels, level = torch.unique(score, return_inverse=True)
    empty = weight.new_zeros(len(weight), len(levels))
    positives = empty.index_add(1, level, weight * positive)
    negatives = empty.index_add(1, level, weight * ~positive)
    below = negatives.cumsum(dim=1) - negatives / 2
    pairs = positives.sum(dim=1) * negatives.sum(dim=1)
    return (positives * below).sum(dim=1) / pairs


def _r_squared(predicted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """The share of the variance that is predicted, averaged over the parameters that vary."""
    varies = _varies(true)
    std, mean = torch.std_mean(true[:, varies], dim=0, correction=0)
    centred = (true[:, varies] - mean) / std
    error = ((predicted - true)[:, varies] / std).square()
    total = weight.sum(dim=1, keepdim=True)
    spread = weight @ centred.square() - (weight @ centred).square() / total
    spread[spread < 1e-9 * total] = torch.nan
    return (1 - weight @ error / spread).mean(dim=1)


def _share(right: Tensor, weight: Tensor) -> Tensor:
    return (weight * right).sum(dim=1) / weight.sum(dim=1)


def _varies(drawn: Tensor) -> Tensor:
    """Which parameters vary by more than rounding `(parameters,)`."""
    return drawn.amax(dim=0) - drawn.amin(dim=0) > 1e-6 * drawn.abs().amax(dim=0)


def _targets(
    drawn: Tensor, drawn_test: Tensor, counts: tuple[int, int], kind: str
) -> tuple[Tensor, Tensor]:
    """What was drawn, as the probes learn it: int64 classes, or standardised float32 numbers."""
    drawn, drawn_test = drawn.cpu(), drawn_test.cpu()
    if kind == "continuous":
        _check_numbers(drawn, drawn_test, counts)
        mean, std = _scale(drawn.double())
        target, true = ((drawn - mean) / std).float(), ((drawn_test - mean) / std).float()
        if not _varies(true).any():
            raise TwofoldError("no drawn parameter varies over the test rows; R² needs one to")
        return target, true
    if kind == "binary":
        for values in (drawn, drawn_test):
            if not ((values == 0) | (values == 1)).all():
                raise TwofoldError("what was drawn is not binary; it must be True or False, 1 or 0")
        drawn, drawn_test = drawn.long(), drawn_test.long()
    found = (
        class_labels(drawn, counts[0], drawn.device),
        class_labels(drawn_test, counts[1], drawn.device),
    )
    for where, classes in zip(("training", "test"), found, strict=True):
        if classes.min() == classes.max():
            raise TwofoldError(
                f"every {where} row was drawn {int(classes[0])}; "
                "there must be two outcomes or more to tell apart"
            )
    return found


def _groups(groups: Tensor | None, n: int) -> Tensor | None:
    if groups is None:
        return None
    if groups.shape != (n,):
        raise TwofoldError(
            f"groups_test has shape {tuple(groups.shape)}; {n} test rows need ({n},), one each"
        )
    if len(torch.unique(groups)) < 2:
        raise TwofoldError("all test rows are of one group; an interval needs 2 or more")
    return groups.cpu()


def _check(train: Tensor, test: Tensor) -> None:
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise TwofoldError(
            f"train and test have shapes {tuple(train.shape)} and {tuple(test.shape)}; "
            "they must be (n, dim) and (m, dim)"
        )
    if min(len(train), len(test)) < _FEWEST:
        raise TwofoldError(
            f"there are {len(train)} training and {len(test)} test rows; "
            f"a probe needs {_FEWEST} of each"
        )
    if not (train.isfinite().all() and test.isfinite().all()):
        raise TwofoldError("a feature is NaN or infinite; leave out the rows that have one")


def _check_numbers(drawn: Tensor, drawn_test: Tensor, counts: tuple[int, int]) -> None:
    for values, count in zip((drawn, drawn_test), counts, strict=True):
        if values.ndim != 2 or len(values) != count or values.shape[1] != drawn.shape[1]:
            raise TwofoldError(
                f"what was drawn has shapes {tuple(drawn.shape)} and {tuple(drawn_test.shape)}; "
                f"{counts[0]} training and {counts[1]} test rows need (rows, parameters)"
            )
        if not values.isfinite().all():
            raise TwofoldError("a drawn parameter is NaN or infinite; leave out its row")
