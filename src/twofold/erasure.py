"""Blindness in closed form: what a linear probe could recover is projected out of embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from twofold.errors import TwofoldError

_RARE = 1e-3  # of the median variance: features that are the same for all but a few items
_RIDGE = 0.01  # of the mean variance
_CONSTANT = 1e-12  # variance beside squared mean: embeddings that have collapsed tell nothing
_NEGLIGIBLE = 1e-6  # of the strongest: targets that depend on others, as the last of all classes


class Eraser(nn.Module):
    """Removes from embeddings all that is linear in some targets, and as little else as can be.

    `r(x) = x - L R (x - mean)`. `fit_eraser` finds L and R.

    Args:
        dim: Dimension of the embeddings.
        rank: How many directions are removed.
    """

    mean: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("left", torch.zeros(dim, rank))
        self.register_buffer("right", torch.zeros(rank, dim))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings `(batch, dim)` without what was to be erased."""
        return embeddings - (embeddings - self.mean) @ self.right.T @ self.left.T


def fit_eraser(embeddings: Tensor, targets: Tensor) -> Eraser:
    """A small change of embeddings after which no linear probe recovers the targets.

    With A an orthonormal basis of the columns of `cov(x, z)` and `M = (cov(x) + ridge)^-1`,
    `r(x) = x - A (A' M A)^-1 A' M (x - mean)`. Afterwards `cov(r(x), z) = 0` on these items, which
    for class targets means that every class has the same mean: no linear classifier and no linear
    regression does better than a constant. Probes that are not linear may.

    Without the ridge, a hundredth of the mean variance, the change would be the smallest there is
    (LEACE) on these items, but it would follow directions in which they hardly vary, and erase
    little from others. Features that hardly ever vary are left as they are: what is taken off them
    would be a faint copy of what is erased, which a probe that standardises features could read.

    Args:
        embeddings: `(n, dim)`, n > dim.
        targets: What must not be recovered `(n, k)`: numbers, or a column of 0 and 1 per class.

    Raises:
        TwofoldError: If the shapes do not fit.

    Example:
        >>> told = torch.tensor([0.0, 0.0, 1.0, 1.0])
        >>> x = torch.stack([told, torch.tensor([1.0, 2.0, 1.0, 2.0])], dim=1)
        >>> fit_eraser(x, told[:, None])(x)[:, 0].std().item()
        0.0

    Reference: Belrose et al., 2023, arXiv:2306.03819.
    """
    if embeddings.ndim != 2 or targets.ndim != 2 or len(embeddings) != len(targets):
        raise TwofoldError(
            f"embeddings and targets have shapes {tuple(embeddings.shape)} and "
            f"{tuple(targets.shape)}; they must be (n, dim) and (n, k)"
        )
    if len(embeddings) <= embeddings.shape[1]:
        raise TwofoldError(
            f"{len(embeddings)} embeddings of {embeddings.shape[1]} dimensions do not determine "
            "what to erase; it takes more items than dimensions"
        )
    mean = embeddings.double().mean(dim=0)
    x, z = embeddings.double() - mean, targets.double() - targets.double().mean(dim=0)
    covariance = x.T @ x / len(x)
    if covariance.trace() <= _CONSTANT * mean.square().sum():
        return Eraser(x.shape[1], 0)
    variance = covariance.diagonal().clone()
    covariance.diagonal().add_(_RIDGE * variance.mean())
    told = x.T @ z / len(x)
    told[variance < _RARE * variance[variance > 0].median()] = 0
    _, strengths, mixtures = torch.linalg.svd(told, full_matrices=False)
    mixtures = mixtures[strengths > _NEGLIGIBLE * strengths.max()]
    # Not the left singular vectors: in features that are always zero, these are so exactly.
    basis = F.normalize(told @ mixtures.T, dim=0)
    weighted = torch.linalg.solve(covariance, basis).T
    eraser = Eraser(x.shape[1], basis.shape[1])
    eraser.mean.copy_(mean)
    eraser.left.copy_(basis @ torch.linalg.inv(weighted @ basis))
    eraser.right.copy_(weighted)
    return eraser
