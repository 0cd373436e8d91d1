"""Folders of images: files that are none, that lie about themselves, and that only look odd."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from malformed import Skipped, png
from PIL import Image

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
RGB = np.stack([GREY, GREY + 64, GREY + 128], axis=2)
_FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
_BIG = 50_000


def packed(form: str, pixels: np.ndarray = GREY, **how: object) -> bytes:
    """An image as Pillow writes it."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, _FORMATS.get(form, form), **how)
    return file.getvalue()


def tiff(pixels: np.ndarray, **how: object) -> bytes:
    """An image as tifffile writes it."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, **how)
    return file.getvalue()


def small_tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF file byte by byte: one strip of 8 bytes, whose tags may say anything."""
    said = {
        "width": (256, width),
        "height": (257, height),
        "bits": (258, 8),
        "compression": (259, 1),
        "photometric": (262, 1),
        "offset": (273, 8),
        "samples": (277, 1),
        "rows": (278, height),
        "count": (279, 8),
    }
    said |= {name: (said[name][0], value) for name, value in tags.items() if name in said}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in said.values())
    directory = struct.pack("<H", len(said)) + entries + struct.pack("<I", tags.get("next", 0))
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + directory


def frames(form: str) -> bytes:
    """Three pictures in one file."""
    file = BytesIO()
    first, *others = (Image.fromarray(GREY + 50 * number) for number in range(3))
    first.save(file, form, save_all=True, append_images=others, lossless=True)
    return file.getvalue()


def exif(kind: int, value: bytes) -> bytes:
    """A PNG whose EXIF says how the camera was held, in one value of any kind."""
    entry = struct.pack("<HHHI4s", 1, 0x0112, kind, 1, value)
    return packed("png", exif=b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(4))


def flipped(data: bytes, place: int) -> bytes:
    """One byte of a file turned over."""
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def _bytes(contents: bytes):
    return lambda path: path.write_bytes(contents)


def _text_bomb() -> bytes:
    body = b"note\0\0" + zlib.compress(bytes(80 * 2**20), 9)
    chunk = (
        struct.pack(">I", len(body))
        + b"zTXt"
        + body
        + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    )
    sound = packed("png")
    return sound[:33] + chunk + sound[33:]


WHOLE = {form: packed(form) for form in _FORMATS}
DEEP_PNG = packed("png", GREY.astype(np.uint16) * 257)
_CIRCLE = bytes.fromhex(
    "49492a00080000000e000001040001000000080000000101040001000000080000ffffffffffffff020002"
    "01030001000000100000000301030001000000080000000601030001000000010000000e01020012000000"
    "b60000001101040001000000000100001501030001000000adadadadadadadad0100000008000000170104"
    "0001000000790000001a01050001000000d80000001b01050001000000e000000028010300010000000100"
    "0000310102000c000000e80000000000"
)  # its second directory lies in its first and names itself as the next
_DEEP_TIFF = tiff(GREY.astype(np.uint16) * 257)
_SOLID = zlib.compressobj(9)

SKIPPED = [
    *(Skipped(f"{f} of no bytes", _bytes(b""), "not an image", f"bad.{f}") for f in _FORMATS),
    *(
        Skipped(f"{f} cut in half", _bytes(w[: len(w) // 2]), ".", f"bad.{f}")
        for f, w in WHOLE.items()
    ),
    *(
        Skipped(f"{f} of its first 12 bytes", _bytes(w[:12]), ".", f"bad.{f}")
        for f, w in WHOLE.items()
    ),
    *(
        Skipped(f"text called {f}", _bytes(b"no image\n"), "not an image", f"bad.{f}")
        for f in _FORMATS
    ),
    *(
        Skipped(f"zeros called {f}", _bytes(bytes(4096)), "not an image", f"bad.{f}")
        for f in _FORMATS
    ),
    Skipped(
        "a page called jpg", _bytes(b"<!doctype html><title>404</title>"), "not an image", "bad.jpg"
    ),
    Skipped("a program called png", _bytes(b"\x7fELF" + bytes(60)), "not an image"),
    Skipped(
        "an archive called webp", _bytes(b"PK\x03\x04" + bytes(60)), "not an image", "bad.webp"
    ),
    Skipped("16-bit png cut short", _bytes(DEEP_PNG[:50]), "."),
    Skipped("16-bit tiff cut short", _bytes(_DEEP_TIFF[:-40]), ".", "bad.tif"),
    Skipped("jpg without its last 20 bytes", _bytes(WHOLE["jpg"][:-20]), "[Tt]runcated", "bad.jpg"),
    Skipped("png with a broken checksum", _bytes(flipped(WHOLE["png"], 50)), "."),
    Skipped("png with a broken header", _bytes(flipped(WHOLE["png"], 20)), "."),
    Skipped("png without pixels", _bytes(png(8, 8)), "."),
    Skipped("16-bit png without pixels", _bytes(png(8, 8, depth=16)), "."),
    Skipped("png of no width", _bytes(png(0, 8)), "."),
    Skipped("16-bit png of no width", _bytes(png(0, 8, depth=16)), "."),
    Skipped("png of an unknown depth", _bytes(png(8, 8, depth=3)), "."),
    Skipped("png of an unknown colour type", _bytes(png(8, 8, colour=7)), "."),
    Skipped("16-bit png of an unknown colour type", _bytes(png(8, 8, depth=16, colour=7)), "."),
    Skipped("png of 50,000 x 50,000", _bytes(png(_BIG, _BIG)), "pixels"),
    Skipped("16-bit png of 50,000 x 50,000", _bytes(png(_BIG, _BIG, depth=16)), "pixels"),
    Skipped(
        "16-bit colour png of 50,000 x 50,000",
        _bytes(png(_BIG, _BIG, depth=16, colour=2)),
        "pixels",
    ),
    Skipped("png of 2^31 x 2^31", _bytes(png(2**31 - 1, 2**31 - 1)), "."),
    Skipped(
        "png that unpacks to 400 million pixels",
        _bytes(png(20_000, 20_000, depth=1, data=bytes(2501 * 20_000))),
        "pixels",
    ),
    Skipped("png with 80 MiB of text", _bytes(_text_bomb()), "."),
    Skipped("tiff of 50,000 x 50,000", _bytes(small_tiff(_BIG, _BIG)), "pixels", "bad.tif"),
    Skipped(
        "16-bit tiff of 50,000 x 50,000",
        _bytes(small_tiff(_BIG, _BIG, bits=16)),
        "pixels",
        "bad.tif",
    ),
    Skipped(
        "packed 16-bit tiff of 50,000 x 50,000",
        _bytes(small_tiff(_BIG, _BIG, bits=16, compression=8)),
        "pixels",
        "bad.tif",
    ),
    Skipped("tiff of 2^32 x 2^32", _bytes(small_tiff(2**32 - 1, 2**32 - 1)), ".", "bad.tif"),
    Skipped("tiff whose pages go in a circle", _bytes(_CIRCLE), "pixels", "bad.tif"),
    Skipped("tiff of no height", _bytes(small_tiff(8, 0)), ".", "bad.tif"),
    Skipped(
        "tiff whose pixels lie behind its end",
        _bytes(small_tiff(8, 1, offset=2**31)),
        ".",
        "bad.tif",
    ),
    Skipped(
        "16-bit tiff whose pixels lie behind its end",
        _bytes(small_tiff(4, 4, bits=16, offset=2**31, count=32)),
        ".",
        "bad.tif",
    ),
    Skipped("tiff of 65,535 samples", _bytes(small_tiff(8, 1, samples=65_535)), ".", "bad.tif"),
    Skipped("EXIF that is none", _bytes(packed("png", exif=b"Exif\0\0rubbish")), "not a TIFF"),
    Skipped(
        "a picture in PostScript called png",
        _bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"),
        "not an image",
    ),
    Skipped(
        "tiff of an unknown compression",
        _bytes(small_tiff(8, 1, compression=65_000)),
        ".",
        "bad.tif",
    ),
    Skipped(
        "16-bit tiff of an unknown compression",
        _bytes(small_tiff(4, 1, bits=16, compression=65_000)),
        ".",
        "bad.tif",
    ),
    Skipped(
        "tiff of floats", _bytes(tiff(np.ones((8, 8), np.float32))), "32-bit float32", "bad.tif"
    ),
    Skipped(
        "tiff of NaN",
        _bytes(tiff(np.full((8, 8), np.nan, np.float32))),
        "32-bit float32",
        "bad.tif",
    ),
    Skipped(
        "tiff of 32-bit numbers",
        _bytes(tiff(np.ones((8, 8), np.uint32))),
        "32-bit uint32",
        "bad.tif",
    ),
    Skipped(
        "tiff of signed 16-bit numbers",
        _bytes(tiff(np.ones((8, 8), np.int16))),
        "16-bit int16",
        "bad.tif",
    ),
    Skipped(
        "tiff of several pages",
        _bytes(tiff(np.ones((3, 8, 8), np.uint8), photometric="minisblack")),
        "several images",
        "bad.tif",
    ),
    Skipped(
        "bmp of 50,000 x 50,000",
        _bytes(WHOLE["bmp"][:18] + struct.pack("<ii", _BIG, _BIG) + WHOLE["bmp"][26:]),
        "pixels",
        "bad.bmp",
    ),
    Skipped(
        "bmp of negative width",
        _bytes(WHOLE["bmp"][:18] + struct.pack("<i", -8) + WHOLE["bmp"][22:]),
        ".",
        "bad.bmp",
    ),
    Skipped("animated png", _bytes(frames("PNG")), "several images"),
    Skipped("animated webp", _bytes(frames("WEBP")), "several images", "bad.webp"),
    Skipped("animated gif called png", _bytes(frames("GIF")), "several images"),
    Skipped("a link to nothing", lambda path: path.symlink_to("nothing.png"), "No such file"),
    Skipped("a link to itself", lambda path: path.symlink_to(path.name), "symbolic link"),
    Skipped("a name with a line break", _bytes(b""), "not an image", "bad\nname.png"),
    Skipped("a name with a tab", _bytes(b""), "not an image", "bad\tname.png"),
    Skipped("a name that is no Unicode", _bytes(b""), "not an image", "bad\udcff.png"),
    Skipped("a name with a terminal's escape", _bytes(b""), "not an image", "bad\x1b[2J.png"),
    Skipped("a name of markup", _bytes(b""), "not an image", "<script>alert(1)<&gt;.png"),
]
"""Each beside sound images of 8 x 8."""


def _unreadable(path: Path) -> None:
    path.write_bytes(WHOLE["png"])
    path.chmod(0)


if os.geteuid():  # the superuser reads every file
    SKIPPED.append(Skipped("a file that may not be read", _unreadable, "Permission denied"))
