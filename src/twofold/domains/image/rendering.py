"""The renderer of images, which `Views` have unless another is given."""

from twofold.augment.rendering import render

__all__ = ["render"]
