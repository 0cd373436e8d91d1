"""The renderer of images on CPUs that have numba: a view at a time, from start to end in the cache.

It draws nothing and decides nothing: its views are those of `rendering` but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws
from twofold.augment.geometry import to_pixels
from twofold.augment.rendering import chain, placed
from twofold.augment.spatial import Flip, ResizedCrop, Rotate, VerticalFlip
from twofold.augment.table import IMAGE
from twofold.augment.textural import Blur
from twofold.augment.tonal import (
    Brightness,
    ChannelGain,
    ChannelMean,
    ChannelOffset,
    Contrast,
    Grayscale,
    Hue,
    Saturation,
    Solarize,
)

_CODES: dict[type[Augmentation], int] = {  # what the kernel calls them
    Brightness: 1,
    Contrast: 2,
    Saturation: 3,
    Hue: 4,
    Grayscale: 5,
    ChannelMean: 5,
    ChannelGain: 6,
    ChannelOffset: 7,
    Solarize: 8,
    Blur: 9,
}
_STRAIGHT = (ResizedCrop, Flip, VerticalFlip, Rotate)
RENDERED = tuple(name for name, one in IMAGE.items() if type(one) in (*_STRAIGHT, *_CODES))
"""Names of the augmentations that can be rendered here."""


def can_render(augmentations: Mapping[str, Augmentation]) -> bool:
    """Whether all of these augmentations can be rendered here.

    Example:
        >>> can_render({"crop": IMAGE["crop"]}), can_render({"affine": IMAGE["affine"]})
        (True, False)
    """
    return all(type(one) in (*_STRAIGHT, *_CODES) for one in augmentations.values())


def available() -> bool:
    """Whether numba is installed and works here: it needs a folder to keep what it compiled."""
    try:
        from twofold.augment import fused_kernel  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def render(
    augmentations: Mapping[str, Augmentation],
    images: Tensor,
    draws: Draws,
    *,
    size: int,
    views: int = 1,
) -> Tensor:
    """The views that `draws` describe, as `rendering.render` makes them, on a CPU.

    Args:
        augmentations: Settings by name, in the order applied; see `can_render`.
        images: float32 in [0, 1], `(n, channels, height, width)`.
        draws: For the same samples over and over, `(views * n,)`.
        size: Height and width of the views in pixels.
        views: How many views of each image the draws describe.

    Returns:
        float32 in [0, 1], `(views * n, channels, size, size)`.
    """
    from twofold.augment import fused_kernel  # numba is slow to import, if there

    (_, channels, height, width), total = images.shape, views * len(images)
    boxes, matrix = placed(augmentations, draws, total, height, width)
    place = to_pixels(boxes, matrix, size)
    codes, ranks, numbers = _steps(augmentations, draws, total, channels, size)
    out = images.new_empty(total, channels, size, size)
    fused_kernel.render(
        images.contiguous().numpy(), boxes, place, codes, ranks, numbers, out.numpy()
    )
    return out


def _steps(
    augmentations: Mapping[str, Augmentation], draws: Draws, total: int, channels: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What changes values: codes `(steps,)`, when it acts `(total, steps)`, and its numbers."""
    names = [(turn, name) for turn, some in enumerate(chain(augmentations)) for name in some]
    codes = np.array([_CODES[type(augmentations[name])] for _, name in names], np.int64)
    ranks = np.empty((total, len(names)))
    numbers = np.zeros((total, len(names), max(2, channels)), np.float32)
    for step, (turn, name) in enumerate(names):
        augmentation, drawn = augmentations[name], draws[name]
        ranks[:, step] = np.where(drawn["applied"], turn + drawn.get("order", 0.0), -1)
        for place, parameter in enumerate(augmentation.neutral):
            numbers[:, step, place] = drawn[parameter]
        if isinstance(augmentation, Solarize):
            numbers[:, step, 0] = augmentation.threshold
        elif isinstance(augmentation, Blur):
            numbers[:, step, 1] = augmentation.side(size)
    return codes, ranks, numbers
