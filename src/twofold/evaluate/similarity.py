"""How alike the embeddings of an item stay when the item is changed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate.intervals import Figure, accuracy, mean_figure
from twofold.evaluate.knn import neighbours

# Of the mean eigenvalue. Directions in which features hardly vary would otherwise be blown up to
# full weight, and with dim > n there is no inverse at all; what varies as most do barely feels it.
_RIDGE = 1e-3


class Similarity(Figure):
    """Mean similarity of items and their changed selves, beside what it has to be read against."""

    random: float
    """The same between different items: what features that know nothing of the item have."""
    nearest: Figure
    """Share of changed items whose nearest item is their own unchanged self."""


def similarity(clean: Tensor, changed: Tensor, reference: Tensor) -> Similarity:
    """How alike features stay under a change of their items.

    `mean_i cos(w(clean_i), w(changed_i))` with `w` the whitening by the reference, so that no
    direction counts for more because features vary more along it. Near 1 the features ignore the
    change; at `random` it might as well have been another item. The interval is `± 1.96 sd/√n`
    over items.

    Args:
        clean: Features of the items as they are `(n, dim)`, n >= 2.
        changed: Features of the same items after the change `(n, dim)`.
        reference: Features whose mean and covariance set the scale `(m, dim)`, m >= 2, such as
            those of the training items.

    Returns:
        The mean similarity with its 95 % interval, that between different items (all pairs), and
        how many of the changed are still nearest to themselves.

    Raises:
        TwofoldError: If the shapes do not agree or the reference does not vary.

    Example:
        >>> clean = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        >>> found = similarity(clean, 3 * clean - 2 * clean.mean(0), clean)
        >>> round(found["value"], 4), found["nearest"]["value"], abs(found["random"]) < 0.01
        (1.0, 1.0, True)

    Reference: Ericsson et al., 2021, arXiv:2111.11398
    """
    if clean.ndim != 2 or clean.shape != changed.shape or len(clean) < 2:
        raise TwofoldError(
            f"clean and changed have shapes {tuple(clean.shape)} and {tuple(changed.shape)}; "
            "they must both be (n, dim) with n >= 2"
        )
    n = len(clean)
    both = F.normalize(whiten(torch.cat([clean, changed]), reference))
    first, second = both[:n], both[n:]
    own = (first * second).sum(dim=1)
    others = float(first.sum(dim=0) @ second.sum(dim=0) - own.sum()) / (n * (n - 1))
    index = neighbours(first, second, k=1)[1][:, 0]
    nearest = accuracy(index, torch.arange(n, device=index.device))
    return {**mean_figure(own), "random": others, "nearest": nearest}


def whiten(features: Tensor, reference: Tensor) -> Tensor:
    """Features in coordinates in which the reference has mean 0 and covariance 1.

    `w = L⁻¹ (f - mean)` with `L Lᵀ = covariance + ridge`, so that `‖w‖²` is the squared
    Mahalanobis distance to the mean. The ridge is 0.001 of the mean eigenvalue.

    Args:
        features: Features to whiten `(n, dim)`.
        reference: Features that set the scale `(m, dim)`, m >= 2; fewer than `dim` will do.

    Returns:
        Whitened features `(n, dim)`, float64.

    Raises:
        TwofoldError: If the shapes do not agree or the reference does not vary.

    Example:
        >>> features = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 2.0], [10.0, 2.0]])
        >>> whiten(features, features).abs().round(decimals=2)[0].tolist()
        [0.87, 0.86]
    """
    if features.ndim != 2 or reference.ndim != 2 or features.shape[1] != reference.shape[1]:
        raise TwofoldError(
            f"features and reference have shapes {tuple(features.shape)} and "
            f"{tuple(reference.shape)}; they must be (n, dim) and (m, dim)"
        )
    mean = reference.double().mean(dim=0)
    centred = reference.double() - mean
    covariance = centred.T @ centred / (len(reference) - 1)
    level = covariance.diagonal().mean()
    if len(reference) < 2 or level <= 1e-12 * mean.square().mean():
        raise TwofoldError(
            f"the {len(reference)} reference features do not vary; "
            "their encoder has collapsed, or they are all of one item"
        )
    covariance.diagonal().add_(_RIDGE * level)
    root = torch.linalg.cholesky(covariance)
    centred = features.double() - mean
    whitened: Tensor = torch.linalg.solve_triangular(root, centred.T, upper=False)
    return whitened.T
