"""Folders of images: those that no command opens, and those that only look odd."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from malformed import Kept, Refused
from malformed_images import DEEP_PNG, GREY, RGB, WHOLE, exif, packed, small_tiff, tiff
from PIL import Image


def _many(at: Path, files: dict[str, bytes]) -> None:
    for name, contents in files.items():
        path = at / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def _folder(**files: bytes):
    """What writes files, whose names have `__` for the slash and `_` for the dot."""
    named = {name.replace("__", "/").replace("_", "."): held for name, held in files.items()}
    return lambda at: ((at / "images").mkdir(), _many(at, named))


def _bad_names(at: Path) -> None:
    _many(at, {f"a\n{number}\x1b[31m.png": b"" for number in range(2)})


def _refused(name: str, write, words: str, data: str = "images", **how: str) -> Refused:
    return Refused(name, write, words, data, **how)


REFUSED = [
    _refused("a folder that holds nothing", _folder(), "holds no .*; it is empty"),
    _refused(
        "a folder of other files", _folder(a_txt=b"x", b_gif=b"GIF89a"), "only 2 others such as"
    ),
    _refused(
        "a folder of hidden files",
        lambda at: _many(at, {".a.png": b"", ".b/c.png": b""}),
        "it is empty",
    ),
    _refused(
        "a folder of bad files",
        _folder(a_png=b"", b_jpg=b"x"),
        "no image in folder .* can be read: a.png \\(not an image\\)",
    ),
    _refused(
        "more bad files than allowed",
        _folder(a_png=b"", b_png=WHOLE["png"], c_png=WHOLE["png"]),
        "1 of 3 images .* cannot be read, more than max_bad=0.05 allows: a.png",
    ),
    _refused("bad files of names with line breaks", _bad_names, r"a\\n0\\x1b\[31m.png"),
    _refused(
        "a training folder that cannot be read",
        _folder(train__a_png=b"", test__b_png=WHOLE["png"]),
        "cannot be read, more than max_bad",
    ),
    _refused(
        "images of 3 and of 5 channels",
        _folder(
            a_png=packed("png", RGB),
            b_tif=tiff(
                np.zeros((8, 8, 5), np.uint16), photometric="minisblack", planarconfig="contig"
            ),
        ),
        "need the same channels, but 'a.png' has 3, 'b.tif' has 5",
    ),
    _refused("one image", _folder(a_png=WHOLE["png"]), "one item; a split needs at least two"),
    _refused(
        "an image in place of a folder",
        _folder(a_png=WHOLE["png"]),
        "is a single image; give the folder",
        "images/a.png",
    ),
    _refused(
        "a pipe in place of a folder",
        lambda at: os.mkfifo(at / "images"),
        "is not a folder of images",
    ),
    _refused(
        "a link to itself in place of a folder",
        lambda at: (at / "images").symlink_to("images"),
        "images.*(does not exist|symbolic)",
    ),
    _refused(
        "a text in place of a folder",
        lambda at: (at / "images").write_text("x"),
        "is not a folder of images",
    ),
    _refused(
        "a folder that does not exist",
        lambda at: (at / "imagesx").mkdir(),
        "does not exist; did you mean .*imagesx",
    ),
    _refused(
        "a size of 0 pixels",
        _folder(a_png=WHOLE["png"]),
        "image_size is 0; it must be at least",
        command="preview simclr --data {data} --image-size 0 --out {at}/v.png",
    ),
    _refused(
        "labels by name of a folder",
        _folder(a_png=WHOLE["png"]),
        "label_key is 'y', but only .* hold arrays by name",
        command="preview simclr --data {data} --label-key y --out {at}/v.png",
    ),
]


def _kept(pixels: np.ndarray, files: dict[str, bytes]):
    """What writes files that are all read as the same pixels."""

    def write(at: Path) -> dict[str, np.ndarray]:
        _many(at, files)
        return dict.fromkeys(files, pixels)

    return write


def _looped(at: Path) -> dict[str, np.ndarray]:
    _many(at, {"a/1.png": WHOLE["png"], "b/2.png": WHOLE["png"]})
    (at / "images" / "a" / "up").symlink_to("..")
    (at / "images" / "a" / "again").symlink_to(".")
    return {"a/1.png": GREY[None], "b/2.png": GREY[None]}


def _with_pipes(at: Path) -> dict[str, np.ndarray]:
    _many(at, {"a.png": WHOLE["png"], "b.png": WHOLE["png"]})
    os.mkfifo(at / "images" / "c.png")
    (at / "images" / "d.png").symlink_to("/dev/zero")
    return {"a.png": GREY[None], "b.png": GREY[None]}


def _two(contents: bytes, suffix: str = "png") -> dict[str, bytes]:
    return {f"a.{suffix}": contents, f"b.{suffix}": contents}


_NAMES = (
    "naïve-日本.png",
    "a\nb.png",
    "a\tb.png",
    "\udcff.png",
    "-a.png",
    "a b'\".png",
    "\x1b[2J.png",
    "n" * 250 + ".png",
    "<script>.png",
)
_PALETTE = Image.fromarray(RGB).quantize(64)
_STRIPES = np.broadcast_to(np.array([[0, 255] * 4], np.uint8), (8, 8)).copy()


def _saved(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


_INK = Image.new("CMYK", (8, 8), (0, 0, 0, 255))
_CLEAR = np.dstack([GREY, np.zeros_like(GREY)])

KEPT = [
    Kept("names of every kind", _kept(GREY[None], dict.fromkeys(_NAMES, WHOLE["png"])), "images"),
    Kept("links that go round", _looped, "images"),
    Kept(
        "a jpg called png",
        _kept(np.full((1, 8, 8), 77, np.uint8), _two(packed("jpg", np.full((8, 8), 77, np.uint8)))),
        "images",
    ),
    Kept("a tiff called jpg", _kept(GREY[None], _two(WHOLE["tif"], "jpg")), "images"),
    Kept("a png called tif", _kept(GREY[None], _two(WHOLE["png"], "tif")), "images"),
    Kept("endings in capitals", _kept(GREY[None], _two(WHOLE["png"], "PNG")), "images"),
    Kept(
        "an orientation that there is none of",
        _kept(GREY[None], _two(exif(3, b"\x63\0\0\0"))),
        "images",
    ),
    Kept("an orientation of words", _kept(GREY[None], _two(exif(2, b"up\0\0"))), "images"),
    Kept(
        "an image on its side",
        _kept(np.rot90(GREY, -1)[None], _two(exif(3, b"\6\0\0\0"))),
        "images",
    ),
    Kept(
        "a tiff whose pages go round",
        _kept(np.zeros((1, 96, 96), np.uint8), _two(small_tiff(8, 1, next=16), "tif")),
        "images",
    ),
    Kept("pipes and devices among images", _with_pipes, "images"),
    Kept(
        "a palette",
        _kept(np.moveaxis(np.asarray(_PALETTE.convert("RGB")), 2, 0), _two(_saved(_PALETTE))),
        "images",
    ),
    Kept(
        "one bit",
        _kept(_STRIPES[None], _two(_saved(Image.fromarray(_STRIPES).convert("1")))),
        "images",
    ),
    Kept(
        "four inks",
        _kept(np.zeros((3, 8, 8), np.uint8), _two(_saved(_INK, "TIFF"), "tif")),
        "images",
    ),
    Kept(
        "pixels that cannot be seen",
        _kept(np.full((1, 8, 8), 255, np.uint8), _two(packed("png", _CLEAR))),
        "images",
    ),
    Kept("16 bits", _kept(GREY[None].astype(np.uint16) * 257, _two(DEEP_PNG)), "images"),
    Kept(
        "16 bits beside 8",
        _kept(GREY[None].astype(np.uint16) * 257, {"a.png": DEEP_PNG, "b.png": WHOLE["png"]}),
        "images",
    ),
    Kept(
        "grey beside colour",
        _kept(
            np.stack([GREY] * 3),
            {"a.png": packed("png", np.stack([GREY] * 3, axis=2)), "b.png": WHOLE["png"]},
        ),
        "images",
    ),
    Kept(
        "rubbish behind the end",
        _kept(GREY[None], _two(WHOLE["png"] + b"<script>" * 99)),
        "images",
    ),
    Kept("other files among images", _kept(GREY[None], _two(WHOLE["png"])), "images"),
]
"""Each a folder that is read whole."""
