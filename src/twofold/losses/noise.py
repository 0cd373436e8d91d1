"""Telling an item from noise, one yes or no at a time."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses.embeddings import full_precision


def nce(positive: Tensor, noise: Tensor, *, items: int, normaliser: float | Tensor) -> Tensor:
    """Tells each item's own score from those of m items drawn at random.

    A score is `<v, f> / temperature` of L2-normalised embeddings, its probability
    `P = exp(score) / normaliser`, against noise that is uniform over all items, `1 / items`:

    `loss = mean [-log h(positive) - sum_m log(1 - h(noise))]`, `h = P / (P + m / items)`

    Computed from logarithms alone, in float32 whatever the autocast (float64 scores stay float64).

    Args:
        positive: Score of each item's own entry `(batch,)`.
        noise: Scores of entries drawn uniformly, with replacement `(batch, m)`, m >= 1.
        items: Number of items that the noise is drawn from; >= 1.
        normaliser: What makes `exp(score)` a probability; positive, finite, a constant: it
            receives no gradient. `nce_normaliser` estimates it from the first batch.

    Returns:
        A scalar >= 0; `(1 + m) log 2` where every P is m / items.

    Raises:
        TwofoldError: If shapes do not fit, there is no noise, items < 1, or the normaliser is not
            one positive finite number.

    Example:
        >>> import torch
        >>> nothing = torch.zeros(2, 5, dtype=torch.float64)
        >>> round(nce(nothing[:, 0], nothing[:, 1:], items=8, normaliser=2.0).item(), 10)
        3.4657359028

    Reference: Gutmann and Hyvärinen, 2010; Wu et al., 2018, arXiv:1805.01978.
    """
    _check(positive, noise, items)
    log_normaliser = _log_normaliser(normaliser)
    positive, noise = full_precision(positive, noise)
    # h = sigmoid(log P - log(m / items)).
    offset = log_normaliser + math.log(noise.shape[1] / items)
    return (F.softplus(offset - positive) + F.softplus(noise - offset).sum(dim=1)).mean()


def nce_normaliser(scores: Tensor, *, items: int) -> Tensor:
    """The constant that makes `exp(score)` a probability over `items`, estimated from `scores`.

    `normaliser = items * mean exp(scores)`

    To be estimated from the first batch and kept: what `nce` learns is relative to it.

    Args:
        scores: Scores of entries drawn uniformly from the items, any shape.
        items: Number of items; >= 1.

    Returns:
        A scalar > 0, without gradient, in float32 (float64 if the scores are).

    Raises:
        TwofoldError: If there are no scores or items < 1.

    Example:
        >>> import torch
        >>> nce_normaliser(torch.zeros(2, 4), items=100).item()
        100.0

    Reference: Wu et al., 2018, arXiv:1805.01978.
    """
    _check_items(items)
    if not scores.numel():
        raise TwofoldError("scores is empty; the normaliser is estimated from one score or more")
    (scores,) = full_precision(scores.detach())
    return items * scores.exp().mean()


def _log_normaliser(normaliser: float | Tensor) -> float:
    if isinstance(normaliser, Tensor):
        if normaliser.numel() != 1:
            raise TwofoldError(f"normaliser has {normaliser.numel()} numbers; it must be one")
        normaliser = normaliser.item()
    if not 0 < normaliser < math.inf:
        raise TwofoldError(
            f"normaliser is {normaliser}; it must be positive and finite (scores of a very low "
            "temperature overflow)"
        )
    return math.log(normaliser)


def _check(positive: Tensor, noise: Tensor, items: int) -> None:
    if positive.ndim != 1 or noise.ndim != 2 or len(positive) != len(noise) or not len(positive):
        raise TwofoldError(
            "positive and noise must be scores of shapes (batch,) and (batch, m); they have "
            f"{tuple(positive.shape)} and {tuple(noise.shape)}"
        )
    if not noise.shape[1]:
        raise TwofoldError("nce needs noise, found m = 0; use info_nce against all items")
    _check_items(items)


def _check_items(items: int) -> None:
    if items < 1:
        raise TwofoldError(f"items is {items}; it must be at least 1")
