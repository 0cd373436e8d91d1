"""Losses that keep dimensions from repeating each other, without negatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses.embeddings import check_batch, check_pair, full_precision

_WHY = "over which dimensions are compared"


def barlow_twins(first: Tensor, second: Tensor, *, redundancy: float = 0.0051) -> Tensor:
    """Makes each dimension agree between two views and differ from all other dimensions.

    With every dimension of each view standardised over the batch (biased variance, plus 1e-5) and
    `C = first^T second / batch`:

    `loss = sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2`

    Computed in float32 whatever the autocast (float64 inputs stay float64).

    Args:
        first: Embeddings of the first views `(batch, dim)`, batch >= 2.
        second: Embeddings of the second views `(batch, dim)`; row i shows the item of `first[i]`.
        redundancy: Weight of the second sum; >= 0. 0.0051 as published.

    Returns:
        A scalar >= 0; dim for a collapsed batch.

    Raises:
        TwofoldError: If the shapes differ, the batch has one item or a weight is negative.

    Example:
        >>> views = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
        >>> barlow_twins(views, torch.ones(8, 3)).item()
        3.0

    Reference: Zbontar et al., 2021, arXiv:2103.03230, equations 1 and 2.
    """
    check_pair(first=first, second=second)
    check_batch("barlow_twins", len(first), why=_WHY)
    _check_weights(redundancy=redundancy)
    with torch.autocast(first.device.type, enabled=False):
        first, second = (_standardised(rows) for rows in full_precision(first, second))
        diagonal = (first * second).sum(dim=0)
        agreement = (1 - diagonal / len(first)).square().sum()
        repeated = _off_diagonal(first, second, diagonal) / len(first) ** 2
        return agreement + redundancy * repeated


def vicreg(
    first: Tensor,
    second: Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Tensor:
    """Makes two views agree while every dimension varies and none repeats another.

    With `mse` the mean over batch and dimensions of `(first - second)^2` and, of either view `z`
    with unbiased covariance matrix `K`,
    `v(z) = mean_d max(0, 1 - sqrt(K_dd + 1e-4))` and `c(z) = sum_{i != j} K_ij^2 / dim`:

    `loss = invariance * mse + variance * (v(first) + v(second)) / 2
    + covariance * (c(first) + c(second))`

    the official code's convention. The paper's formula differs: it sums the mse over dimensions
    and adds `v` of both views, without the half. Computed in float32 whatever the autocast (float64
    inputs stay float64).

    Args:
        first: Embeddings of the first views `(batch, dim)`, batch >= 2; not normalised, their
            scale matters.
        second: Embeddings of the second views `(batch, dim)`; row i shows the item of `first[i]`.
        invariance: Weight of the agreement; >= 0. 25 as published.
        variance: Weight of the variance term; >= 0. 25 as published.
        covariance: Weight of the covariance term; >= 0. 1 as published.

    Returns:
        A scalar >= 0; `0.99 * variance` for a collapsed batch.

    Raises:
        TwofoldError: If the shapes differ, the batch has one item or a weight is negative.

    Example:
        >>> round(vicreg(torch.ones(8, 3), torch.ones(8, 3)).item(), 4)
        24.75

    Reference: Bardes et al., 2021, arXiv:2105.04906, equations 1 to 6.
    """
    check_pair(first=first, second=second)
    check_batch("vicreg", len(first), why=_WHY)
    _check_weights(invariance=invariance, variance=variance, covariance=covariance)
    with torch.autocast(first.device.type, enabled=False):
        first, second = full_precision(first, second)
        loss = invariance * F.mse_loss(first, second)
        for view in (first, second):
            centred = view - view.mean(dim=0)
            diagonal, freedom = centred.square().sum(dim=0), len(view) - 1
            missing = F.relu(1 - (diagonal / freedom + 1e-4).sqrt()).mean()
            repeated = _off_diagonal(centred, centred, diagonal) / freedom**2 / len(diagonal)
            loss = loss + variance * missing / 2 + covariance * repeated
        return loss


def _standardised(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + 1e-5).sqrt()


def _off_diagonal(first: Tensor, second: Tensor, diagonal: Tensor) -> Tensor:
    """Sum of the squares off the diagonal of `first^T second`, of which that is the diagonal.

    With fewer rows than half the columns `|A^T B|^2 = sum (A A^T) * (B B^T)` takes less time and no
    memory for dimensions by dimensions. As the matrix then has at most half its rank, the squares
    on the diagonal are a minor part of all where dimensions vary alike: little is lost in
    subtracting them.
    """
    batch, dim = first.shape
    if 2 * batch > dim:
        return (first.T @ second).fill_diagonal_(0.0).square().sum()
    own = first @ first.T
    other = own if second is first else second @ second.T
    return (own * other).sum() - diagonal.square().sum()


def _check_weights(**weights: float) -> None:
    for name, weight in weights.items():
        if not weight >= 0:
            raise TwofoldError(f"{name} is {weight}; it must be >= 0")
