"""Is the representation alive? A verdict in words, with the figures behind it, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from twofold.augment import Views

HEALTHY = "healthy"
COLLAPSED = "dimensional collapse"
CONSTANT = "constant"
SHORTCUT = "shortcut suspected"

CONSTANT_COSINE = 0.99
"""Mean cosine of two items above which the features count as constant.

It is a deviation per dimension below a tenth of `1/sqrt(dim)`. An untrained convolutional network
has about 0.86 on Fashion-MNIST, one trained with SimCLR 0.6."""
COLLAPSED_SHARE = 0.10
"""Share of the directions that could be used below which the features count as collapsed."""
COLLAPSED_RANK = 2.0
"""Effective rank below which they do whatever the share, if four directions could be used."""
SHORTCUT_SHARE = 0.25
"""Share of the directions below which views that agree too well are suspicious."""
SHORTCUT_DISTANCE = 0.05
"""Squared distance of two views of an item, as a share of that of two items, that is too good."""

_SAME = 1e-6  # variation relative to the features' size that float32 rounding alone can cause
EPOCH = 2**31
"""In which pairs are drawn: beyond those of any run."""
_SIMILARITIES = 2**23  # held at a time, in float64


@dataclass(frozen=True, kw_only=True)
class Health:
    """What features look like, in figures and in words."""

    std_ratio: float
    """Mean deviation per dimension of the L2-normalised features, times sqrt(dim): 1 if they are
    spread evenly over the sphere, 0 if all are the same."""
    rankme: float
    """Effective number of directions the centred features use; 0 if all are the same."""
    rank_fraction: float
    """`rankme` as a share of the most there could be, `min(n - 1, dim)`."""
    mean_cosine: float
    """Mean cosine of two different items."""
    uniformity: float
    """Log mean Gaussian potential of two items: 0 if all are the same, about -4 at best."""
    alignment: float | None
    """Mean squared distance of two views of an item on the sphere; None without views."""
    verdict: str
    """`healthy`, `dimensional collapse`, `constant` or `shortcut suspected`."""
    sentence: str
    """The verdict with the figures it rests on."""
    advice: str
    """What to change."""


def health(features: Tensor, *, pair: Tensor | None = None) -> Health:
    """Judge features by how they are spread, without labels.

    The first rule that holds decides:

    1. `constant`: nothing varies beyond rounding, or two items have a mean cosine above 0.99.
    2. `shortcut suspected`: fewer than a quarter of the directions are used although two views of
       an item are 20 times closer than two items (squared distances). An easy cue that survives
       the augmentation, such as a colour histogram, looks like this: it tells items apart, so the
       loss is near its floor, but it needs few directions. Only judged if `pair` is given. A cue
       that is different for every item (a watermark) needs many directions and is not seen.
    3. `dimensional collapse`: fewer than a tenth of the directions are used, or effectively fewer
       than two where at least four could be.
    4. `healthy`.

    The rank is taken of centred features, at most `n - 1` of which are independent: neither a
    large common mean nor few items can make it look better or worse than it is. Some thousand
    items, more than `dim`, give a steady figure.

    Args:
        features: Features of the items, one view each `(n, dim)`, n >= 2, on any device.
        pair: Features of another view of the same items `(n, dim)`, in the same order.

    Raises:
        TwofoldError: If there are fewer than 2 items, shapes differ or a value is not finite.

    Example:
        >>> spread = torch.randn(512, 16, generator=torch.Generator().manual_seed(0))
        >>> health(spread).verdict, health(torch.ones(512, 16)).verdict
        ('healthy', 'constant')
    """
    x = _double(features, least=2)
    n, dim = x.shape
    other = None if pair is None else _double(pair)
    if other is not None and other.shape != x.shape:
        raise TwofoldError(
            f"features and pair have shapes {tuple(x.shape)} and {tuple(other.shape)}; "
            "row i of both must be the same item"
        )
    unit = F.normalize(x)
    most = min(n - 1, dim)
    rank = rankme(x)
    # The squared length of the sum counts every pair of items, and each item with itself.
    mean_cosine = float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))
    agreement = None if other is None else alignment(x, other)
    verdict = _verdict(rank, most, mean_cosine, agreement)
    return Health(
        std_ratio=float(unit.std(dim=0).mean()) * dim**0.5,
        rankme=rank,
        rank_fraction=rank / most,
        mean_cosine=mean_cosine,
        uniformity=uniformity(x),
        alignment=agreement,
        verdict=verdict,
        sentence=_sentence(verdict, rank, most, mean_cosine, agreement),
        advice=_ADVICE[verdict],
    )


def two_views(views: Views, images: Tensor, index: np.ndarray) -> tuple[Tensor, Tensor]:
    """Two views of each item, drawn as in no epoch of a training.

    Args:
        views: Makes the views; where it makes but one, the second is drawn anew.
        images: Items in [0, 1] `(n, channels, height, width)`, or those of each view, as `Views`
            takes them.
        index: Number of each `(n,)`, from which its draws follow; or `(n, views)`.

    Returns:
        The first and the second view `(n, channels, size, size)`.

    Example:
        >>> from twofold.augment import IMAGE, Views
        >>> views = Views(IMAGE, {"flip": "invariant"}, channels=1, size=8)
        >>> first, second = two_views(views, torch.rand(3, 1, 8, 8), np.arange(3))
        >>> first.shape == second.shape
        True
    """
    pair = views(images, index, EPOCH)[0][: views.num_views]
    if len(pair) < 2:
        pair += views(images, index, EPOCH + 1)[0][:1]
    return pair[0], pair[1]


def rankme(features: Tensor, *, centred: bool = True) -> float:
    """Effective number of directions that features use: the entropy of the singular values.

    `exp(-sum_k p_k ln p_k)`, `p_k = s_k / sum_j s_j`

    Args:
        features: Features `(n, dim)`.
        centred: Whether to subtract the mean first. It leaves at most `n - 1` directions, but a
            mean far from 0 no longer hides the others. False gives the published figure, which
            adds 1e-7 to each `p_k` to avoid `ln 0` where this takes `0 ln 0 = 0`.

    Returns:
        0 if nothing varies beyond rounding, otherwise in `[1, min(n, dim)]`.

    Example:
        >>> round(rankme(torch.diag(torch.tensor([2.0, 1.0, 1.0])), centred=False), 4)
        2.8284

    Reference: Garrido et al., 2023, arXiv:2210.02885; Roy and Vetterli, 2007
    """
    x = _double(features)
    size = x.norm()
    x = x - x.mean(dim=0) if centred else x
    if x.norm() <= _SAME * size:
        return 0.0
    gram = x.T @ x if len(x) > x.shape[1] else x @ x.T  # the smaller; both have the same spectrum
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


def alignment(first: Tensor, second: Tensor) -> float:
    """Mean squared distance of paired features on the unit sphere: 0 if equal, 4 if opposite.

    `E ‖u - u'‖²`

    Args:
        first: Features of one view `(n, dim)`.
        second: Features of another view of the same items `(n, dim)`.

    Example:
        >>> alignment(torch.eye(2), torch.eye(2).flip(0))
        2.0

    Reference: Wang and Isola, 2020, arXiv:2005.10242
    """
    difference = F.normalize(_double(first)) - F.normalize(_double(second))
    return float(difference.square().sum(dim=1).mean())


def uniformity(features: Tensor) -> float:
    """How evenly features cover the unit sphere: 0 if all are the same, lower is more even.

    `log E_{i != j} exp(-2 ‖u_i - u_j‖²)`

    Args:
        features: Features `(n, dim)`, n >= 2.

    Example:
        >>> round(uniformity(torch.eye(5)), 6)
        -4.0

    Reference: Wang and Isola, 2020, arXiv:2005.10242
    """
    unit = F.normalize(_double(features, least=2))
    n = len(unit)
    length = unit.square().sum(dim=1)  # 1, or 0 for a zero vector
    total = 0.0
    rows = max(1, _SIMILARITIES // n)
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        squared = (length[block, None] + length - 2 * unit[block] @ unit.T).clamp_(min=0)
        total += float(squared.mul_(-2).exp_().sum())
    return float(torch.tensor((total - n) / (n * (n - 1)), dtype=torch.float64).log())


def _verdict(rank: float, most: int, mean_cosine: float, agreement: float | None) -> str:
    if rank == 0 or mean_cosine > CONSTANT_COSINE:
        return CONSTANT
    if agreement is not None and rank < SHORTCUT_SHARE * most:
        between_items = 2 - 2 * mean_cosine
        if agreement < SHORTCUT_DISTANCE * between_items:
            return SHORTCUT
    if rank < COLLAPSED_SHARE * most or (rank < COLLAPSED_RANK and most >= 4):
        return COLLAPSED
    return HEALTHY


def _sentence(
    verdict: str, rank: float, most: int, mean_cosine: float, agreement: float | None
) -> str:
    used = f"the features use about {rank:.1f} of {most} directions"
    if rank == 0:
        return "Constant: the encoder says the same about every item."
    if verdict == CONSTANT:
        return (
            "Constant: the encoder says nearly the same about every item "
            f"(two items have a mean cosine of {mean_cosine:.4f})."
        )
    if verdict == SHORTCUT:
        return (
            f"Shortcut suspected: {used}, yet two views of an item agree almost perfectly "
            f"(squared distance {agreement:.3f}, of two items {2 - 2 * mean_cosine:.3f})."
        )
    if verdict == COLLAPSED:
        return f"Dimensional collapse: {used}; the others carry nothing."
    return f"Healthy: {used} and two items have a mean cosine of {mean_cosine:.2f}."


_ADVICE = {
    HEALTHY: "Nothing to change.",
    CONSTANT: (
        "Lower the learning rate or warm it up for longer, keep BatchNorm in the projector, and "
        "look at the views (twofold preview): they must not all look alike."
    ),
    SHORTCUT: (
        "Look at the views (twofold preview) for what two views of an item share and other items "
        "lack, such as colour, border or watermark, and prescribe an augmentation that removes "
        "it, or a stronger crop."
    ),
    COLLAPSED: (
        "Train for longer, with a larger batch or a wider projector, or a lower learning rate; "
        "weaken the augmentation if the views no longer show what is in the item."
    ),
}


def _double(features: Tensor, *, least: int = 1) -> Tensor:
    """Float64 on the CPU: the spectrum needs it, and not every device has it."""
    x = features.detach().cpu().double()
    if x.ndim != 2 or not x.isfinite().all():
        raise TwofoldError(
            f"features of shape {tuple(x.shape)} are not finite numbers (n, dim); "
            "if they hold NaN the encoder has diverged: lower the learning rate"
        )
    if len(x) < least:
        raise TwofoldError(f"there are {len(x)} items to compare; give at least {least}")
    return x
