"""Blur, noise and edges: what reads a pixel's surroundings or adds to it.

Every function takes images in [0, 1] `(n, channels, size, size)`, may overwrite them, and one
number per sample. A sample's result does not depend on the others in the batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.augment.colour import column, gray
from twofold.augment.draws import philox
from twofold.augment.geometry import crop_box, mix_columns, mix_rows, shift

_NOISE_KEY = zlib.crc32(b"noise")


def gaussian_blur(images: Tensor, sigma: np.ndarray, side: int) -> Tensor:
    """Gaussian blur, truncated to `side` pixels and mirrored at the border, along y and x.

    `kernel(d) ∝ exp(-d² / 2 sigma²)` for `|d| <= side // 2`.

    Args:
        images: In [0, 1].
        sigma: Standard deviation in pixels, > 0, `(n,)`.
        side: Odd.
    """
    count, size = len(images), images.shape[-1]
    distance = np.arange(side) - side // 2
    kernel = np.exp(-0.5 * (distance / sigma[:, None]) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    pixel = _mirrored(np.arange(size)[:, None] + distance, size)
    pixel, weight = np.tile(pixel, (count, 1, 1)), np.tile(kernel[:, None], (1, size, 1))
    return mix_columns(mix_rows(images, pixel, weight), pixel, weight).clamp_(0, 1)


def motion_blur(images: Tensor, length: np.ndarray, angle: np.ndarray, points: int) -> Tensor:
    """The mean of `points` places along a centred line at `angle` degrees, counter-clockwise.

    Args:
        images: In [0, 1].
        length: Pixels that the line covers, >= 1, `(n,)`.
        angle: Degrees, `(n,)`.
        points: At least the largest length, or the blur shows gaps.
    """
    right = np.cos(np.deg2rad(angle)) * (length - 1)
    down = -np.sin(np.deg2rad(angle)) * (length - 1)
    total = torch.zeros_like(images)
    for part in np.linspace(-0.5, 0.5, points):
        total.add_(shift(images, right * part, down * part))
    return total.div_(points).clamp_(0, 1)


def noise(images: Tensor, sigma: np.ndarray, key: np.ndarray) -> Tensor:
    """Gaussian noise: `clip(x + sigma * normal)`, each pixel's number a function of `key`."""
    normal = normals(torch.from_numpy(key.astype(np.int64)).to(images.device), images[0].numel())
    return images.add_(normal.view_as(images).mul_(column(sigma, images))).clamp_(0, 1)


def normals(key: Tensor, count: int) -> Tensor:
    """Standard normal numbers counted from 0 for every 32-bit key, by Box and Muller's method.

    Args:
        key: int64 `(n,)`.
        count: Numbers per key.

    Returns:
        float32 `(n, count)`.
    """
    block = torch.arange(-(-count // 4), device=key.device)[None, :]
    zero = torch.zeros_like(block)
    words = philox((block, zero, zero, zero), (key[:, None], _NOISE_KEY))
    first, second, third, fourth = ((word.float() + 0.5) * 2.0**-32 for word in words)
    numbers = []
    for length, turn in ((first, second), (third, fourth)):
        radius, angle = length.log_().mul_(-2).sqrt_(), turn.mul_(2 * math.pi)
        numbers += [radius * angle.cos(), radius * angle.sin()]
    return torch.cat(numbers, dim=1)[:, :count]


def cutout(images: Tensor, values: Mapping[str, np.ndarray], side: float) -> Tensor:
    """A square filled with the image's mean colour; `side` is a share of the image's side."""
    size, share = images.shape[-1], np.full(len(images), side)
    top, left, height, width = crop_box({**values, "height": share, "width": share}, size, size).T
    pixel = np.arange(size)
    rows = (pixel >= top[:, None]) & (pixel < (top + height)[:, None])
    columns = (pixel >= left[:, None]) & (pixel < (left + width)[:, None])
    square = torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :])
    mean = images.mean(dim=(2, 3), keepdim=True)
    return torch.where(square.to(images.device), mean, images)


def sobel(images: Tensor) -> Tensor:
    """Edge strength `clip(sqrt(Gx² + Gy²))` of the gray image, in every channel."""
    padded = F.pad(gray(images), (1, 1, 1, 1), mode="replicate")
    down = padded[:, :, 2:] - padded[:, :, :-2]
    right = padded[..., 2:] - padded[..., :-2]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    right = right[:, :, :-2] + 2 * right[:, :, 1:-1] + right[:, :, 2:]
    return (down * down + right * right).sqrt_().clamp_(0, 1).expand_as(images)


def _mirrored(pixel: np.ndarray, size: int) -> np.ndarray:
    """Places outside the image reflected at its border pixels, which are not repeated."""
    period = max(1, 2 * (size - 1))
    folded: np.ndarray = np.abs(pixel) % period
    nearest: np.ndarray = np.minimum(folded, period - folded)
    return nearest
