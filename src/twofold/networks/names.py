"""The encoders that go by a name; known before torch is imported."""

from __future__ import annotations

from typing import Literal

from twofold.errors import TwofoldError, unknown

ENCODERS = {
    "resnet-small": "residual net for CPUs: 4 blocks of one convolution, 256 features",
    "resnet18": "ResNet-18, 512 features",
    "resnet34": "ResNet-34, 512 features",
    "resnet50": "ResNet-50, 2048 features",
    "resnet-small-1d": "resnet-small along the width alone, for waveforms, 256 features",
    "resnet18-1d": "ResNet-18 along the width alone, for waveforms, 512 features",
    "resnet15": "small net without normalisation for jet images, 32 features",
    "mlp": "four layers with BatchNorm for items that are a few numbers, 64 features",
    "timm/NAME": "any timm model, its classifier removed, e.g. timm/vit_tiny_patch16_224",
    "torchvision/NAME": "any torchvision classifier, its last layer removed",
}

BatchNorm = Literal["frozen", "group", "two-pass"]
"""By which statistics BatchNorm divides where a batch passes an encoder in parts."""


def check_encoder(name: str) -> None:
    """Refuses a name that no encoder goes by.

    Raises:
        TwofoldError: If `name` is neither in `ENCODERS` nor of the form `timm/...` or
            `torchvision/...`.

    Example:
        >>> check_encoder("resnet18")
        >>> check_encoder("timm/vit_tiny_patch16_224")
    """
    library, _, model = name.partition("/")
    if library in {"timm", "torchvision"}:
        if not model:
            raise TwofoldError(f"encoder {name!r} names no model; write {library}/NAME")
    elif name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS)
