"""One image file to one square array: bit depth, transparency, palettes and orientation."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from PIL.Image import Image
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 0x0112  # EXIF's number for it
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")  # of others, some start programs
_FILMS = ("PNG", "WEBP", "GIF")  # a JPEG of several frames is one picture and its thumbnails
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2  # TIFF's photometric interpretation
_PREMULTIPLIED, _ALPHA = 1, 2  # TIFF's kinds of extra sample; 0 is a channel of its own


class Header(NamedTuple):
    """What a file says of itself; an alpha channel does not count as a channel."""

    height: int
    width: int
    channels: int
    deep: bool
    """Whether it has 16 bits per channel, not 8 or fewer."""


def read_header(path: Path) -> Header:
    """Size, channels and depth of an image, without decoding it."""
    from PIL import Image

    with path.open("rb") as file:
        start = _start(file)
        if start[:4] in _TIFF:
            return _tiff_header(file)
        with Image.open(file, formats=_FORMATS) as image:
            if image.format in _FILMS and (frames := getattr(image, "n_frames", 1)) > 1:
                raise TwofoldError(f"several images in one file ({frames} frames); one is read")
            if _is_deep_png(start):
                return Header(image.height, image.width, 3 if start[25] & 2 else 1, True)
            return Header(image.height, image.width, _channels(image), False)


def decode(path: Path, *, size: int, channels: int, deep: bool) -> np.ndarray:
    """The central square of an image, scaled to `size` with antialiasing.

    Transparent pixels are laid on white, and the orientation that a camera noted is applied.

    Args:
        path: An image file.
        size: Height and width of the result in pixels.
        channels: Channels of the result; a grey image is repeated to fill them.
        deep: Whether the result is uint16 (white is 65535) instead of uint8 (255).

    Returns:
        Pixels `(channels, size, size)`.
    """
    with path.open("rb") as file:
        start = _start(file)
        if _is_deep_png(start):
            pixels = _square_array(_read_deep_png(file), size)
        elif start[:4] in _TIFF:
            pixels = _read_tiff(file, size)
        else:
            pixels = _read_with_pillow(file, size)
    if deep and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * 257
    if pixels.shape[2] not in (1, channels):
        raise TwofoldError(f"{pixels.shape[2]} channels; {channels} were expected")
    return np.broadcast_to(pixels, (size, size, channels)).transpose(2, 0, 1)


def _start(file: IO[bytes]) -> bytes:
    start = file.read(26)
    file.seek(0)
    return start


def _is_deep_png(start: bytes) -> bool:
    return start[:8] == _PNG and start[24:25] == b"\x10"


def _channels(image: Image) -> int:
    if image.mode[0] in "IF":
        raise TwofoldError(f"pixels of mode {image.mode}; 8 and 16 bits per channel are read")
    return 1 if image.mode in ("1", "L", "LA", "La") else 3


def _read_with_pillow(file: IO[bytes], size: int) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(file, formats=_FORMATS) as opened:
        channels = _channels(opened)
        # A JPEG decoder can halve big photos for free; twice the size leaves the antialiasing exact
        opened.draft(opened.mode, (2 * size, 2 * size))
        ImageOps.exif_transpose(opened, in_place=True)
        image: Image.Image = opened
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        mode = "L" if channels == 1 else "RGB"
        if image.mode != mode:  # it would be copied
            image = image.convert(mode)
        return np.asarray(_square(image, size)).reshape(size, size, channels)


def _read_deep_png(file: IO[bytes]) -> np.ndarray:
    """Pixels `(height, width, channels)` of a 16-bit PNG, of which Pillow gives 8 bits at a time.

    Pillow unpacks big-endian colour ("RGB;16B") to the high bytes; told that it is little-endian
    it finds the low bytes. Grey with alpha has the four bytes of an 8-bit RGBA pixel.
    """
    from PIL import Image

    def unpacked(byte_layout: str) -> np.ndarray:
        file.seek(0)
        with Image.open(file, formats=("PNG",)) as image:
            image.tile = [(*image.tile[0][:3], byte_layout)]  # type: ignore[list-item]
            return np.asarray(image).astype(np.uint16)

    with Image.open(file, formats=("PNG",)) as image:
        layout = str(image.tile[0][3])
        invisible = image.info.get("transparency")
        orientation = image.getexif().get(_ORIENTATION, 1)
    if layout == "LA;16B":
        high_low = unpacked("RGBA")
        pixels = high_low[..., 0::2] << 8 | high_low[..., 1::2]
    elif layout in ("RGB;16B", "RGBA;16B"):
        pixels = unpacked(layout) << 8 | unpacked(layout.replace("16B", "16L"))
    else:
        pixels = unpacked(layout)[..., None]
    if invisible is not None:
        pixels[(pixels == np.asarray(invisible)).all(axis=2)] = 65535
    if pixels.shape[2] in (2, 4):
        pixels = _on_white(pixels[..., :-1], pixels[..., -1:])
    return _upright(pixels, orientation)


def _tiff_header(file: IO[bytes]) -> Header:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page, series = _first(tiff)
        if series.axes not in ("YX", "YXS", "SYX", "CYX"):
            raise TwofoldError(f"several images in one file (axes {series.axes}); one is read")
        if page.bitspersample > 8 and (page.bitspersample != 16 or series.dtype != np.uint16):
            raise TwofoldError(
                f"{page.bitspersample}-bit {series.dtype} samples; 8 and 16 bits are read "
                "(other images can be opened as a .npy file)"
            )
        sizes = dict(zip(series.axes, series.shape, strict=True))
        _check_pixels(sizes["X"], sizes["Y"])
        _check_whole(tiff)
        samples = sizes.get("S", sizes.get("C", 1))
        if page.photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB):
            channels = samples - _has_alpha(tiff)
        else:
            channels = 3  # palette, CMYK, YCbCr or Lab
        return Header(sizes["Y"], sizes["X"], channels, page.bitspersample == 16)


def _first(tiff: TiffFile) -> tuple[TiffPage, TiffPageSeries]:
    """The first page, and the first series, once it is known where the pages end.

    Without, tifffile goes round and round in pages of which a later one names an earlier as next.
    """
    len(tiff.pages)
    return tiff.pages.first, tiff.series[0]


def _check_pixels(width: int, height: int) -> None:
    """Refuses pictures as large as Pillow refuses, which small files can hold."""
    from PIL import Image

    most = 2 * (Image.MAX_IMAGE_PIXELS or width * height)
    if not 0 < width * height <= most:
        raise TwofoldError(f"{width:,} x {height:,} pixels; 1 to {most:,} are read")


def _check_whole(tiff: TiffFile) -> None:
    """Refuses a file that ends before its pixels do, or holds fewer than it says."""
    page = tiff.pages.first
    held = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    plain = page.compression == 1
    if (
        not held
        or max(start + count for start, count in held) > tiff.filehandle.size
        or (plain and sum(count for _, count in held) < page.size * page.bitspersample // 8)
    ):
        raise TwofoldError("it ends before its pixels do (truncated)")


def _has_alpha(tiff: TiffFile) -> bool:
    extra = tiff.pages.first.extrasamples
    return bool(extra) and extra[-1] in (_PREMULTIPLIED, _ALPHA)


def _read_tiff(file: IO[bytes], size: int) -> np.ndarray:
    """Pillow knows all kinds of 8-bit picture; only tifffile knows depth and further channels."""
    import tifffile

    header = _tiff_header(file)
    file.seek(0)
    if not header.deep and header.channels in (1, 3):
        return _read_with_pillow(file, size)
    with tifffile.TiffFile(file) as tiff:
        page, series = _first(tiff)
        try:
            pixels = series.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                kind = tifffile.COMPRESSION(page.compression).name
                raise TwofoldError(f"{kind} compression needs the package imagecodecs") from None
            raise
        if series.axes in ("SYX", "CYX"):
            pixels = np.moveaxis(pixels, 0, 2)
        pixels = pixels.reshape(header.height, header.width, -1)
        if page.photometric == _MIN_IS_WHITE:
            pixels = np.iinfo(pixels.dtype).max - pixels
        if _has_alpha(tiff):
            premultiplied = page.extrasamples[-1] == _PREMULTIPLIED
            pixels = _on_white(pixels[..., :-1], pixels[..., -1:], premultiplied=premultiplied)
        orientation = page.tags.valueof("Orientation", 1)
    return _square_array(_upright(pixels, orientation), size)


def _on_white(colour: np.ndarray, alpha: np.ndarray, *, premultiplied: bool = False) -> np.ndarray:
    white = float(np.iinfo(colour.dtype).max)
    opacity = alpha / white
    painted = colour if premultiplied else colour * opacity
    laid = np.round(painted + white * (1 - opacity))
    return np.minimum(laid, white).astype(colour.dtype)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes the orientation 1 to 8 that TIFF and EXIF note: a transposition, then two flips."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _square(image: Image, size: int) -> Image:
    """The central square of `image`, scaled to `size`."""
    from PIL.Image import Resampling

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        return image.crop(box)
    return image.resize((size, size), Resampling.BILINEAR, box=box)


def _square_array(pixels: np.ndarray, size: int) -> np.ndarray:
    """The same for `(height, width, channels)` of any depth: Pillow scales float planes exactly."""
    from PIL import Image

    planes = [
        np.asarray(_square(Image.fromarray(plane.astype(np.float32)), size))
        for plane in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack(planes, axis=2).round().astype(pixels.dtype)
