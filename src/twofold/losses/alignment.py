"""Losses that make a prediction point where its target points, without negatives."""

from __future__ import annotations

from torch import Tensor

from twofold.errors import TwofoldError
from twofold.losses.embeddings import check_cosine, check_pair, unit_rows


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Turns each prediction towards its target, which stands still.

    `loss = -mean_i <p_i, t_i> / (|p_i| |t_i|)`

    No gradient reaches the target. SimSiam is the mean over both directions. Computed in float32
    whatever the autocast (float64 inputs stay float64).

    Args:
        prediction: From the predictor `(batch, dim)`, dim >= 2.
        target: What it predicts, an embedding of the other view `(batch, dim)`.

    Returns:
        A scalar in [-1, 1]; 0 if directions are unrelated.

    Raises:
        TwofoldError: If the shapes differ or dim is 1.

    Example:
        >>> import torch
        >>> items = torch.eye(4)
        >>> negative_cosine(items, 2 * items).item()
        -1.0

    Reference: Chen and He, 2020, arXiv:2011.10566, equation 1.
    """
    check_pair(prediction=prediction, target=target)
    check_cosine("negative_cosine", prediction)
    first, second = unit_rows(prediction, target.detach())
    return -(first * second).sum(dim=1).mean()


def byol(predictions: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> Tensor:
    """Predicts the slow network's embedding of each view from the other view.

    `loss = mean_b sum_v [2 - 2 cos(prediction of the target from view v, target of view 1 - v)]`

    the sum over both directions. No gradient reaches the targets. Computed in float32 whatever the
    autocast (float64 inputs stay float64).

    Args:
        predictions: From the first and from the second view, `(batch, dim)` each, dim >= 2;
            `predictions[0]` is held against `targets[1]` and `predictions[1]` against
            `targets[0]`.
        targets: The target network's embeddings of the first and of the second view.

    Returns:
        A scalar in [0, 8]: 0 if directions are equal, 4 if orthogonal, 8 if opposite.

    Raises:
        TwofoldError: If there are not two of each, the shapes differ or dim is 1.

    Example:
        >>> import torch
        >>> items = torch.eye(4)
        >>> byol((items, items), (-items, -items)).item()
        8.0

    Reference: Grill et al., 2020, arXiv:2006.07733, equation 2.
    """
    if len(predictions) != 2 or len(targets) != 2:
        raise TwofoldError(
            "byol needs the predictions and targets of two views; found "
            f"{len(predictions)} and {len(targets)}"
        )
    forth = negative_cosine(predictions[0], targets[1])
    back = negative_cosine(predictions[1], targets[0])
    return 4 + 2 * (forth + back)
