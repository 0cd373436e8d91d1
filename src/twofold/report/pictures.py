"""Stored items of any channel count and type as small pictures that a browser can show."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from twofold.domains.names import domain_by_name
from twofold.report.sound import coloured, spectrograms

_DIMMEST = 1e-3
"""Of the brightest value: what is less is nearly black where pictures are logarithmic."""
_RANGE = 70.0
"""Decibels from black to white where pictures are spectrograms."""
_DIM = 0.25
"""Items that use less than this share of their value range are brightened for the eye."""


@dataclass(frozen=True)
class Scale:
    """Which stored values are shown as black and as white, and what a reader must know of it."""

    low: float
    """Stored value shown as black."""
    high: float
    """Stored value shown as white."""
    note: str = ""
    """One sentence where the pictures differ from the values; empty where they do not."""
    step: float = 0.0
    """Value from which they are logarithmic; 0 if they are linear."""
    colours: tuple[int, int, int] = (0, 1, 2)
    """Channels shown as red, green and blue."""
    spectrogram: bool = False
    """Whether items are waveforms, of which pictures show decibels from `low` to `high`."""


def scale_of(
    items: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    *,
    domain: str = "image",
) -> Scale:
    """The scale that shows `items` `(n, channels, height, width)` faithfully and not too dark.

    Amounts, such as energies, are shown as `log(1 + value / step)`, over three powers of ten;
    waveforms as spectrograms, over the 70 dB below the loudest.

    Args:
        items: The items to be shown, as stored.
        low: Stored value that is black; by default what the type means (0 for integers).
        high: Stored value that is white; by default what the type means (65535 for uint16).
        domain: What kind of items they are.

    Example:
        >>> scale_of(np.full((1, 1, 2, 2), 4095, np.uint16)).note
        'Pictures are shown 16 times brighter than stored: they use 6.2 % of their value range.'
    """
    kind = domain_by_name(domain)
    if kind.shown == "spectrogram":
        return _loudness_scale(items)
    values = np.nan_to_num(np.asarray(items, np.float32))
    colours = kind.colours.get(items.shape[1], (0, 1, 2))
    if kind.shown == "log":
        brightest = float(values.max(initial=0)) or 1.0
        note = f"Pictures show logarithms of values, from {brightest * _DIMMEST:.2g} up."
        note = " ".join(filter(None, [note, _channel_note(items.shape[1], colours)]))
        return Scale(0.0, brightest, note, brightest * _DIMMEST, colours)
    if low is None or high is None:
        low, high = _type_range(values, items.dtype)
    brightest = float(values.max(initial=low))
    share = (brightest - low) / (high - low)
    if not 0 < share < _DIM:
        return Scale(low, high, _channel_note(items.shape[1], colours))
    note = (
        f"Pictures are shown {round(1 / share)} times brighter than stored: they use "
        f"{100 * share:.2g} % of their value range."
    )
    note = " ".join(filter(None, [note, _channel_note(items.shape[1], colours)]))
    return Scale(low, brightest, note)


def displayable(items: np.ndarray, scale: Scale | None = None) -> np.ndarray:
    """Items as 8-bit pictures: grey `(n, height, width)` or colour `(n, height, width, 3)`.

    One channel is grey, three are red, green and blue; of more than three the first three are
    shown, of two their mean. Spectrograms have time to the right, pitch upwards, and a colour for
    each loudness.

    Example:
        >>> displayable(np.zeros((5, 7, 8, 8), np.float32)).shape
        (5, 8, 8, 3)
    """
    if scale is not None and scale.spectrogram:
        return coloured((spectrograms(items) - scale.low) / (scale.high - scale.low))
    values = np.nan_to_num(np.asarray(items, np.float32))
    scale = scale or Scale(*_type_range(values, items.dtype))
    shares = np.clip((values - scale.low) / (scale.high - scale.low), 0, 1)
    if scale.step:
        decades = (scale.high - scale.low) / scale.step
        shares = np.log1p(shares * decades) / np.log1p(decades)
    pixels = np.rint(255 * shares).astype(np.uint8)
    if pixels.shape[1] >= 3:
        return np.ascontiguousarray(np.moveaxis(pixels[:, list(scale.colours)], 1, -1))
    grey: np.ndarray = np.rint(pixels.mean(axis=1)).astype(np.uint8)
    return grey


def shrink(picture: np.ndarray, limit: int) -> Image.Image:
    """A picture whose longer side is at most `limit` pixels; smaller ones stay as they are."""
    image = Image.fromarray(picture)
    image.thumbnail((limit, limit), Image.Resampling.LANCZOS)
    return image


def data_uri(image: Image.Image, *, budget: int = 4_000) -> str:
    """An image inside its own address, so that the page asks the network for nothing.

    Lossless if that takes at most `budget` bytes, else JPEG of the best quality that fits.
    """
    kind, content = "png", _encoded(image, "PNG", optimize=True)
    for quality in (90, 80, 65, 45, 25):
        if len(content) <= budget:
            break
        kind, content = "jpeg", _encoded(image, "JPEG", quality=quality, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def sprite(pictures: np.ndarray, columns: int) -> Image.Image:
    """All pictures in one image, row by row, `columns` in a row."""
    count, height, width = pictures.shape[:3]
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, *pictures.shape[1:]), np.uint8)
    sheet[:count] = pictures
    grid = sheet.reshape(rows, columns, *pictures.shape[1:]).swapaxes(1, 2)
    return Image.fromarray(grid.reshape(rows * height, columns * width, *pictures.shape[3:]))


def _loudness_scale(waves: np.ndarray) -> Scale:
    """From the loudest down to what is hardly heard beside it."""
    loudest = float(spectrograms(waves).max())
    channels = waves.shape[1]
    mixed = f" (the mean power of {channels} channels)" if channels > 1 else ""
    note = (
        f"Pictures are spectrograms{mixed}: time to the right, pitch upwards on the mel scale, and "
        f"{_RANGE:g} dB from black to the loudest."
    )
    return Scale(loudest - _RANGE, loudest, note, spectrogram=True)


def _type_range(values: np.ndarray, dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.name in ("uint8", "uint16"):
        return 0.0, float(np.iinfo(dtype).max)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if dtype == np.bool_ or (low >= 0 and high <= 1):
        return 0.0, 1.0
    return low, high


def _channel_note(channels: int, colours: tuple[int, int, int]) -> str:
    if channels in (1, 3):
        return ""
    if channels == 2:
        return "Pictures show the mean of the 2 channels."
    if colours == (0, 1, 2):
        return f"Pictures show the first 3 of {channels} channels as red, green and blue."
    listed = ", ".join(map(str, colours))
    return f"Pictures show channels {listed} of {channels} as red, green and blue, counted from 0."


def _encoded(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
