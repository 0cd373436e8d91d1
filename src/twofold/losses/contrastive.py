"""Losses that pull two views of an item together and push different items apart."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError, unknown
from twofold.losses.embeddings import (
    check_batch,
    check_cosine,
    check_pair,
    check_temperature,
)
from twofold.losses.similarities import Cosine, Euclidean
from twofold.losses.tiles import log_sum_exp

Similarity = Literal["cosine", "euclidean"]
_SIMILARITIES = {"cosine": Cosine, "euclidean": Euclidean}
_NEGATIVES = {"cross": 1, "all": 2}  # a query has of each other item
_WHY = "the others being the negatives"


class Bounds(NamedTuple):
    """What a loss reads when nothing has been learned, and the least it can ever read."""

    chance: float
    floor: float


def nt_xent(
    first: Tensor, second: Tensor, *, temperature: float = 0.5, shared: bool = False
) -> Tensor:
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
        shared: Whether all processes have these embeddings and share the work, as objectives do.

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
    check_pair(first=first, second=second)
    check_batch("nt_xent", len(first), why=_WHY)
    check_cosine("nt_xent", first)
    check_temperature(temperature)
    cosine = Cosine(temperature)
    with torch.autocast(first.device.type, enabled=False):
        (rows,) = cosine.prepare(torch.cat([first, second]))
        positive = cosine.of_partners(*rows.chunk(2)).repeat(2)
        partners = (-len(first), 0, len(first))
        negative = log_sum_exp(rows, similarity=cosine, without=partners, shared=shared)
        return _surprise(positive, negative)


def nt_xent_bounds(batch_size: int, *, temperature: float) -> Bounds:
    """Chance and floor of `nt_xent` for a batch of `batch_size` items.

    `chance = log(2B - 1)`: all rows equal, or all orthogonal.
    `floor = log(1 + (2B - 2) exp(-(1 + 1 / (B - 1)) / temperature))`: the two views of an item
    coincide and the items form a regular simplex, which needs dim >= B - 1; with fewer
    dimensions the floor cannot be reached. `info_nce_bounds` derives it.

    Raises:
        TwofoldError: If the batch has one item or temperature <= 0.

    Example:
        >>> chance, floor = nt_xent_bounds(512, temperature=0.5)
        >>> round(chance, 3), round(floor, 3)
        (6.93, 4.933)
    """
    check_batch("nt_xent", batch_size, why=_WHY)
    return info_nce_bounds(batch_size, temperature=temperature, negatives="all")


def info_nce(
    query: Tensor,
    key: Tensor,
    *,
    temperature: float,
    similarity: Similarity = "cosine",
    negatives: Literal["cross", "all"] | Tensor = "cross",
    shared: bool = False,
) -> Tensor:
    """Finds each query's own key among those of other items: one direction, from query to key.

    With `s(a, b) = <a, b> / (|a| |b| temperature)`, or `-|a - b|^2 / temperature` if euclidean:

    `loss = mean_i -log [ exp s(q_i, k_i) / (exp s(q_i, k_i) + sum_{n in N(i)} exp s(q_i, n)) ]`

    The mean of both directions is the symmetric InfoNCE with `negatives="cross"`, and with "all"
    it is `nt_xent`, which is never the smaller of the two. Computed in float32 whatever the
    autocast (float64 inputs stay float64).

    Args:
        query: Embeddings `(batch, dim)`.
        key: Embeddings `(batch, dim)`; row i shows the item of `query[i]`.
        temperature: Divides the similarities; > 0.
        similarity: "cosine" (dim >= 2), or "euclidean": squared distances, which have no scale
            of their own, so that norms grow until something else holds them. It is meant for few
            dimensions: on a GPU its backward pass needs memory for 4 million numbers for each.
        negatives: `N(i)`: "cross", the batch - 1 other keys; "all", the other queries too,
            2 * batch - 2 in total; or a queue of embeddings `(entries, dim)`, which alone are the
            negatives and receive no gradient.
        shared: Whether all processes have these embeddings and share the work, as objectives do.

    Returns:
        A scalar >= the floor of `info_nce_bounds`; its chance for a collapsed batch.

    Raises:
        TwofoldError: If shapes do not fit, the batch has one item and there is no queue, cosine
            is asked of one dimension, temperature <= 0 or a choice is unknown.

    Example:
        >>> items = torch.eye(8, dtype=torch.float64)
        >>> round(info_nce(items, items, temperature=0.5).item(), 10)
        0.6664679245
        >>> queue = -torch.ones(100, 8)
        >>> round(info_nce(items, items, temperature=0.5, negatives=queue).item(), 3)
        2.038

    Reference: van den Oord et al., 2018, arXiv:1807.03748; the queue: He et al., 2019,
    arXiv:1911.05722.
    """
    check_pair(query=query, key=key)
    check_temperature(temperature)
    if similarity not in _SIMILARITIES:
        raise unknown("similarity", similarity, _SIMILARITIES)
    if similarity == "cosine":
        check_cosine("info_nce", query, remedy="; use similarity='euclidean'")
    compare = _SIMILARITIES[similarity](temperature)
    with torch.autocast(query.device.type, enabled=False):
        if isinstance(negatives, Tensor):
            _check_queue(negatives, query.shape[1])
            query, key, queue = compare.prepare(query, key, negatives.detach())
            negative = log_sum_exp(query, queue, similarity=compare, shared=shared)
        else:
            _check_batch_negatives(negatives, len(query))
            query, key = compare.prepare(query, key)
            negative = log_sum_exp(query, key, similarity=compare, without=(0,), shared=shared)
            if negatives == "all":
                own = log_sum_exp(query, similarity=compare, without=(0,), shared=shared)
                negative = torch.logaddexp(negative, own)
        return _surprise(compare.of_partners(query, key), negative)


def info_nce_bounds(
    batch_size: int,
    *,
    temperature: float,
    similarity: Similarity = "cosine",
    negatives: Literal["cross", "all"] | int = "cross",
) -> Bounds:
    """Chance and floor of `info_nce` for a batch of `batch_size` items.

    With N negatives a query (B - 1 for "cross", 2B - 2 for "all"):

    `chance = log(1 + N)`: all embeddings equal.
    `floor = log(1 + N exp(-(1 + 1 / (B - 1)) / temperature))`: query and key of an item coincide
    and the items form a regular simplex, which needs dim >= B - 1.

    Why no embeddings go below: with `x` = a negative's similarity less the positive's, the loss is
    the mean of `log(1 + sum exp x)` over queries, which is at least `log(1 + N exp(mean x))` as
    both log-sum-exp and `log(1 + N exp)` are convex. For "cross", `temperature * mean x` is
    `[<sum q, sum k> - B sum <q_i, k_i>] / (B (B - 1))`; the bracket is the form of `J - B I`
    (`J` all ones), whose eigenvalues are 0 and -B, and therefore >= `-B * B`. For "all" the mean
    is `[|S|^2 - B + sum <k_i, S - (2B - 1) q_i>] / (2B (B - 1))`, `S = sum q`; the best `k_i`
    gives `-|S - (2B - 1) q_i|`, the sum of which concavity bounds by a function of `|S|` alone,
    and the bracket is least, `-2 B * B`, at `S = 0`. Both are `-B / (B - 1)`.

    A queue of N entries leaves them free: `floor = log(1 + N exp(-2 / temperature))`, all
    entries opposite to all items. Euclidean similarity has floor 0, approached as items drift
    apart.

    Args:
        batch_size: Items in a batch; >= 2 unless the negatives are a queue.
        temperature: Of `info_nce`; > 0.
        similarity: Of `info_nce`.
        negatives: "cross", "all", or the number of entries of the queue.

    Raises:
        TwofoldError: If the batch has one item and there is no queue, the queue is empty,
            temperature <= 0 or a choice is unknown.

    Example:
        >>> chance, floor = info_nce_bounds(512, temperature=0.5)
        >>> round(chance, 4), round(floor, 4)
        (6.2383, 4.2469)
    """
    check_temperature(temperature)
    if similarity not in _SIMILARITIES:
        raise unknown("similarity", similarity, _SIMILARITIES)
    if isinstance(negatives, int):
        if negatives < 1:
            raise TwofoldError(f"the queue has {negatives} entries; it must have at least 1")
        count, gap = negatives, 2.0
    else:
        _check_batch_negatives(negatives, batch_size)
        count, gap = (batch_size - 1) * _NEGATIVES[negatives], 1 + 1 / (batch_size - 1)
    floor = math.log1p(count * math.exp(-gap / temperature)) if similarity == "cosine" else 0.0
    return Bounds(chance=math.log(1 + count), floor=floor)


def _surprise(positive: Tensor, negative: Tensor) -> Tensor:
    """The mean of `-log [exp p / (exp p + exp n)]`, which rounding cannot bring below 0."""
    return -F.logsigmoid(positive - negative).mean()


def _check_batch_negatives(negatives: str, batch_size: int) -> None:
    if negatives not in _NEGATIVES:
        raise unknown("negatives", negatives, _NEGATIVES)
    check_batch("info_nce", batch_size, why=_WHY)


def _check_queue(queue: Tensor, dim: int) -> None:
    if queue.ndim != 2 or queue.shape[1] != dim or not len(queue):
        raise TwofoldError(
            f"negatives must be 'cross', 'all' or a queue of embeddings of shape (entries, {dim}); "
            f"it is a tensor of shape {tuple(queue.shape)}"
        )
