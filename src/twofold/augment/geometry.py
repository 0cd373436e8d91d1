"""Moving pixels: every change of place is a 3x3 matrix, and an image is resampled once.

Matrices map places in the view to places in the crop; both span [-1, 1] in x (right) and y (down).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_TRIES = 10  # torchvision's, after which it keeps the whole image
_STILL = np.eye(2, 3)


def draw_crop(
    numbers: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Boxes of uniform area and log-uniform ratio; of ten tries the first inside the image.

    Args:
        numbers: Uniform in [0, 1), `(n, 22)`.
        scale: Smallest and largest share of the image's area.
        ratio: Smallest and largest width over height, relative to the image's own.

    Returns:
        `height` and `width` as shares of the image's; `top` and `left` as shares of the room that
        the box leaves, each `(n,)`.
    """
    area = scale[0] + (scale[1] - scale[0]) * numbers[:, :_TRIES]
    root = np.sqrt(ratio[0] * (ratio[1] / ratio[0]) ** numbers[:, _TRIES : 2 * _TRIES])
    width, height = np.sqrt(area) * root, np.sqrt(area) / root
    fits = (width <= 1) & (height <= 1)
    first = np.arange(len(numbers)), np.argmax(fits, axis=1)
    whole = min(max(1.0, ratio[0]), ratio[1])  # the allowed ratio nearest to the image's own
    found = fits.any(axis=1)
    return {
        "height": np.where(found, height[first], min(1.0, 1 / whole)),
        "width": np.where(found, width[first], min(1.0, whole)),
        "top": np.where(found, numbers[:, -2], 0.5),
        "left": np.where(found, numbers[:, -1], 0.5),
    }


def crop_box(values: Mapping[str, np.ndarray], height: int, width: int) -> np.ndarray:
    """The boxes of `draw_crop` in whole pixels, int64 `(n, 4)`: top, left, height, width."""
    rows = np.clip(np.rint(values["height"] * height), 1, height)
    columns = np.clip(np.rint(values["width"] * width), 1, width)
    top = np.minimum(values["top"] * (height - rows + 1) // 1, height - rows)
    left = np.minimum(values["left"] * (width - columns + 1) // 1, width - columns)
    return np.stack((top, left, rows, columns), axis=1).astype(np.int64)


def mirror(applied: np.ndarray, *, axis: int) -> np.ndarray:
    """Reflections along x (axis 0) or y (axis 1) where `applied`, `(n, 3, 3)`."""
    matrix = _identities(len(applied))
    matrix[:, axis, axis] = np.where(applied, -1.0, 1.0)
    return matrix


def quarter_turns(turns: np.ndarray) -> np.ndarray:
    """Counter-clockwise rotations by `turns` times 90 degrees, with exact entries, `(n, 3, 3)`."""
    cosine = np.array([1.0, 0.0, -1.0, 0.0])
    which = turns.astype(np.int64) % 4
    return _turned(cosine[which], cosine[which - 1])


def rotation(angle: np.ndarray) -> np.ndarray:
    """Counter-clockwise rotations by `angle` in degrees, `(n, 3, 3)`."""
    return _turned(np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)))


def affine(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Shear, then magnify, then shift the image, `(n, 3, 3)`: the inverse, as views map back."""
    zoom = 1 / values["scale"]
    matrix = _identities(len(zoom))
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
    matrix[:, 0, 1] = np.tan(np.deg2rad(values["shear"])) * zoom
    shift = np.stack((values["right"], values["down"]), axis=1)
    matrix[:, :2, 2] = -2 * np.einsum("nij,nj->ni", matrix[:, :2, :2], shift)
    return matrix


def resample(images: Tensor, boxes: np.ndarray, matrix: np.ndarray, *, out: Tensor) -> None:
    """Writes the view of each image that its box and matrix describe, resampled once.

    A sample that nothing moves is copied bit for bit. Upright and quarter-turned boxes are weighted
    sums of rows, then of columns, equal to an antialiased bilinear resize; others are one bilinear
    interpolation. Nothing is read from outside the box: its edge repeats.

    Args:
        images: `(n, channels, height, width)`.
        boxes: Pixels, int64 `(n, 4)`: top, left, height, width.
        matrix: From the view to the box, both [-1, 1], float64 `(n, 3, 3)`.
        out: Where the views go, `(n, channels, size, size)`.
    """
    place = to_pixels(boxes, matrix, out.shape[-1])
    if images.shape == out.shape and (place == _STILL).all():
        out.copy_(images)
        return
    upright = (place[:, 0, 1] == 0) & (place[:, 1, 0] == 0)
    turned = (place[:, 0, 0] == 0) & (place[:, 1, 1] == 0)
    straight = upright | turned
    for where, move in ((straight, _resize), (~straight, _interpolate)):
        rows = np.flatnonzero(where)
        if len(rows) == len(images):
            move(images, boxes, place, turned, out)
        elif len(rows):
            index = torch.from_numpy(rows).to(images.device)
            part = out.new_empty(len(rows), *out.shape[1:])
            move(images.index_select(0, index), boxes[rows], place[rows], turned[rows], part)
            out.index_copy_(0, index, part)


def _resize(
    images: Tensor, boxes: np.ndarray, place: np.ndarray, turned: np.ndarray, out: Tensor
) -> None:
    """Antialiased bilinear resize along y and x, transposed where `turned` by 90 or 270 degrees."""
    step = place[:, :, 0] + place[:, :, 1]  # of each axis one is zero
    pixel, weight = _filters(step, place[:, :, 2], boxes, out.shape[-1])
    mix_columns(mix_rows(images, pixel[1], weight[1]), pixel[0], weight[0], out=out)
    if turned.any():
        index = torch.from_numpy(np.flatnonzero(turned)).to(images.device)
        out.index_copy_(0, index, out.index_select(0, index).transpose(2, 3))


def mix_rows(images: Tensor, row: np.ndarray, weight: np.ndarray) -> Tensor:
    """Every row of a view as a weighted sum of a few rows of the image, the others unread.

    Args:
        images: `(n, channels, height, width)`.
        row: Which rows, `(n, size, few)`.
        weight: Of these rows, `(n, size, few)`.

    Returns:
        `(n, channels, size, width)`.
    """
    (count, channels, height, width), size = images.shape, row.shape[1]
    first = np.arange(0, count * channels * height, height).reshape(count, channels, 1, 1)
    index = torch.from_numpy((first + row[:, None]).reshape(-1, row.shape[2])).to(images.device)
    weights = _tensor(weight, images)[:, None].expand(-1, channels, -1, -1).reshape(index.shape)
    table = images.reshape(-1, width)
    rows = F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
    return rows.view(count, channels, size, width)


def mix_columns(
    images: Tensor, column: np.ndarray, weight: np.ndarray, *, out: Tensor | None = None
) -> Tensor:
    """Every column of a view as a weighted sum of columns of the image, by one matrix product.

    Args:
        images: `(n, channels, size, width)`.
        column: Which columns, `(n, size, few)`.
        weight: Of these columns, `(n, size, few)`.
        out: Where the result goes, `(n, channels, size, size)`; a new tensor if None.
    """
    # MKL adds in another order where a matrix begins off 16 bytes: a view's place would show.
    if images.shape[3] % 4:
        images = F.pad(images, (0, -images.shape[3] % 4))
    count, channels, size, width = images.shape
    index = torch.from_numpy(column).to(images.device)
    across = images.new_zeros(count, size, width).scatter_add_(2, index, _tensor(weight, images))
    rows = images.view(count, channels * size, width)
    if out is None:
        out = images.new_empty(count, channels, size, size)
    torch.bmm(rows, across.transpose(1, 2), out=out.view(count, channels * size, size))
    return out


def shift(images: Tensor, right: np.ndarray, down: np.ndarray) -> Tensor:
    """Images moved by a part of a pixel or more, bilinear; their edges repeat."""
    count, _, height, width = images.shape
    place = np.tile(np.eye(2, 3), (count, 1, 1))
    place[:, 0, 2], place[:, 1, 2] = -right, -down
    boxes = np.tile([0, 0, height, width], (count, 1))
    return _sampled(images, _grid(boxes, place, width, 1, images))


def _filters(
    step: np.ndarray, start: np.ndarray, boxes: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Triangle filters along x and y, as wide as the step if it shrinks.

    Args:
        step: Pixels of the image per pixel of the view, `(n, 2)`; negative if mirrored.
        start: Where the view begins in the image, `(n, 2)`.
        boxes: Top, left, height, width, `(n, 4)`.
        size: Pixels of the view.

    Returns:
        The few pixels that each pixel of the view mixes and their weights, `(2, n, size, few)`.
    """
    numbers = np.stack((step, start, boxes[:, [1, 0]], boxes[:, [3, 2]]), dtype=np.float32)
    step, start, low, length = np.ascontiguousarray(numbers.transpose(0, 2, 1))[..., None]
    centre = start + step * (np.arange(size, dtype=np.float32) + 0.5)
    np.clip(centre, low + 0.5, low + length - 0.5, out=centre)
    reach = np.maximum(np.abs(step), 1)
    few = np.arange(math.ceil(2 * reach.max(initial=1)), dtype=np.float32)[:, None, None, None]
    nearest = np.floor(centre - (reach - 0.5))
    weight = few + (nearest + 0.5 - centre)
    np.subtract(reach, np.abs(weight, out=weight), out=weight)
    pixel = nearest + few
    inside = np.clip(pixel, low, low + length - 1)
    weight *= (weight > 0) & (pixel == inside)
    weight /= weight.sum(axis=0)  # one after the other, whatever number of zeros follows
    return np.moveaxis(inside.astype(np.int64), 0, -1), np.moveaxis(weight, 0, -1)


def _interpolate(
    images: Tensor, boxes: np.ndarray, place: np.ndarray, turned: np.ndarray, out: Tensor
) -> None:
    """Bilinear interpolation, the mean of `fine`² places per pixel where the image shrinks."""
    step = np.sqrt((place[:, :, :2] ** 2).sum(axis=1)).max(axis=1)
    fine = np.maximum(np.ceil(step - 1e-9), 1).astype(np.int64)
    for times in np.unique(fine):
        rows = np.flatnonzero(fine == times)
        index = torch.from_numpy(rows).to(images.device)
        grid = _grid(boxes[rows], place[rows], out.shape[-1], int(times), images)
        part = _sampled(images.index_select(0, index), grid)
        out.index_copy_(0, index, F.avg_pool2d(part, int(times)))


def _grid(boxes: np.ndarray, place: np.ndarray, size: int, fine: int, images: Tensor) -> Tensor:
    """Where each of `size * fine` squared places lies in the image, as `grid_sample` wants it."""
    at = (np.arange(size * fine) + 0.5) / fine
    axes = []
    for axis, pixels in ((0, images.shape[3]), (1, images.shape[2])):
        low, length = boxes[:, 1 - axis, None, None], boxes[:, 3 - axis, None, None]
        by_column = _tensor(place[:, axis, 0, None] * at + place[:, axis, 2, None], images)
        by_row = _tensor(place[:, axis, 1, None] * at, images)
        where = by_column[:, None, :] + by_row[:, :, None]
        where = torch.minimum(where, _tensor(low + length - 0.5, images))
        where = torch.maximum(where, _tensor(low + 0.5, images))
        axes.append(where * (2 / pixels) - 1)
    return torch.stack(axes, dim=-1)


def _sampled(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def to_pixels(boxes: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The matrices in pixels of view and image, measured from their corners: float64 `(n, 2, 3)`.

    Whole-pixel crops, flips and quarter turns at the same size come out exact.
    """
    half = boxes[:, [3, 2]] / 2  # x, y
    centre = boxes[:, [1, 0]] + half
    place = matrix[:, :2] * half[:, :, None]
    corner = centre + place[:, :, 2] - place[:, :, 0] - place[:, :, 1]
    return np.concatenate((place[:, :, :2] * 2 / size, corner[:, :, None]), axis=2)


def _identities(n: int) -> np.ndarray:
    return np.tile(np.eye(3), (n, 1, 1))


def _turned(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Counter-clockwise on the screen: y points down, and views map back to the image."""
    matrix = _identities(len(cosine))
    matrix[:, 0, 0] = matrix[:, 1, 1] = cosine
    matrix[:, 0, 1], matrix[:, 1, 0] = -sine, sine
    return matrix


def _tensor(numbers: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(numbers, dtype=like.dtype, device=like.device)
