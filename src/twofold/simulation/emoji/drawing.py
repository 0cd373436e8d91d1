"""Drawings as pixels, rendered by resvg."""

from __future__ import annotations

import io
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from twofold.errors import TwofoldError

RENDERER = "resvg-py"
"""The package that renders."""
_FINER = 2  # times as many pixels are rendered along each side, and averaged


class Sheet(NamedTuple):
    """Some drawings that are rendered together."""

    first: int
    """Place of the first one among all."""
    svgs: tuple[str, ...]
    size: int
    """Height and width in pixels."""


class Rendered(NamedTuple):
    """The pictures of a sheet."""

    first: int
    images: np.ndarray
    """uint8 `(n, 3, size, size)`, on white."""


def renderer() -> dict[str, str]:
    """The version of resvg, by the name of its package.

    Raises:
        TwofoldError: If it is not installed.
    """
    try:
        return {RENDERER: version(RENDERER)}
    except PackageNotFoundError:
        raise TwofoldError(
            f"rendering emoji needs {RENDERER}: pip install 'twofold[emoji]'"
        ) from None


def render(sheet: Sheet) -> Rendered:
    """Renders drawings on white, the mean of four pixels each.

    Raises:
        TwofoldError: If resvg cannot read a drawing.

    Example:
        >>> square = '<rect x="1" width="1" height="2" fill="blue"/>'
        >>> svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2">{square}</svg>'
        >>> render(Sheet(0, (svg,), 2)).images[0].tolist()
        [[[255, 0], [255, 0]], [[255, 0], [255, 0]], [[255, 255], [255, 255]]]
    """
    from PIL import Image
    from resvg_py import svg_to_bytes

    size, fine = sheet.size, _FINER * sheet.size
    images = np.empty((len(sheet.svgs), 3, size, size), np.uint8)
    for place, svg in enumerate(sheet.svgs):
        try:
            packed = svg_to_bytes(
                svg_string=svg, width=fine, height=fine, background="white", skip_system_fonts=True
            )
        except ValueError as error:
            raise TwofoldError(f"drawing {sheet.first + place} cannot be read: {error}") from None
        with Image.open(io.BytesIO(packed)) as picture:
            pixels = np.asarray(picture.convert("RGB"), np.float32)
        mean = pixels.reshape(size, _FINER, size, _FINER, 3).mean(axis=(1, 3))
        images[place] = np.moveaxis(mean.round().astype(np.uint8), -1, 0)
    return Rendered(sheet.first, images)
