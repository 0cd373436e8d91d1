"""Images: what sets them apart, known before torch is."""

from __future__ import annotations

from dataclasses import dataclass

from twofold.augment.table import IMAGE
from twofold.domains.domain import Domain
from twofold.errors import TwofoldError

SIMCLR_SET = ("crop", "flip", "brightness", "contrast", "saturation", "hue", "grayscale")
"""SimCLR's augmentations but for the blur, which it leaves out on images of 32 pixels."""


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """Which stored values are black and white."""

    low: float | None = None
    """Stored value that becomes 0; what is below does, too. Told from type and values if none."""
    high: float | None = None
    """Stored value that becomes 1; what is above does, too. Told from type and values if none."""

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise TwofoldError(
                f"input.low is {self.low:g} and input.high {self.high:g}; low must be below high"
            )


IMAGES = Domain(
    name="image",
    items="images",
    about="pictures of any size, type and number of channels",
    augmentations=IMAGE,
    strong=(*SIMCLR_SET, "solarize"),
    gentle=("crop", "flip"),
    changes={"crop": {"scale": (0.3, 1.0)}, "solarize": {"probability": 0.2}},
    input=ImageInput(),
    encoder="resnet18",
    early_resolution=0.5,
)
