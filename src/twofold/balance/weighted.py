"""A sum with fixed factors: the baseline that every other balancer has to beat."""

from __future__ import annotations

from twofold.balance.balancer import Balancer


class Weighted(Balancer):
    """The sum of the losses, each times a fixed weight: `total = sum_i f_i L_i`.

    Example:
        >>> import torch
        >>> losses = {"contrast": torch.tensor(2.0), "predict": torch.tensor(3.0)}
        >>> losses = {name: loss.requires_grad_() for name, loss in losses.items()}
        >>> Weighted(list(losses), weights={"predict": 0.5}).backward(losses).item()
        3.5
        >>> losses["predict"].grad.item()
        0.5
    """
