"""Changing values: jitter as blends with a reference, hue in closed form, each clipped to [0, 1].

Every function takes images in [0, 1] `(n, channels, height, width)`, may overwrite them, and one
number per sample. A sample's result does not depend on the others in the batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, rounded as torchvision has it
_TINY = 1e-30  # keeps the hue of a gray pixel, which no one sees, finite


def brightness(images: Tensor, factor: np.ndarray) -> Tensor:
    """Blended with black: `clip(factor * x)`."""
    return images.mul_(column(factor, images)).clamp_(0, 1)


def contrast(images: Tensor, factor: np.ndarray) -> Tensor:
    """Blended with the mean gray of the image: `clip(factor * x + (1 - factor) * mean)`."""
    mean = gray(images.mean(dim=(2, 3), keepdim=True))
    return images.mul_(column(factor, images)).add_(mean * column(1 - factor, images)).clamp_(0, 1)


def saturation(images: Tensor, factor: np.ndarray) -> Tensor:
    """Blended with the gray image: `clip(factor * x + (1 - factor) * gray)`."""
    return torch.lerp(gray(images), images, column(factor, images), out=images).clamp_(0, 1)


def hue(images: Tensor, shift: np.ndarray) -> Tensor:
    """The hue of HSV turned by `shift` of the circle, its value and saturation kept.

    In sixths of the circle the hue is `1 + (green + blue - red - low) / chroma`, counted towards
    blue where blue exceeds green: no case per largest channel is needed. With `h` the turned hue
    and `fall(c) = chroma * clip(|h - c| - 1, 0, 1)`, red becomes `low + fall(3)`, green
    `high - fall(2)` and blue `high - fall(4)`; rounding cannot take these out of [0, 1].
    """
    red, green, blue = images.unbind(dim=1)
    low = torch.minimum(red, green)
    low = torch.minimum(low, blue, out=low)
    high = torch.maximum(red, green)
    high = torch.maximum(high, blue, out=high)
    chroma = high - low
    sixth = (green + blue).sub_(red).sub_(low).div_(chroma.clamp(min=_TINY)).add_(1)
    sixth.copysign_(torch.sub(green, blue, out=red)).add_(column(6 * shift, images)[:, 0])
    sixth.sub_(torch.mul(sixth, 1 / 6, out=red).floor_(), alpha=6)
    centre = images.new_tensor([3.0, 2.0, 4.0]).view(3, 1, 1)
    torch.sub(sixth[:, None], centre, out=images).abs_().sub_(1).clamp_(0, 1)
    torch.addcmul(low, red, chroma, out=red)
    torch.addcmul(high, green, chroma, value=-1, out=green)
    torch.addcmul(high, blue, chroma, value=-1, out=blue)
    return images


def grayscale(images: Tensor) -> Tensor:
    """The gray image in every channel."""
    return gray(images).clamp_(0, 1).expand_as(images)


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Bright values inverted: `1 - x` where `x >= threshold`."""
    return torch.where(images >= threshold, 1 - images, images)


def equalize(images: Tensor) -> Tensor:
    """Every channel's histogram made flat, in 256 levels, as PIL and torchvision do it.

    A channel of one value, or of too few pixels to fill the levels, is left as it is.
    """
    flat = images.flatten(0, 1).flatten(1)  # (n * channels, pixels)
    level = flat.mul(255).round_().long()
    counts = flat.new_zeros(len(flat), 256, dtype=torch.long)
    counts.scatter_add_(1, level, torch.ones_like(level))
    pixels = flat.shape[1]
    step = (pixels - counts.gather(1, level.amax(dim=1, keepdim=True))) // 255
    below = counts.cumsum(dim=1) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    table[:, 0] = 0
    equal = table.gather(1, level).to(images.dtype).div_(255)
    return torch.where(step > 0, equal, flat).view_as(images)


def gain(images: Tensor, factors: list[np.ndarray]) -> Tensor:
    """Every channel multiplied by its own factor: `clip(factor_c * x_c)`."""
    return images.mul_(_columns(factors, images)).clamp_(0, 1)


def offset(images: Tensor, offsets: list[np.ndarray]) -> Tensor:
    """Every channel moved by its own offset: `clip(x_c + offset_c)`."""
    return images.add_(_columns(offsets, images)).clamp_(0, 1)


def gray(images: Tensor) -> Tensor:
    """Luma of three channels, the mean of any other number: `(n, 1, height, width)`."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.unbind(dim=1)
    luma = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
    return luma[:, None]


def column(numbers: np.ndarray, like: Tensor) -> Tensor:
    """One number per sample, to broadcast over images: `(n, 1, 1, 1)`."""
    numbers = numbers.astype(np.float32).reshape(-1, 1, 1, 1)
    return torch.from_numpy(numbers).to(like.device)


def _columns(numbers: list[np.ndarray], like: Tensor) -> Tensor:
    """One number per sample and channel, to broadcast over images: `(n, channels, 1, 1)`."""
    return torch.cat([column(number, like) for number in numbers], dim=1)
