"""One view after the other by compiled loops, each plane in the cache from its crop to its end.

Places in flat arrays are unsigned: only then does the compiler know that none counts from the end,
and uses vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_FAST: dict[str, Any] = {
    # Values are finite and sums may be reordered; vector instructions need both.
    "fastmath": {"reassoc", "contract", "nsz", "nnan", "ninf", "arcp"},
    "error_model": "numpy",
    "nogil": True,
    "cache": True,
}
_LUMA = (np.float32(0.2989), np.float32(0.587), np.float32(0.114))  # see colour
_TINY, _ZERO, _HALF, _ONE = np.float32(1e-30), np.float32(0), np.float32(0.5), np.float32(1)
_SIXTH, _TWO, _THREE = np.float32(1 / 6), np.float32(2), np.float32(3)
_FOUR, _SIX = np.float32(4), np.float32(6)


@njit(**_FAST)
def render(
    images: np.ndarray,
    boxes: np.ndarray,
    place: np.ndarray,
    codes: np.ndarray,
    ranks: np.ndarray,
    numbers: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fills in `out`; see `fused.render`.

    Args:
        images: float32 in [0, 1], `(n, channels, height, width)`, one block of memory.
        boxes: As of `geometry.resample`, `(views * n, 4)`.
        place: As of `geometry.to_pixels`, `(views * n, 2, 3)`, upright or turned by quarters.
        codes: What each step changes, `(steps,)`.
        ranks: When, `(views * n, steps)`; negative where it is left out.
        numbers: The step's parameters, float32 `(views * n, steps, numbers)`.
        out: float32 `(views * n, channels, size, size)`.
    """
    total, channels, size, _ = out.shape
    _, _, height, width = images.shape
    pixels = size * size
    few = 2
    for view in range(total):
        for axis in range(2):
            step = abs(np.float32(place[view, axis, 0] + place[view, axis, 1]))
            few = max(few, int(np.ceil(2 * step)))
    row = np.empty(width, np.float32)
    pixel = np.empty((2, few, size), np.uint32)
    weight = np.empty((2, few, size), np.float32)
    rooms = (  # a blur's weights, a plane of it, and one of its rows with what is mirrored
        np.empty(size + 3, np.float32),
        np.empty(pixels, np.float32),
        np.empty(3 * size + 8, np.float32),
    )
    order = np.empty(len(codes), np.int64)
    source, flat = images.reshape(-1), out.reshape(-1)
    for view in range(total):
        image = view % len(images)
        taps_x = _taps(place, boxes, view, 0, pixel, weight, size)
        taps_y = _taps(place, boxes, view, 1, pixel, weight, size)
        first = view * channels * pixels
        for channel in range(channels):
            start = (image * channels + channel) * height * width
            at = first + channel * pixels
            left, across = boxes[view, 1], boxes[view, 3]
            _resize(
                source,
                start,
                width,
                left,
                across,
                pixel,
                weight,
                taps_x,
                taps_y,
                row,
                flat,
                at,
                size,
            )
            if place[view, 0, 0] == 0 and place[view, 1, 1] == 0:
                _transpose(flat, at, size)
        _change(flat, first, channels, size, view, codes, ranks, numbers, order, rooms)


@njit(**_FAST)
def _change(
    flat: np.ndarray,
    first: int,
    channels: int,
    size: int,
    view: int,
    codes: np.ndarray,
    ranks: np.ndarray,
    numbers: np.ndarray,
    order: np.ndarray,
    rooms: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Takes the steps of a view, whose planes begin at `first`, in their order."""
    kernel, spare, padded = rooms
    pixels = size * size
    steps = _in_order(ranks, view, order)
    for step in order[:steps]:
        code, number = codes[step], numbers[view, step, 0]
        if code == 1:
            _scale(flat, first, channels * pixels, number, _ZERO)
        elif code == 2:
            gray = _mean(flat, first, channels, pixels)
            _scale(flat, first, channels * pixels, number, (_ONE - number) * gray)
        elif code == 3:
            _saturate(flat, first, pixels, number)
        elif code == 4:
            _turn_hue(flat, first, pixels, _SIX * number)
        elif code == 5:
            _make_gray(flat, first, channels, pixels)
        elif code == 6:
            for channel in range(channels):
                at = first + channel * pixels
                _scale(flat, at, pixels, numbers[view, step, channel], _ZERO)
        elif code == 7:
            for channel in range(channels):
                at = first + channel * pixels
                _scale(flat, at, pixels, _ONE, numbers[view, step, channel])
        elif code == 8:
            _solarize(flat, first, channels * pixels, number)
        elif code == 9:
            side = int(numbers[view, step, 1])
            _gaussian(kernel, number, side)
            for channel in range(channels):
                _blur(flat, first + channel * pixels, size, kernel, side, spare, padded)


@njit(**_FAST)
def _taps(
    place: np.ndarray,
    boxes: np.ndarray,
    view: int,
    axis: int,
    pixel: np.ndarray,
    weight: np.ndarray,
    size: int,
) -> int:
    """Fills in the triangle filter of each pixel of the view along x (0) or y (1); see geometry."""
    step = np.float32(place[view, axis, 0] + place[view, axis, 1])
    start = np.float32(place[view, axis, 2])
    low, length = np.float32(boxes[view, 1 - axis]), np.float32(boxes[view, 3 - axis])
    reach = max(abs(step), _ONE)
    few = int(np.ceil(_TWO * reach))
    for x in range(size):
        centre = start + step * (np.float32(x) + _HALF)
        centre = min(max(centre, low + _HALF), low + length - _HALF)
        nearest = np.floor(centre - (reach - _HALF))
        total = _ZERO
        for k in range(few):
            at = nearest + np.float32(k)
            inside = min(max(at, low), low + length - _ONE)
            share = max(reach - abs(at + _HALF - centre), _ZERO)
            share = share if at == inside else _ZERO
            pixel[axis, k, x] = np.uint32(inside)
            weight[axis, k, x] = share
            total += share
        for k in range(few):
            weight[axis, k, x] /= total
    return few


@njit(**_FAST)
def _resize(
    source: np.ndarray,
    start: int,
    width: int,
    left: int,
    across: int,
    pixel: np.ndarray,
    weight: np.ndarray,
    few_x: int,
    few_y: int,
    row: np.ndarray,
    flat: np.ndarray,
    at: int,
    size: int,
) -> None:
    """One plane: every row as a mix of rows of the box, then of its columns."""
    right, offset = np.uintp(across), np.uintp(left)
    for y in range(size):
        to = np.uintp(at + y * size)
        share = weight[1, 0, y]
        begin = np.uintp(start + left) + np.uintp(pixel[1, 0, y]) * np.uintp(width)
        if few_y == 2:
            other = weight[1, 1, y]
            second = np.uintp(start + left) + np.uintp(pixel[1, 1, y]) * np.uintp(width)
            for x in range(right):
                row[x] = share * source[begin + x] + other * source[second + x]
        else:
            for x in range(right):
                row[x] = share * source[begin + x]
            for k in range(1, few_y):
                share = weight[1, k, y]
                if share > _ZERO:
                    begin = np.uintp(start + left) + np.uintp(pixel[1, k, y]) * np.uintp(width)
                    for x in range(right):
                        row[x] += share * source[begin + x]
        if few_x == 2:
            for x in range(np.uintp(size)):
                one = row[np.uintp(pixel[0, 0, x]) - offset]
                two = row[np.uintp(pixel[0, 1, x]) - offset]
                value = weight[0, 0, x] * one + weight[0, 1, x] * two
                flat[to + x] = min(max(value, _ZERO), _ONE)
        else:
            for x in range(np.uintp(size)):
                flat[to + x] = weight[0, 0, x] * row[np.uintp(pixel[0, 0, x]) - offset]
            for k in range(1, few_x):
                for x in range(np.uintp(size)):
                    flat[to + x] += weight[0, k, x] * row[np.uintp(pixel[0, k, x]) - offset]
            for x in range(np.uintp(size)):
                flat[to + x] = min(max(flat[to + x], _ZERO), _ONE)


@njit(**_FAST)
def _transpose(flat: np.ndarray, at: int, size: int) -> None:
    for y in range(size):
        for x in range(y):
            one, other = np.uintp(at + y * size + x), np.uintp(at + x * size + y)
            flat[one], flat[other] = flat[other], flat[one]


@njit(**_FAST)
def _in_order(ranks: np.ndarray, view: int, order: np.ndarray) -> int:
    """Fills in the steps that have a rank, in the order of these, and counts them."""
    count = 0
    for step in range(ranks.shape[1]):
        rank = ranks[view, step]
        if rank >= 0:
            place = count
            while place > 0 and ranks[view, order[place - 1]] > rank:
                order[place] = order[place - 1]
                place -= 1
            order[place] = step
            count += 1
    return count


@njit(**_FAST)
def _scale(flat: np.ndarray, at: int, count: int, factor: float, offset: float) -> None:
    first = np.uintp(at)
    for i in range(np.uintp(count)):
        flat[first + i] = min(max(factor * flat[first + i] + offset, _ZERO), _ONE)


@njit(**_FAST)
def _mean(flat: np.ndarray, at: int, channels: int, pixels: int) -> np.float32:
    """Gray of the mean colour."""
    gray = _ZERO
    for channel in range(channels):
        total, first = _ZERO, np.uintp(at + channel * pixels)
        for i in range(np.uintp(pixels)):
            total += flat[first + i]
        gray += total * (_LUMA[channel] if channels == 3 else _ONE / np.float32(channels))
    gray /= np.float32(pixels)
    return gray


@njit(**_FAST)
def _saturate(flat: np.ndarray, at: int, pixels: int, factor: float) -> None:
    red, green, blue = np.uintp(at), np.uintp(at + pixels), np.uintp(at + 2 * pixels)
    rest = _ONE - factor
    for i in range(np.uintp(pixels)):
        r, g, b = flat[red + i], flat[green + i], flat[blue + i]
        gray = rest * (_LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b)
        flat[red + i] = min(max(factor * r + gray, _ZERO), _ONE)
        flat[green + i] = min(max(factor * g + gray, _ZERO), _ONE)
        flat[blue + i] = min(max(factor * b + gray, _ZERO), _ONE)


@njit(**_FAST)
def _turn_hue(flat: np.ndarray, at: int, pixels: int, shift: float) -> None:
    """In sixths of the circle; see colour.hue."""
    red, green, blue = np.uintp(at), np.uintp(at + pixels), np.uintp(at + 2 * pixels)
    for i in range(np.uintp(pixels)):
        r, g, b = flat[red + i], flat[green + i], flat[blue + i]
        low, high = min(r, g, b), max(r, g, b)
        chroma = high - low
        hue = _ONE + (g + b - r - low) / max(chroma, _TINY)
        hue = (hue if g >= b else -hue) + shift
        hue -= _SIX * np.floor(hue * _SIXTH)
        flat[red + i] = low + chroma * min(max(abs(hue - _THREE) - _ONE, _ZERO), _ONE)
        flat[green + i] = high - chroma * min(max(abs(hue - _TWO) - _ONE, _ZERO), _ONE)
        flat[blue + i] = high - chroma * min(max(abs(hue - _FOUR) - _ONE, _ZERO), _ONE)


@njit(**_FAST)
def _make_gray(flat: np.ndarray, at: int, channels: int, pixels: int) -> None:
    first, step = np.uintp(at), np.uintp(pixels)
    for i in range(np.uintp(pixels)):
        gray = _ZERO
        for channel in range(np.uintp(channels)):
            share = _ONE / np.float32(channels)
            if channels == 3:
                share = _LUMA[channel]
            gray += share * flat[first + channel * step + i]
        gray = min(max(gray, _ZERO), _ONE)
        for channel in range(np.uintp(channels)):
            flat[first + channel * step + i] = gray


@njit(**_FAST)
def _solarize(flat: np.ndarray, at: int, count: int, threshold: float) -> None:
    first = np.uintp(at)
    for i in range(np.uintp(count)):
        value = flat[first + i]
        flat[first + i] = _ONE - value if value >= threshold else value


@njit(**_FAST)
def _gaussian(kernel: np.ndarray, sigma: float, side: int) -> None:
    total = 0.0
    for k in range(side):
        distance = (k - side // 2) / np.float64(sigma)
        kernel[k] = np.exp(-0.5 * distance * distance)
        total += kernel[k]
    for k in range(side):
        kernel[k] /= total


@njit(**_FAST)
def _mirrored(pixel: int, size: int) -> int:
    period = max(1, 2 * (size - 1))
    folded = abs(pixel) % period
    return min(folded, period - folded)


@njit(**_FAST)
def _blur(
    flat: np.ndarray,
    at: int,
    size: int,
    kernel: np.ndarray,
    side: int,
    spare: np.ndarray,
    padded: np.ndarray,
) -> None:
    """One plane, along y into `spare`, and along x back."""
    half, first = side // 2, np.uintp(at)
    for y in range(size):
        to = np.uintp(y * size)
        for x in range(np.uintp(size)):
            spare[to + x] = _ZERO
        for k in range(side):
            share = kernel[k]
            begin = first + np.uintp(_mirrored(y + k - half, size) * size)
            for x in range(np.uintp(size)):
                spare[to + x] += share * flat[begin + x]
    for y in range(size):
        begin, to = np.uintp(y * size), first + np.uintp(y * size)
        for x in range(half):
            padded[x] = spare[begin + np.uintp(_mirrored(x - half, size))]
            padded[half + size + x] = spare[begin + np.uintp(_mirrored(size + x, size))]
        middle = np.uintp(half)
        for x in range(np.uintp(size)):
            padded[middle + x] = spare[begin + x]
        for x in range(np.uintp(size)):
            flat[to + x] = _ZERO
        for k in range(np.uintp(side)):
            share = kernel[k]
            for x in range(np.uintp(size)):
                flat[to + x] += share * padded[x + k]
        for x in range(np.uintp(size)):
            flat[to + x] = min(max(flat[to + x], _ZERO), _ONE)
