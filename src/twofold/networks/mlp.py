"""The multi-layer perceptron that every head is made of, and the width it starts from."""

from __future__ import annotations

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


def mlp(width: int, *widths: int, norm: bool = False, norm_last: bool = False) -> nn.Sequential:
    """Linear layers from `width` through `widths`, a ReLU after each but the last.

    Args:
        width: Features read.
        *widths: Outputs of each layer; the last is the embedding's dimension.
        norm: Whether BatchNorm precedes each ReLU.
        norm_last: Whether the last layer ends with BatchNorm without a learned offset, as in
            SimCLR's published head.

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
    layers.append(nn.Linear(width, widths[-1], bias=not norm_last))
    if norm_last:
        last = nn.BatchNorm1d(widths[-1])
        nn.init.zeros_(last.bias)
        last.bias.requires_grad_(False)
        layers.append(last)
    return nn.Sequential(*layers)
