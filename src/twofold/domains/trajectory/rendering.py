"""The renderer of states: each augmentation changes those that it was drawn for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws, part_of
from twofold.errors import TwofoldError


@torch.no_grad()
def render(
    augmentations: Mapping[str, Augmentation],
    states: Tensor,
    draws: Draws,
    *,
    size: int = 1,
    views: int = 1,
) -> Tensor:
    """The views that `draws` describe: the first of every state, the second of every state...

    Args:
        augmentations: Settings by name, in the order applied.
        states: float32 on the scale of the views, `(n, dim, 1, 1)`, on any device.
        draws: For the same samples over and over, `(views * n,)`.
        size: 1, as a state has neither height nor width.
        views: How many views of each state the draws describe.

    Returns:
        float32, `(views * n, dim, 1, 1)`.

    Raises:
        TwofoldError: If views of another size are asked for.

    Example:
        >>> from twofold.domains.trajectory.augmentations import TRAJECTORY
        >>> drawn = {"reverse": {"applied": np.array([True, False])}}
        >>> states = torch.tensor([[1.0, 2.0]]).reshape(1, 2, 1, 1)
        >>> some = {"reverse": TRAJECTORY["reverse"]}
        >>> render(some, states, drawn, views=2).flatten(1).tolist()
        [[1.0, -2.0], [1.0, 2.0]]
    """
    if size != 1:
        raise TwofoldError(f"the views' size is {size}, and states have none; leave view_size out")
    rendered = states.repeat(views, 1, 1, 1)
    for name, augmentation in augmentations.items():
        rows = np.flatnonzero(draws[name]["applied"])
        values = part_of({name: draws[name]}, rows)[name]
        index = torch.from_numpy(rows).to(states.device)
        rendered[index] = augmentation.render(rendered[index], values)
    return rendered
