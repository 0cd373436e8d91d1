"""Losses that pull two views of an item together and push different items apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError


class Bounds(NamedTuple):
    """What a loss reads when nothing has been learned, and the least it can ever read."""

    chance: float
    floor: float


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """Contrasts each view with its partner against every other row of the batch.

    With `u` the L2-normalised rows of both views (2B of them), `s_ij = <u_i, u_j> / temperature`
    and `p(i)` the other view of `i`:

    `loss = mean_i [ log sum_{k != i} exp(s_ik) - s_i,p(i) ]`

    the mean over all 2B anchors, each against 2B - 2 negatives. Computed in float32 whatever the
    autocast (float64 inputs stay float64).

    Args:
        first: Embeddings of the first views `(batch, dim)`, batch >= 2, dim >= 2.
        second: Embeddings of the second views `(batch, dim)`; row i shows the item of `first[i]`.
        temperature: Divides the cosine similarities; > 0. The paper uses 0.1 for ImageNet, 0.5
            for CIFAR-10.

    Returns:
        A scalar, between the floor and (for a collapsed batch) the chance of `nt_xent_bounds`.

    Raises:
        TwofoldError: If the shapes differ, the batch has one item (no negatives), the embeddings
            one dimension (cosine similarity leaves only -1 and +1), or temperature <= 0.

    Example:
        >>> items = torch.eye(8, dtype=torch.float64)
        >>> round(nt_xent(items, items, temperature=0.5).item(), 10)
        1.062879394

    Reference: Chen et al., 2020, arXiv:2002.05709, equation 1.
    """
    _check(first, second, temperature)
    with torch.autocast(first.device.type, enabled=False):
        rows = F.normalize(_full_precision(torch.cat([first, second])), dim=1)
        logits = rows @ rows.T / temperature
        positives = logits.diagonal(len(first))
        itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        return logits.masked_fill(itself, -math.inf).logsumexp(dim=1).mean() - positives.mean()


def nt_xent_bounds(batch_size: int, *, temperature: float) -> Bounds:
    """Chance and floor of `nt_xent` for a batch of `batch_size` items.

    `chance = log(2B - 1)`: all rows equal, or all orthogonal.
    `floor = log(1 + (2B - 2) exp(-(1 + 1 / (B - 1)) / temperature))`: the two views of an item
    coincide and the items form a regular simplex, which needs dim >= B - 1; with fewer
    dimensions the floor cannot be reached.

    Example:
        >>> chance, floor = nt_xent_bounds(512, temperature=0.5)
        >>> round(chance, 3), round(floor, 3)
        (6.93, 4.933)
    """
    exponent = -(1 + 1 / (batch_size - 1)) / temperature
    return Bounds(
        chance=math.log(2 * batch_size - 1),
        floor=math.log1p((2 * batch_size - 2) * math.exp(exponent)),
    )


def _full_precision(embeddings: Tensor) -> Tensor:
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def _check(first: Tensor, second: Tensor, temperature: float) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        raise TwofoldError(
            "first and second must both be embeddings of shape (batch, dim); "
            f"they are {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if len(first) < 2:
        raise TwofoldError(
            "nt_xent needs a batch of at least 2 items, the others being the negatives; found 1"
        )
    if first.shape[1] < 2:
        raise TwofoldError(
            "nt_xent needs embeddings of at least 2 dimensions; with 1, cosine similarity leaves "
            "only the two values -1 and +1"
        )
    if not temperature > 0:
        raise TwofoldError(f"temperature is {temperature}; it must be > 0")
