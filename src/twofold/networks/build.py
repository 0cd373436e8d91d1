"""Encoders by name, for any number of channels."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from twofold.errors import TwofoldError, nearest
from twofold.networks.mlp import num_features
from twofold.networks.names import check_encoder
from twofold.networks.perceptron import Perceptron
from twofold.networks.resnet import ResNet, Stem, total_stride
from twofold.networks.resnet15 import ResNet15

_LOW_RESOLUTION = 64  # up to this many pixels a 7x7 stride-2 stem and pooling discard too much
_TINY = 16  # below this many pixels every stride counts

_RESNETS: dict[str, dict[str, Any]] = {
    "resnet-small": {"depths": (1, 1, 1, 1), "width": 32, "convs": 1},
    "resnet18": {"depths": (2, 2, 2, 2), "width": 64},
    "resnet34": {"depths": (3, 4, 6, 3), "width": 64},
    "resnet50": {"depths": (3, 4, 6, 3), "width": 64, "convs": 3},
    "resnet-small-1d": {"depths": (1, 1, 1, 1), "width": 32, "convs": 1, "dims": 1},
    "resnet18-1d": {"depths": (2, 2, 2, 2), "width": 64, "dims": 1},
    "resnet15": {"width": 16},
}


def build_encoder(
    name: str,
    *,
    channels: int = 3,
    image_size: int = 32,
    rows: int | None = None,
    width: float = 1.0,
    stem: Stem | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """The bare network of that name: images in, features `(batch, num_features)` out.

    Args:
        name: A key of `ENCODERS`, `timm/NAME` or `torchvision/NAME`.
        channels: Channels of the images, >= 1.
        image_size: Width in pixels, or samples of a waveform; chooses the stem, and the position
            embedding of transformers.
        rows: Height in pixels; `image_size` if None.
        width: Factor on the channels of our own networks, > 0.
        stem: Overrides the choice for our own ResNets: `low-resolution` up to 64 px and
            `imagenet` above, but `strided` for `resnet-small` from 16 to 64 px and for `resnet15`
            above 64 px. The shorter side counts; along one dimension, so many values squared.
        pretrained: Whether to fetch the weights that timm or torchvision publish.

    Raises:
        TwofoldError: If the name is unknown, or an option does not apply to it.

    Example:
        >>> encoder = build_encoder("resnet-small", channels=1, image_size=28)
        >>> encoder(torch.zeros(2, 1, 28, 28)).shape == (2, encoder.num_features)
        True
        >>> encoder = build_encoder("resnet-small-1d", channels=1, rows=1, image_size=16_000)
        >>> encoder(torch.zeros(2, 1, 1, 16_000)).shape == (2, encoder.num_features)
        True
    """
    check_encoder(name)
    rows = image_size if rows is None else rows
    if min(channels, rows, image_size) < 1 or not width > 0:
        raise TwofoldError(
            f"channels, rows, image_size and width must be positive; they are {channels}, {rows}, "
            f"{image_size} and {width}"
        )
    if name in _RESNETS:
        if pretrained:
            raise TwofoldError(
                f"{name} has no published weights; choose timm/NAME or torchvision/NAME"
            )
        shape = _RESNETS[name] | {"width": max(1, round(_RESNETS[name]["width"] * width))}
        folded = shape.get("dims") == 1
        side = isqrt(image_size) if folded else min(rows, image_size)
        stem = stem or _default_stem(name, side)
        if name == "resnet15":
            return ResNet15(**shape, channels=channels, stem=stem)
        single_place = side <= total_stride(stem, len(shape["depths"]))
        return ResNet(
            **shape,
            channels=channels * rows if folded else channels,
            stem=stem,
            zero_init_residual=not single_place,
        )
    if name == "mlp":
        if pretrained:
            raise TwofoldError("mlp has no published weights; leave pretrained out")
        if stem is not None:
            raise TwofoldError(f"stem is {stem!r}, but mlp has none; say stem None")
        return Perceptron(inputs=channels * rows * image_size, width=max(1, round(64 * width)))
    if width != 1.0 or stem is not None:
        raise TwofoldError(
            f"width is {width:g} and stem {stem!r}, but only twofold's own ResNets have these; for "
            f"{name} say width 1 and stem None"
        )
    library, _, model = name.partition("/")
    build = _timm if library == "timm" else _Torchvision
    try:
        return build(model, channels, (rows, image_size), pretrained)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:200]
        raise TwofoldError(f"the weights of {name} could not be fetched: {reason}") from None


def check_reads(encoder: nn.Module, shape: tuple[int, int, int]) -> None:
    """Refuses an encoder that cannot read `(channels, height, width)` or returns no features.

    Raises:
        TwofoldError: With the reason, before any training.

    Example:
        >>> check_reads(build_encoder("resnet-small", channels=1), (1, 14, 14))
    """
    trained = encoder.training
    first = next(encoder.parameters(), torch.empty(0))
    example = first.new_zeros((2, *shape), dtype=torch.float32)
    try:
        with torch.no_grad():
            features = encoder.eval()(example)
    except Exception as error:  # whatever a network of the user's own may raise
        reason = " ".join(str(error).split())
        raise TwofoldError(
            f"the encoder cannot read images of shape {(2, *shape)}: {reason}; "
            "encoders that read one size alone need --early-resolution 1 and its --view-size"
        ) from None
    finally:
        encoder.train(trained)
    expected = (2, num_features(encoder))
    if not isinstance(features, Tensor) or tuple(features.shape) != expected:
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise TwofoldError(
            f"the encoder returns {found} for 2 images; it must return features of shape {expected}"
        )


def _default_stem(name: str, side: int) -> Stem:
    if name.startswith("resnet-small") and _TINY <= side <= _LOW_RESOLUTION:
        return "strided"
    if side <= _LOW_RESOLUTION:
        return "low-resolution"
    return "strided" if name == "resnet15" else "imagenet"


def _timm(model: str, channels: int, size: tuple[int, int], pretrained: bool) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise TwofoldError(
            f"encoder timm/{model} needs timm, which is not installed; pip install twofold[timm]"
        ) from None
    if not timm.is_model(model):
        guess = nearest(model, timm.list_models())
        hint = f"the nearest is {guess!r}" if guess else "timm.list_models() lists all"
        raise TwofoldError(f"timm has no model {model!r}; {hint}")
    options: dict[str, Any] = {"num_classes": 0, "in_chans": channels, "pretrained": pretrained}
    try:
        network: nn.Module = timm.create_model(model, **options, img_size=size)
    except TypeError:  # convolutional models take any size and know no such option
        network = timm.create_model(model, **options)
    return network


class _Torchvision(nn.Module):
    """A torchvision classifier without its last layer."""

    def __init__(self, model: str, channels: int, size: tuple[int, int], pretrained: bool) -> None:
        super().__init__()
        from torchvision import models

        if model not in models.list_models(module=models):
            guess = nearest(model, models.list_models(module=models))
            raise TwofoldError(f"torchvision has no classifier {model!r}; nearest is {guess!r}")
        options = {"image_size": size[1]} if model.startswith("vit_") else {}
        self.network: nn.Module = models.get_model(
            model, weights="DEFAULT" if pretrained else None, **options
        )
        linear = [pair for pair in self.network.named_modules() if isinstance(pair[1], nn.Linear)]
        if not linear:
            raise TwofoldError(f"torchvision/{model} ends in no linear layer that could be removed")
        name, last = linear[-1]
        self.num_features = int(last.in_features)
        self.network.set_submodule(name, nn.Identity())
        if channels != 3:
            name, first = next(
                (name, module)
                for name, module in self.network.named_modules()
                if isinstance(module, nn.Conv2d)
            )
            self.network.set_submodule(name, _with_channels(first, channels))

    def forward(self, images: Tensor) -> Tensor:
        """Features `(batch, num_features)`."""
        features = self.network(images)
        return features if isinstance(features, Tensor) else features.logits  # inception, googlenet


def _with_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
