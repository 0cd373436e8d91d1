"""Nearest neighbours by cosine, and the classifier that lets them vote."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate.labels import class_labels
from twofold.evaluate.nearest import Search, compare_all, search_pays

_SIMILARITIES = 2**25  # held at a time: 128 MiB; smaller blocks are slower


def knn(
    bank: Tensor,
    labels: np.ndarray | Tensor,
    queries: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
) -> Tensor:
    """The class of each query by a weighted vote of its `k` nearest neighbours in the bank.

    `score(c) = sum_{i in neighbours, label(i) = c} exp(cos(query, i) / temperature)`

    Args:
        bank: Features with known classes `(n, dim)`.
        labels: Their classes `(n,)`, whole numbers from 0.
        queries: Features to classify `(m, dim)`.
        k: How many neighbours vote, in [1, n].
        temperature: How much more the nearer ones count, > 0; `inf` gives each the same vote.
            Default 0.07 as in the reference.
        num_classes: Number of classes; one more than the largest label if None.

    Returns:
        Predicted classes `(m,)`, int64.

    Raises:
        TwofoldError: If `k`, the temperature or a shape does not fit.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> knn(bank, torch.tensor([0, 0, 1]), torch.tensor([[2.0, 0.3], [0.1, 5.0]]), k=1)
        tensor([0, 1])

    Reference: Wu et al., 2018, arXiv:1805.01978
    """
    votes = knn_votes(bank, labels, queries, k=k, temperature=temperature, num_classes=num_classes)
    return votes.argmax(dim=1)


def knn_votes(
    bank: Tensor,
    labels: np.ndarray | Tensor,
    queries: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
    num_classes: int | None = None,
) -> Tensor:
    """The share of the vote of `knn` that each class receives.

    Args:
        bank: As of `knn`, like all that follow.
        labels: Known classes.
        queries: Features to classify.
        k: How many neighbours vote.
        temperature: How much more the nearer ones count.
        num_classes: Number of classes.

    Returns:
        Shares `(m, classes)`, float32; exactly 1 where the vote is unanimous.

    Raises:
        TwofoldError: As `knn`.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
        >>> knn_votes(bank[:2], torch.tensor([0, 1]), bank[2:], k=2).round(decimals=3)
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]])
    """
    if not temperature > 0:
        raise TwofoldError(f"temperature is {temperature}; it must be > 0")
    classes = class_labels(labels, len(bank), bank.device)
    num_classes = num_classes or int(classes.max()) + 1
    similarity, index = neighbours(bank, queries, k=k)
    # A softmax is the same vote up to one positive factor per query, and cannot overflow.
    votes = torch.softmax(similarity / temperature, dim=1)
    scores = votes.new_zeros(len(queries), num_classes)
    scores.scatter_add_(1, classes[index], votes)
    return scores / scores.sum(dim=1, keepdim=True)


@torch.no_grad()
def neighbours(bank: Tensor, queries: Tensor, *, k: int = 20) -> tuple[Tensor, Tensor]:
    """The `k` nearest neighbours of each query in the bank, the nearest first.

    Similarities are computed for a block of queries at a time, so that memory stays bounded
    however large the bank is. On a CPU that multiplies bf16, most of a large bank is ruled out in
    bf16 with a proven bound, and only what is left is compared; the similarities are float32 sums
    of products either way. So neighbours are the same, but items less than some 1e-6 apart in
    similarity may change places, and so in or out of the `k`, as they may from machine to machine.

    Args:
        bank: Features `(n, dim)`.
        queries: Features `(m, dim)` on the same device.
        k: How many neighbours, in [1, n].

    Returns:
        Cosine similarities `(m, k)`, float32, and indices into the bank `(m, k)`.

    Raises:
        TwofoldError: If `k` is out of range or the dimensions differ.

    Example:
        >>> similarity, index = neighbours(torch.eye(3), torch.tensor([[3.0, 4.0, 0.0]]), k=2)
        >>> index.tolist(), [round(value, 4) for value in similarity[0].tolist()]
        ([[1, 0]], [0.8, 0.6])
    """
    if not 1 <= k <= len(bank):
        raise TwofoldError(f"k is {k}; with {len(bank)} items in the bank it must be 1 to that")
    if bank.ndim != 2 or queries.ndim != 2 or bank.shape[1] != queries.shape[1]:
        raise TwofoldError(
            f"bank and queries have shapes {tuple(bank.shape)} and {tuple(queries.shape)}; "
            "they must be (n, dim) and (m, dim)"
        )
    bank, queries = F.normalize(bank.float()), F.normalize(queries.float())
    pays = search_pays(bank, queries, k)
    find = Search(bank, k) if pays else partial(compare_all, bank, k=k)
    rows = max(1, _SIMILARITIES // len(bank))
    similarity, index = zip(*map(find, torch.split(queries, rows)), strict=True)
    return torch.cat(similarity), torch.cat(index)
