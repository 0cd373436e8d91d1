"""The multi-layer perceptron that every head is made of, and the width it starts from."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

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
    norm: bool | Literal["layer"] = False,
    last: Literal["affine", "linear", "scaled", "standard", "readout"] = "affine",
) -> nn.Sequential:
    """Linear layers from `width` through `widths`, a ReLU after each but the last.

    Args:
        width: Features read.
        *widths: Outputs of each layer; the last is the embedding's dimension.
        norm: Whether BatchNorm precedes each ReLU; `layer` for LayerNorm in its place.
        last: The last layer is `affine`, `linear` (no offset: Barlow Twins, VICReg), or ends with
            BatchNorm that learns a scale alone (`scaled`: SimCLR) or nothing (`standard`: SimSiam);
            or it is a `readout` of numbers that are regressed.

    Returns:
        A network from `(batch, width)` to `(batch, widths[-1])`.

    Example:
        >>> import torch
        >>> mlp(8, 16, 4)(torch.zeros(2, 8)).shape
        torch.Size([2, 4])
    """
    layers: list[nn.Module] = []
    for wide in widths[:-1]:
        layers.append(nn.Linear(width, wide, bias=norm is not True))
        if norm:
            layers.append(nn.LayerNorm(wide) if norm == "layer" else nn.BatchNorm1d(wide))
        layers.append(nn.ReLU(inplace=True))
        width = wide
    if last == "readout":
        return nn.Sequential(*layers, Readout(width, widths[-1]))
    layers.append(nn.Linear(width, widths[-1], bias=last == "affine"))
    if last in {"scaled", "standard"}:
        layers.append(nn.BatchNorm1d(widths[-1], affine=last == "scaled"))
    if last == "scaled":
        layers[-1].bias.requires_grad_(False)  # at zero
    return nn.Sequential(*layers)


class Readout(nn.Linear):
    """A linear layer that reads its inputs divided by the square root of their number.

    So a step of gradient descent moves the outputs by much the same whatever the width, and a
    squared error does not diverge at learning rates that suit a contrast.

    Example:
        >>> import torch
        >>> Readout(16, 2)(torch.zeros(3, 16)).shape
        torch.Size([3, 2])
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """`(batch, in_features)` to `(batch, out_features)`."""
        return super().forward(inputs / math.sqrt(self.in_features))


def mlp_arguments(head: nn.Module) -> dict[str, Any] | None:
    """What `mlp` has to be told to build a head of that shape again; None for other heads.

    Example:
        >>> mlp_arguments(mlp(8, 16, 4, norm=True, last="linear"))
        {'widths': [8, 16, 4], 'norm': True, 'last': 'linear'}
    """
    if not isinstance(head, nn.Sequential) or not isinstance(head[0], nn.Linear):
        return None
    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    end: nn.Module = head[-1]
    if isinstance(end, nn.BatchNorm1d):
        last = "scaled" if end.affine else "standard"
    elif isinstance(end, Readout):
        last = "readout"
    else:
        last = "affine" if linear[-1].bias is not None else "linear"
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    between: nn.Module | None = head[1] if len(linear) > 1 else None
    norm = "layer" if isinstance(between, nn.LayerNorm) else isinstance(between, nn.BatchNorm1d)
    return {"widths": widths, "norm": norm, "last": last}


def mlp_stages(head: nn.Sequential) -> list[nn.Sequential]:
    """The layers of a head, each with the normalisation and the ReLU that follow it.

    Example:
        >>> [len(stage) for stage in mlp_stages(mlp(8, 16, 4, norm=True))]
        [3, 1]
    """
    starts = [at for at, layer in enumerate(head) if isinstance(layer, nn.Linear)]
    return [head[start:stop] for start, stop in pairwise([*starts, len(head)])]
