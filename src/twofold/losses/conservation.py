"""Losses of what orbits conserve: alike along an orbit, different between orbits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses.embeddings import check_batch, check_pair, full_precision


def within_variance(embeddings: Tensor) -> Tensor:
    """The variance of embeddings within each group, summed over dimensions.

    `v_g = sum_d 1/(m - 1) sum_i (z_igd - mean_i z_igd)^2`

    Args:
        embeddings: Of m members of each group `(members, groups, dim)`, m >= 2.

    Returns:
        `(groups,)`.

    Raises:
        TwofoldError: If the shape is another, or groups have one member.

    Example:
        >>> within_variance(torch.tensor([[[1.0], [5.0]], [[3.0], [5.0]]]))
        tensor([2., 0.])
    """
    _check_members("within_variance", embeddings)
    with torch.autocast(embeddings.device.type, enabled=False):
        (rows,) = full_precision(embeddings)
        return rows.var(dim=0).sum(dim=-1)


def noise_variance(
    embeddings: Tensor, noisy: Tensor, *, spread: float = 1.0, weight: float = 1.0
) -> Tensor:
    """Makes embeddings constant within groups while they vary by as much as told under noise.

    `loss = mean_g [v_g(z) + weight |spread - v_g(z')|]`, `v_g` as of `within_variance`

    Args:
        embeddings: `(members, groups, dim)`, members >= 2.
        noisy: The same of states that noise has moved off their orbits.
        spread: Variance that these shall have; > 0, 1 as published.
        weight: Of the second term; >= 0, 1 as published.

    Returns:
        A scalar >= 0; `weight * spread` if nothing varies at all.

    Raises:
        TwofoldError: If shapes do not fit or a number is out of range.

    Example:
        >>> same = torch.zeros(2, 3, 1)
        >>> noise_variance(same, same).item()
        1.0

    Reference: Ha and Jeong, 2021, arXiv:2102.04008.
    """
    if embeddings.shape != noisy.shape:
        raise TwofoldError(
            f"embeddings and noisy have shapes {tuple(embeddings.shape)} and "
            f"{tuple(noisy.shape)}; they must be of the same states"
        )
    if not spread > 0 or not weight >= 0:
        raise TwofoldError(f"spread and weight are {spread} and {weight}; must be > 0 and >= 0")
    off = (spread - within_variance(noisy)).abs()
    return (within_variance(embeddings) + weight * off).mean()


def square_ratio(embeddings: Tensor) -> Tensor:
    """Makes squared distances within groups small beside those to all other states.

    With `d_ij` the distance between two of n states and `P(i)` the others of the group of i:

    `loss = mean_i mean_{j in P(i)} d_ij^2 / sum_{k != i} d_ik^2`

    Neither a shift nor a factor changes it. Of a state from which no other differs, 0 / 0 counts
    as for embeddings without any structure, and gives no gradient.

    Args:
        embeddings: Of m members of each group `(members, groups, dim)`, m >= 2, groups >= 2.

    Returns:
        A scalar >= 0, about `1 / (n - 1)` for embeddings without any structure.

    Raises:
        TwofoldError: If the shape is another, groups have one member, or there is one group.

    Example:
        >>> conserved = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 3, 1).expand(5, 3, 1)
        >>> square_ratio(conserved).item()
        0.0

    Reference: Zhang et al., 2023, arXiv:2302.05783.
    """
    _check_members("square_ratio", embeddings)
    members, groups, dim = embeddings.shape
    check_batch("square_ratio", groups, why="which are told apart")
    with torch.autocast(embeddings.device.type, enabled=False):
        (rows,) = full_precision(embeddings.reshape(members * groups, dim))
        # From differences: |a|^2 - 2ab + |b|^2 would lose the digits of rows that are close.
        distances = (rows[:, None] - rows).square().sum(dim=-1)
        group = torch.arange(groups, device=rows.device).repeat(members)
        total = distances.sum(dim=1)
        own = (distances * (group[:, None] == group)).sum(dim=1) / (members - 1)
        chance = 1 / (len(rows) - 1)
        return torch.where(total > 0, own / total.where(total > 0, 1.0), chance).mean()


def same_orbit(first: Tensor, second: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    """Tells states of one orbit from states of two by the distance of their embeddings.

    With `s(a, b) = offset + weight |a - b|^2` the logit that a and b are of one orbit, half of the
    pairs being `(a_i, b_i)` and half `(a_i, b_{i-1})`:

    `loss = 1/2 mean_i [-log sigma(s(a_i, b_i))] + 1/2 mean_i [-log sigma(-s(a_i, b_{i-1}))]`

    Args:
        first: Embeddings of one state of each orbit `(batch, dim)`, batch >= 2.
        second: Embeddings of another state of the same orbits `(batch, dim)`.
        weight: What a squared distance counts, a learned scalar; < 0 once it has learned.
        offset: The logit of equal embeddings, a learned scalar.

    Returns:
        A scalar >= 0; log 2 if all logits are 0.

    Raises:
        TwofoldError: If the shapes differ or the batch has one orbit.

    Example:
        >>> one = torch.ones(4, 1)
        >>> round(same_orbit(one, one, torch.tensor(1.0), torch.tensor(0.0)).item(), 4)
        0.6931

    Reference: Wetzel et al., 2020, arXiv:2003.04299.
    """
    check_pair(first=first, second=second)
    check_batch("same_orbit", len(first), why="the second being of another orbit than the first")
    with torch.autocast(first.device.type, enabled=False):
        first, second = full_precision(first, second)
        same, other = (
            offset + weight.squeeze() * (first - partner).square().sum(dim=1)
            for partner in (second, second.roll(1, dims=0))
        )
        return (F.softplus(-same).mean() + F.softplus(other).mean()) / 2


def _check_members(loss: str, embeddings: Tensor) -> None:
    if embeddings.ndim != 3 or not embeddings.numel() or len(embeddings) < 2:
        raise TwofoldError(
            f"{loss} needs embeddings of shape (members, groups, dim), two members or more; found "
            f"{tuple(embeddings.shape)}"
        )
