"""Retrieval: whether what lies nearest to an item is of its class, or is the item itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, bootstrap, mean_figure, share_figure
from twofold.evaluate.labels import class_labels

_SIMILARITIES = 2**24  # held at a time: 64 MiB, and a few times as much for what is sorted of them


class Retrieval(NamedTuple):
    """How well queries find items of their class."""

    figures: dict[str, Figure]
    """`r@k` for each k, `r_precision` and `map@r`; `n` counts the queries that were kept."""
    dropped: int
    """Queries left out because no item that they could find is of their class."""


def retrieval(
    queries: Tensor,
    query_labels: np.ndarray | Tensor,
    bank: Tensor | None = None,
    bank_labels: np.ndarray | Tensor | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval:
    """How well the items nearest to a query by cosine are of its class.

    With `R` items of the query's class to be found, `hit(i)` whether the i-th nearest is one, and
    `P(i)` the share of hits among the `i` nearest, the means over queries are:

    - `r@k`: whether there is a hit among the `k` nearest,
    - `r_precision`: `P(R)`,
    - `map@r`: `1/R sum_{i <= R} P(i) hit(i)`, which rewards hits that come first.

    Intervals are Wilson's for `r@k` and `± 1.96 sd/√n` for the others, over queries. Similarities
    are computed for a block of queries at a time, so that memory stays bounded.

    Args:
        queries: Features `(m, dim)`.
        query_labels: Their classes `(m,)`, whole numbers from 0.
        bank: Features to search `(n, dim)` on the same device. Queries search one another if
            None, each leaving itself out, but not its copies.
        bank_labels: Classes of the bank `(n,)`.
        ks: Numbers of neighbours that `r@k` looks at, each from 1 to as many as there are.

    Returns:
        The figures, and how many queries were dropped because nothing of their class is there.

    Raises:
        TwofoldError: If a shape, a label or a k does not fit, a feature is not finite, or fewer
            than two queries can find anything of their class.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> found = retrieval(features, torch.tensor([0, 0, 1, 1]), ks=(1,))
        >>> {name: figure["value"] for name, figure in found.figures.items()}
        {'r@1': 1.0, 'r_precision': 1.0, 'map@r': 1.0}

    Reference: Musgrave et al., 2020, arXiv:2003.08505
    """
    themselves = bank is None
    if themselves != (bank_labels is None):
        raise TwofoldError("bank and bank_labels go together; give both or none")
    bank = queries if bank is None else bank
    _check(queries, bank)
    candidates = len(bank) - themselves
    for k in ks:
        if not 1 <= k <= candidates:
            raise TwofoldError(f"k is {k}; with {candidates} items to find it must be 1 to that")
    wanted = class_labels(query_labels, len(queries), queries.device)
    offered = wanted if bank_labels is None else class_labels(bank_labels, len(bank), bank.device)
    sizes = torch.bincount(offered, minlength=int(wanted.max()) + 1)
    matches = sizes[wanted] - int(themselves)
    kept = torch.nonzero(matches).flatten()
    if len(kept) < 2:
        raise TwofoldError(
            f"{len(kept)} of {len(queries)} queries have an item of their class to find; "
            "retrieval needs 2, so give more items of each class"
        )
    # The length of a query does not change what is nearer to it.
    queries, unit_bank = queries.float(), F.normalize(bank.float())
    blocks = []
    for rows in torch.split(kept, max(1, _SIMILARITIES // len(bank))):
        similarity = queries[rows] @ unit_bank.T
        if themselves:
            similarity.scatter_(1, rows[:, None], -torch.inf)
        nearest = similarity.topk(max([int(matches[rows].max()), *ks])).indices
        blocks.append(_scores(offered[nearest] == wanted[rows, None], matches[rows]))
    first_hit, r_precision, average_precision = map(torch.cat, zip(*blocks, strict=True))
    figures = {f"r@{k}": share_figure(int((first_hit <= k).sum()), len(kept)) for k in ks}
    figures |= {"r_precision": mean_figure(r_precision), "map@r": mean_figure(average_precision)}
    return Retrieval(figures=figures, dropped=len(queries) - len(kept))


def partners(
    queries: Tensor, bank: Tensor, *, ks: Sequence[int] = (1, 5, 10), seed: int = 0
) -> dict[str, Figure]:
    """How well each query finds its partner by cosine: row i of the bank is that of query i.

    `rank_i = 1 + #{j: s_ij > s_ii} + #{j != i: s_ij = s_ii} / 2`

    Chance is `k / n` for `r@k`, the share of ranks up to k, and `(n + 1) / 2` for the median rank.
    Intervals are Wilson's, that of the median from resampled queries.

    Args:
        queries: Embeddings `(n, dim)`.
        bank: Embeddings of the same items as something else sees them `(n, dim)`.
        ks: The ranks that `r@k` counts up to, each from 1 to n.
        seed: Of the resamples.

    Returns:
        `r@k` for each k, and `median_rank`.

    Raises:
        TwofoldError: If a shape or a k does not fit, or an embedding is not finite.

    Example:
        >>> items = torch.eye(4)
        >>> found = partners(items, items[[0, 1, 3, 2]], ks=(1,))
        >>> {name: figure["value"] for name, figure in found.items()}
        {'r@1': 0.5, 'median_rank': 2.0}
    """
    _check(queries, bank)
    if len(queries) != len(bank):
        raise TwofoldError(
            f"there are {len(queries)} queries and {len(bank)} items to find; each query has one "
            "partner, in the row of its own"
        )
    for k in ks:
        if not 1 <= k <= len(bank):
            raise TwofoldError(f"k is {k}; with {len(bank)} items to find it must be 1 to that")
    unit, unit_bank = F.normalize(queries.double()), F.normalize(bank.double())
    blocks = []
    for rows in torch.split(torch.arange(len(bank)), max(1, _SIMILARITIES // (2 * len(bank)))):
        similarity = unit[rows] @ unit_bank.T
        own = similarity.gather(1, rows[:, None].to(similarity.device))
        alike = (similarity == own).sum(dim=1) - 1
        blocks.append(1 + (similarity > own).sum(dim=1) + alike / 2)
    ranks = torch.cat(blocks).cpu().numpy()
    figures = {f"r@{k}": share_figure(int((ranks <= k).sum()), len(ranks)) for k in ks}
    median = bootstrap(lambda drawn: float(np.median(drawn)), ranks, seed=seed)
    return figures | {"median_rank": median}


def _scores(hits: Tensor, matches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place of the first hit, R-precision and average precision of each query, all `(m,)`.

    Args:
        hits: Whether the nearest, the second nearest, ... is of the query's class `(m, most)`.
        matches: How many items are, > 0: R `(m,)`.
    """
    place = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    # No hit at all is a hit after the last place.
    first = torch.where(hits, place, len(place) + 1).amin(dim=1)
    precision = hits.cumsum(dim=1) / place
    counted = hits & (place <= matches[:, None])
    average = (precision * counted).sum(dim=1, dtype=torch.float64) / matches
    return first, precision.gather(1, matches[:, None] - 1)[:, 0], average


def _check(queries: Tensor, bank: Tensor) -> None:
    fits = queries.ndim == bank.ndim == 2 and queries.shape[1] == bank.shape[1]
    if not (fits and len(queries) and len(bank)):
        raise TwofoldError(
            f"queries and bank have shapes {tuple(queries.shape)} and {tuple(bank.shape)}; "
            "they must be (m, dim) and (n, dim), neither empty"
        )
    if not (queries.isfinite().all() and bank.isfinite().all()):
        raise TwofoldError("a feature is NaN or infinite; leave out the rows that have one")
