"""The linear probe: multinomial logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate.labels import class_labels

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4)
"""Penalties tried: from too strong for any set to hardly felt with ten thousand items."""

_HELD_OUT = 10  # one in so many training items chooses the penalty
_ITERATIONS = 100
_GRADIENT = 1e-4  # largest entry at which a fit has converged, in preconditioned coordinates


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearProbe:
    """What a linear probe predicts and how it was chosen."""

    scores: Tensor
    """Logits of each test item `(m, classes)`."""
    l2: float
    """The penalty chosen."""
    held_out: dict[float, float]
    """Accuracy on the held-out training items for each penalty tried."""

    @property
    def predictions(self) -> Tensor:
        """Predicted class of each test item `(m,)`, int64."""
        return self.scores.argmax(dim=1)


def linear_probe(
    train: Tensor,
    labels: np.ndarray | Tensor,
    test: Tensor,
    *,
    num_classes: int | None = None,
    seed: int = 0,
    l2_grid: Sequence[float] = L2_GRID,
) -> LinearProbe:
    """Classes that a linear classifier, trained on frozen features, gives to test items.

    Minimises `mean cross-entropy + l2/2 ‖W‖²` (the bias goes free) over standardised features.
    The penalty is the one that does best on a held-out tenth of the training items, the stronger
    of equals; the classifier is then fitted again to all of them. Test labels are no argument, so
    they cannot enter any choice. The same call gives the same bits.

    Args:
        train: Features with known classes `(n, dim)`, n >= 2.
        labels: Their classes `(n,)`, whole numbers from 0.
        test: Features to classify `(m, dim)`.
        num_classes: Number of classes; one more than the largest label if None.
        seed: Chooses the held-out items.
        l2_grid: Penalties tried, each > 0. scikit-learn's `C` is `1 / (n * l2)`.

    Returns:
        The scores, what they predict and the penalty chosen.

    Raises:
        TwofoldError: If a shape, a label or a penalty does not fit.

    Example:
        >>> points = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]).repeat(5, 1)
        >>> probe = linear_probe(points, (points[:, 0] > 0).long(), torch.tensor([[-3.0], [3.0]]))
        >>> probe.predictions
        tensor([0, 1])
    """
    _check(train, test, l2_grid)
    classes = class_labels(labels, len(train), train.device)
    num_classes = num_classes or int(classes.max()) + 1
    mean, std = _scale(train)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    order = order.to(train.device)
    x, y = (train[order] - mean).div_(std), classes[order]
    covariance = (x.T @ x).double() / len(x)
    held = max(1, len(x) // _HELD_OUT)

    model = (x.new_zeros(x.shape[1], num_classes), x.new_zeros(num_classes))
    models, held_out = {}, {}
    for l2 in sorted(l2_grid, reverse=True):  # from strong to weak, each from the last solution
        model = models[l2] = _fit(x[held:], y[held:], covariance, l2, model)
        held_out[l2] = (_scores(x[:held], model).argmax(dim=1) == y[:held]).double().mean().item()
    best = max(held_out, key=lambda l2: held_out[l2])
    model = _fit(x, y, covariance, best, models[best])
    return LinearProbe(scores=_scores((test - mean) / std, model), l2=best, held_out=held_out)


def _fit(
    x: Tensor, y: Tensor, covariance: Tensor, l2: float, start: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the penalised logistic regression, by L-BFGS from `start`.

    The Hessian is at most `covariance/2 + l2` (Böhning, 1992, doi:10.1007/BF00048682). In the
    coordinates of its Cholesky root it is at most 1, which spares two thirds of the iterations
    when features are correlated; the solution is the same.
    """
    bound = covariance / 2
    bound.diagonal().add_(l2)
    root = torch.linalg.cholesky(bound).to(x.dtype).T
    latent = (root @ start[0]).requires_grad_()
    bias = start[1].clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [latent, bias],
        max_iter=_ITERATIONS,
        tolerance_grad=_GRADIENT,
        line_search_fn="strong_wolfe",
    )

    def loss_with_gradient() -> Tensor:
        optimizer.zero_grad()
        weight = torch.linalg.solve_triangular(root, latent, upper=True)
        loss: Tensor = F.cross_entropy(torch.addmm(bias, x, weight), y)
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(loss_with_gradient)  # type: ignore[no-untyped-call]
    weight = torch.linalg.solve_triangular(root, latent.detach(), upper=True)
    return weight, bias.detach()


def _scores(x: Tensor, model: tuple[Tensor, Tensor]) -> Tensor:
    weight, bias = model
    return torch.addmm(bias, x, weight)


def _scale(train: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature; what varies by rounding alone is left at its scale."""
    std, mean = torch.std_mean(train, dim=0, correction=0)
    return mean, torch.where(std > 1e-6 * mean.abs(), std, torch.ones_like(std))


def _check(train: Tensor, test: Tensor, l2_grid: Sequence[float]) -> None:
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise TwofoldError(
            f"train and test have shapes {tuple(train.shape)} and {tuple(test.shape)}; "
            "they must be (n, dim) and (m, dim)"
        )
    if len(train) < 2:
        raise TwofoldError(
            f"there are {len(train)} training items; a probe needs 2, one of them held out"
        )
    if not l2_grid or min(l2_grid) <= 0:
        raise TwofoldError(f"l2_grid is {tuple(l2_grid)}; it must hold penalties > 0")
