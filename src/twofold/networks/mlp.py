"""The multi-layer perceptron that every head is made of, and the width it starts from."""

from __future__ import annotations

from typing import Literal

from torch import nn

from twofold.errors import TwofoldError


def num_features(encoder: nn.Module) -> int:
    """How many features an encoder returns for an item: its attribute `num_features`.

    Raises:
        TwofoldError: If the encoder does not say.

    Example:
        >>> from twofold.networks import ResNet
        >>> num_features(ResNet((1, 1), width=8))
        16
    """
    number = getattr(encoder, "num_features", None)
    if not isinstance(number, int):
        raise TwofoldError(
            f"the encoder {type(encoder).__name__} has no attribute num_features; set it to the "
            "number of features its forward returns"
        )
    return number


def mlp(
    width: int,
    *widths: int,
    norm: bool = False,
    last: Literal["affine", "linear", "scaled", "standard"] = "affine",
) -> nn.Sequential:
    """Linear layers from `width` through `widths`, a ReLU after each but the last.

    Args:
        width: Features read.
        *widths: Outputs of each layer; the last is the embedding's dimension.
        norm: Whether BatchNorm precedes each ReLU.
        last: The last layer is `affine`, `linear` (no offset: Barlow Twins, VICReg), or ends with
            BatchNorm that learns a scale alone (`scaled`: SimCLR) or nothing (`standard`: SimSiam).

    Returns:
        A network from `(batch, width)` to `(batch, widths[-1])`.

    Example:
        >>> import torch
        >>> mlp(8, 16, 4)(torch.zeros(2, 8)).shape
        torch.Size([2, 4])
    """
    layers: list[nn.Module] = []
    for wide in widths[:-1]:
        layers.append(nn.Linear(width, wide, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm1d(wide))
        layers.append(nn.ReLU(inplace=True))
        width = wide
    layers.append(nn.Linear(width, widths[-1], bias=last == "affine"))
    if last in {"scaled", "standard"}:
        layers.append(nn.BatchNorm1d(widths[-1], affine=last == "scaled"))
    if last == "scaled":
        layers[-1].bias.requires_grad_(False)  # at zero
    return nn.Sequential(*layers)
