"""The scale of images: from the black and the white that are told or found."""

from __future__ import annotations

from twofold import preprocess
from twofold.domains.image.domain import ImageInput
from twofold.items import Items
from twofold.preprocess import Preprocess


def measure(items: Items, input: ImageInput | None = None) -> Preprocess:
    """The scale that fits images, between the stored values that are named; see `preprocess`.

    Example:
        >>> import numpy as np
        >>> scan = np.arange(-1000.0, 1000.0, 62.5, np.float32).reshape(2, 1, 4, 4)
        >>> measure(scan, ImageInput(low=-200, high=200)).unit(scan).max().item()
        1.0
    """
    input = input or ImageInput()
    return preprocess.measure(items, low=input.low, high=input.high)
