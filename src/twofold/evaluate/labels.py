"""Class labels as the probes take them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from twofold.errors import TwofoldError


def class_labels(labels: np.ndarray | Tensor, count: int, device: torch.device) -> Tensor:
    """Labels as an int64 tensor `(count,)` on `device`.

    Args:
        labels: Class of each item, whole numbers from 0.
        count: How many items there are.
        device: Where the items' features are.

    Raises:
        TwofoldError: If there is not one label for each item, or one is no class number.

    Example:
        >>> class_labels(np.array([2, 0, 1]), 3, torch.device("cpu"))
        tensor([2, 0, 1])
    """
    found = labels if isinstance(labels, Tensor) else torch.tensor(labels)
    if found.shape != (count,):
        raise TwofoldError(
            f"labels have shape {tuple(found.shape)}; {count} items need ({count},), one each"
        )
    if found.is_floating_point() or found.is_complex():
        raise TwofoldError(f"labels are {found.dtype}; they must be whole class numbers from 0")
    if count and found.min() < 0:
        raise TwofoldError(
            f"the smallest label is {found.min()}; classes count from 0, "
            "so leave out items without a class"
        )
    return found.to(device=device, dtype=torch.int64)
