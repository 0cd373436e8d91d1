"""Numbers told from frozen features: by a ridge regression, and by the nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, bootstrap
from twofold.evaluate.knn import neighbours
from twofold.evaluate.linear import L2_GRID, _scale

RIDGE_GRID = (1e2, 1e1, 1e0, *L2_GRID)
"""Penalties tried: weaker ones alone leave the R² of noise far below 0."""

_HELD_OUT = 10  # one in so many training items chooses the penalty
_FEWEST = 4  # training items: R² needs two that are held out, and a line two others


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeProbe:
    """What a ridge probe predicts and how it was chosen."""

    predictions: Tensor
    """Predicted targets of each test item `(m,)` or `(m, targets)`, float64, in their units."""
    l2: float
    """The penalty chosen."""
    held_out: dict[float, float]
    """R² on the held-out training items, averaged over targets, for each penalty tried."""


def ridge_probe(
    train: Tensor,
    targets: np.ndarray | Tensor,
    test: Tensor,
    *,
    seed: int = 0,
    l2_grid: Sequence[float] = RIDGE_GRID,
) -> RidgeProbe:
    """Numbers that a linear map, fitted to frozen features, gives to test items.

    Minimises `mean ‖x W + b - y‖² + l2 ‖W‖²` (the bias goes free) over standardised features and
    targets. The penalty is the one with the largest R² on a held-out tenth of the training items,
    the stronger of equals; the map is then fitted again to all of them. Test targets are no
    argument, so they cannot enter any choice. The same call gives the same bits.

    Args:
        train: Features with known targets `(n, dim)`, n >= 4.
        targets: Those `(n,)` or `(n, targets)`, in any units.
        test: Features to predict them for `(m, dim)`.
        seed: Chooses the held-out items.
        l2_grid: Penalties tried, each > 0. scikit-learn's `alpha` is `n * l2`.

    Returns:
        The predictions and the penalty chosen.

    Raises:
        TwofoldError: If a shape or a penalty does not fit, or a number is not finite.

    Example:
        >>> hours = torch.arange(20.0)[:, None]
        >>> probe = ridge_probe(hours, 15 - 0.5 * hours[:, 0], torch.tensor([[30.0]]))
        >>> round(probe.predictions.item(), 2), probe.l2
        (0.0, 0.0001)

    Reference: Hoerl and Kennard, 1970, doi:10.1080/00401706.1970.10488634
    """
    from sklearn.metrics import r2_score

    known = _targets(targets, train)
    _check(train, test, l2_grid)
    train, test = train.detach().double(), test.detach().double()
    (mean, std), (level, unit) = _scale(train), _scale(known)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    order = order.to(train.device)
    x, y = (train[order] - mean) / std, (known[order] - level) / unit
    held = max(2, len(x) // _HELD_OUT)

    models = _fit(x[held:], y[held:], sorted(l2_grid, reverse=True))
    truth = y[:held].cpu().numpy()
    held_out = {
        l2: float(r2_score(truth, torch.addmm(bias, x[:held], weight).cpu().numpy()))
        for l2, (weight, bias) in models.items()
    }
    best = max(held_out, key=lambda l2: held_out[l2])
    weight, bias = _fit(x, y, [best])[best]
    predictions = torch.addmm(bias, (test - mean) / std, weight) * unit + level
    shape = (len(test), *targets.shape[1:])
    return RidgeProbe(predictions=predictions.reshape(shape), l2=best, held_out=held_out)


def knn_regression(
    bank: Tensor,
    targets: np.ndarray | Tensor,
    queries: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Numbers of each query as a weighted mean over its `k` nearest neighbours in the bank.

    `y = sum_i w_i y_i / sum_i w_i` with `w_i = exp(cos(query, i) / temperature)`: the weights by
    which neighbours vote in `knn`.

    Args:
        bank: Features with known targets `(n, dim)`.
        targets: Those `(n,)` or `(n, targets)`, in any units.
        queries: Features to predict them for `(m, dim)`.
        k: How many neighbours count, in [1, n].
        temperature: How much more the nearer ones count, > 0; `inf` gives each the same weight.

    Returns:
        Predicted targets `(m,)` or `(m, targets)`, float64, in their units.

    Raises:
        TwofoldError: If `k`, the temperature or a shape does not fit, or a target is not finite.

    Example:
        >>> bank, ages = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([20.0, 60.0])
        >>> knn_regression(bank, ages, torch.tensor([[1.0, 1.0], [0.1, 7.0]]), k=2).round()
        tensor([40., 60.], dtype=torch.float64)
    """
    if not temperature > 0:
        raise TwofoldError(f"temperature is {temperature}; it must be > 0")
    known = _targets(targets, bank)
    similarity, index = neighbours(bank, queries, k=k)
    weights = torch.softmax(similarity.double() / temperature, dim=1)
    predictions = torch.einsum("mk,mkt->mt", weights, known[index])
    return predictions.reshape(len(queries), *targets.shape[1:])


def regression_figures(
    predictions: np.ndarray | Tensor,
    targets: np.ndarray | Tensor,
    *,
    seed: int = 0,
    unit: str = "",
) -> dict[str, Figure]:
    """How near predictions of one target come to the truth.

    `r2` is the share of the variance that is predicted, 1 at best and below 0 where the mean
    would do better; `mae` and `rmse` are the mean absolute and the root mean squared error in the
    target's units; `spearman` is the correlation of ranks, 0 if all predictions are the same.
    Intervals are those of `bootstrap`: over test items, not over trainings.

    Args:
        predictions: Predicted values `(n,)`, n >= 2.
        targets: True values `(n,)`.
        seed: Chooses the resamples.
        unit: Of the target, such as GeV; errors carry it. Blank if unknown.

    Returns:
        Each measure with its 95 % interval.

    Raises:
        TwofoldError: If a shape does not fit or a number is not finite.

    Example:
        >>> found = regression_figures(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]))
        >>> {name: round(figure["value"], 3) for name, figure in found.items()}
        {'r2': 0.786, 'mae': 0.333, 'rmse': 0.577, 'spearman': 1.0}
    """
    from sklearn import metrics

    predicted, true = (
        values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
        for values in (predictions, targets)
    )
    if predicted.shape != true.shape or true.ndim != 1 or len(true) < 2:
        raise TwofoldError(
            f"predictions have shape {predicted.shape} and targets {true.shape}; "
            "they must be (n,) of one target, n >= 2"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(true).all()):
        raise TwofoldError("a prediction or target is NaN or infinite; leave its item out")
    measures = {
        "r2": metrics.r2_score,
        "mae": metrics.mean_absolute_error,
        "rmse": metrics.root_mean_squared_error,
        "spearman": _spearman,
    }
    figures = {
        name: bootstrap(measure, true, predicted, seed=seed) for name, measure in measures.items()
    }
    for name in ("mae", "rmse") if unit else ():
        figures[name]["unit"] = unit
    return figures


def figures_by_target(
    predictions: np.ndarray | Tensor,
    targets: np.ndarray,
    names: Sequence[str] = (),
    *,
    seed: int = 0,
    unit: str = "",
) -> dict[str, Figure]:
    """The figures of `regression_figures` for every target, under names that end in the target's.

    Args:
        predictions: Predicted values `(n,)` or `(n, targets)`.
        targets: True values of the same shape.
        names: Name of each target; they are counted if empty.
        seed: Chooses the resamples.
        unit: Of all targets; blank if they have none in common.

    Example:
        >>> true = np.array([[1.0, 5.0], [3.0, 4.0], [4.0, 2.0]])
        >>> list(figures_by_target(true[:, 0], true[:, 0]))
        ['r2', 'mae', 'rmse', 'spearman']
        >>> list(figures_by_target(true, true))[::4]
        ['r2_0', 'r2_1']
        >>> list(figures_by_target(true, true, ("mass", "charge")))[::4]
        ['r2_mass', 'r2_charge']
    """
    predicted = predictions.reshape(len(predictions), -1)
    true = targets.reshape(len(targets), -1)
    return {
        f"{metric}{ending}": figure
        for target, ending in enumerate(endings(true.shape[1], names))
        for metric, figure in regression_figures(
            predicted[:, target], true[:, target], seed=seed, unit=unit
        ).items()
    }


def endings(count: int, names: Sequence[str]) -> list[str]:
    """What names of figures end in, for each target; nothing where there is but one."""
    if count == 1:
        return [""]
    return [f"_{name}" for name in (names if len(names) == count else range(count))]


def _spearman(true: np.ndarray, predicted: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(spearmanr(true, predicted).statistic)


def _fit(x: Tensor, y: Tensor, l2_grid: Sequence[float]) -> dict[float, tuple[Tensor, Tensor]]:
    """Weight and bias for each penalty, all from one eigen-decomposition.

    It is that of the covariance, or of the items' inner products where there are fewer items.
    """
    centre, level = x.mean(dim=0), y.mean(dim=0)
    centred, fewer = x - centre, len(x) < x.shape[1]
    products = centred @ centred.T if fewer else centred.T @ centred
    variances, directions = torch.linalg.eigh(products / len(x))
    moments = y - level if fewer else centred.T @ (y - level)
    joint = directions.T @ (moments / len(x))
    models = {}
    for l2 in l2_grid:
        solved = directions @ (joint / (variances.clamp(min=0) + l2)[:, None])
        weight = centred.T @ solved if fewer else solved
        models[l2] = weight, level - centre @ weight
    return models


def _targets(targets: np.ndarray | Tensor, features: Tensor) -> Tensor:
    """Targets `(n, targets)`, float64, where the features are."""
    known = targets.detach() if isinstance(targets, Tensor) else torch.tensor(targets)
    if known.ndim not in (1, 2) or len(known) != len(features):
        raise TwofoldError(
            f"targets have shape {tuple(known.shape)}; {len(features)} items need "
            f"({len(features)},) or ({len(features)}, targets)"
        )
    if not known.isfinite().all():
        raise TwofoldError("a target is NaN or infinite; leave out the items without one")
    return known.to(features.device, torch.float64).reshape(len(features), -1)


def _check(train: Tensor, test: Tensor, l2_grid: Sequence[float]) -> None:
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise TwofoldError(
            f"train and test have shapes {tuple(train.shape)} and {tuple(test.shape)}; "
            "they must be (n, dim) and (m, dim)"
        )
    if len(train) < _FEWEST:
        raise TwofoldError(f"there are {len(train)} training items; a ridge probe needs {_FEWEST}")
    if not (train.isfinite().all() and test.isfinite().all()):
        raise TwofoldError("a feature is NaN or infinite; leave out the rows that have one")
    if not l2_grid or min(l2_grid) <= 0:
        raise TwofoldError(f"l2_grid is {tuple(l2_grid)}; it must hold penalties > 0")
