import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional

from twofold.domains.image import decode as decode_module
from twofold.domains.image.decode import Header, decode, read_header
from twofold.errors import TwofoldError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 12), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 12, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (12, 12, 4)).astype(np.uint16)


def write_deep_png(path, pixels, transparent=None):
    """A 16-bit PNG `(height, width, channels)`, as no encoder here writes it."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + (b"" if transparent is None else chunk(b"tRNS", transparent.astype(">u2").tobytes()))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def decoded(path, channels=3, deep=False, size=12):
    """Pixels with the channels last, as they were written."""
    pixels = decode(path, size=size, channels=channels, deep=deep)
    assert pixels.dtype == (np.uint16 if deep else np.uint8)
    assert pixels.shape == (channels, size, size)
    return pixels.transpose(1, 2, 0)


def on_white(colour, alpha, white):
    opacity = alpha / white
    return colour * opacity + white * (1 - opacity)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bit_images_come_back_exactly(tmp_path, suffix, channels):
    pixels = GREY if channels == 1 else COLOUR
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    header = read_header(path)
    if suffix == ".webp":  # which knows no grey
        channels = 3
    assert header == Header(12, 12, channels, False)
    expected = pixels if pixels.ndim == 3 else pixels[..., None]
    assert np.array_equal(decoded(path, channels), np.broadcast_to(expected, (12, 12, channels)))
    assert np.array_equal(decoded(path, 3), np.broadcast_to(expected, (12, 12, 3)))
    assert np.array_equal(decoded(path, 3, deep=True), decoded(path, 3).astype(np.uint16) * 257)


def test_jpeg_grey_and_colour(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "grey.jpg", quality=100)
    Image.fromarray(COLOUR).save(tmp_path / "colour.jpg", quality=100, subsampling=0)
    assert read_header(tmp_path / "grey.jpg") == Header(12, 12, 1, False)
    assert read_header(tmp_path / "colour.jpg") == Header(12, 12, 3, False)
    assert np.abs(decoded(tmp_path / "grey.jpg", 1)[..., 0] - GREY.astype(int)).max() <= 3
    assert np.abs(decoded(tmp_path / "colour.jpg") - COLOUR.astype(int)).max() <= 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    alpha = RNG.integers(0, 256, (12, 12), dtype=np.uint8)
    pixels = GREY[..., None].repeat(3, 2) if mode == "LA" else COLOUR // 64 * 64
    image = Image.fromarray(np.dstack([pixels, alpha]))
    if mode == "PA":  # a palette with an alpha for each colour, as PNG stores it
        image = image.quantize(200)
        rgba = np.asarray(image.convert("RGBA"))
        pixels, alpha = rgba[..., :3], rgba[..., 3]
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.png")
    channels = 1 if mode == "LA" else 3
    assert read_header(tmp_path / "a.png").channels == channels
    expected = on_white(pixels[..., :channels], alpha[..., None], 255)
    assert np.abs(decoded(tmp_path / "a.png", channels) - expected).max() <= 1


def test_one_transparent_colour_is_white(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png", transparency=tuple(COLOUR[3, 4].tolist()))
    expected = COLOUR.copy()
    expected[3, 4] = 255
    assert np.array_equal(decoded(tmp_path / "a.png"), expected)
    Image.fromarray(GREY).save(tmp_path / "b.png", transparency=int(GREY[0, 0]))
    expected = GREY.copy()
    expected[GREY[0, 0] == GREY] = 255
    assert np.array_equal(decoded(tmp_path / "b.png", 1)[..., 0], expected)


def test_palettes_bilevel_and_cmyk(tmp_path):
    palette = Image.fromarray(COLOUR).quantize(256)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(decoded(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))
    bilevel = Image.fromarray(GREY).convert("1")
    bilevel.save(tmp_path / "bilevel.png")
    bilevel.save(tmp_path / "bilevel.tif", compression="group4")
    for name in ("bilevel.png", "bilevel.tif"):
        assert read_header(tmp_path / name).channels == 1
        assert np.array_equal(decoded(tmp_path / name, 1)[..., 0], np.asarray(bilevel) * 255)
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    cmyk.save(tmp_path / "cmyk.tif")
    assert read_header(tmp_path / "cmyk.tif") == Header(12, 12, 3, False)
    assert np.array_equal(decoded(tmp_path / "cmyk.tif"), np.asarray(cmyk.convert("RGB")))
    cmyk.save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    assert np.abs(decoded(tmp_path / "cmyk.jpg") - COLOUR.astype(int)).max() <= 8


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_png(tmp_path, channels):
    pixels = DEEP[..., :channels]
    write_deep_png(tmp_path / "a.png", pixels)
    opaque = 1 if channels < 3 else 3
    assert read_header(tmp_path / "a.png") == Header(12, 12, opaque, True)
    found = decoded(tmp_path / "a.png", opaque, deep=True)
    if channels in (1, 3):
        assert np.array_equal(found, pixels)
    else:
        expected = on_white(pixels[..., :opaque], pixels[..., -1:].astype(float), 65535)
        assert np.abs(found - expected).max() <= 0.51


def test_one_transparent_colour_of_deep_png_is_white(tmp_path):
    pixels = DEEP[..., :3].copy()
    write_deep_png(tmp_path / "a.png", pixels, transparent=pixels[5, 6])
    pixels[5, 6] = 65535
    assert np.array_equal(decoded(tmp_path / "a.png", 3, deep=True), pixels)


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (DEEP[..., 0], {}, DEEP[..., :1]),
        (DEEP[..., 0], {"compression": "zlib"}, DEEP[..., :1]),
        (DEEP[..., 0], {"photometric": "miniswhite"}, 65535 - DEEP[..., :1]),
        (DEEP[..., 0], {"byteorder": ">"}, DEEP[..., :1]),
        (DEEP[..., 0], {"bigtiff": True}, DEEP[..., :1]),
        (DEEP[..., :3], {"photometric": "rgb"}, DEEP[..., :3]),
        (
            DEEP[..., :3].transpose(2, 0, 1),
            {"photometric": "rgb", "planarconfig": "separate"},
            DEEP[..., :3],
        ),
        (DEEP, {"photometric": "rgb", "extrasamples": ["unspecified"]}, DEEP),
        (DEEP, {"photometric": "minisblack", "planarconfig": "contig"}, DEEP),
        (
            DEEP[..., :2].transpose(2, 0, 1),
            {"imagej": True, "metadata": {"axes": "CYX"}},
            DEEP[..., :2],
        ),
        (
            (DEEP >> 8).astype(np.uint8),
            {"photometric": "rgb", "extrasamples": ["unspecified"]},
            (DEEP >> 8).astype(np.uint8),
        ),
    ],
)
def test_tiff_of_any_depth_and_number_of_channels(tmp_path, pixels, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    channels, deep = expected.shape[2], expected.dtype == np.uint16
    assert read_header(tmp_path / "a.tif") == Header(12, 12, channels, deep)
    assert np.array_equal(decoded(tmp_path / "a.tif", channels, deep=deep), expected)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_transparency_of_deep_tiff(tmp_path, kind):
    colour, alpha = DEEP[..., :3].astype(float), DEEP[..., 3:].astype(float)
    stored = DEEP.copy()
    if kind == "assocalpha":
        stored[..., :3] = np.round(colour * alpha / 65535)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[kind])
    assert read_header(tmp_path / "a.tif").channels == 3
    found = decoded(tmp_path / "a.tif", 3, deep=True)
    assert np.abs(found - on_white(colour, alpha, 65535)).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "packbits"])
def test_compressed_eight_bit_tiff(tmp_path, compression):
    Image.fromarray(COLOUR).save(tmp_path / "a.tif", compression=compression)
    assert read_header(tmp_path / "a.tif") == Header(12, 12, 3, False)
    tolerance = 40 if compression == "jpeg" else 0  # whose colours have half the resolution
    error = np.abs(decoded(tmp_path / "a.tif") - COLOUR.astype(int))
    assert np.median(error) <= tolerance


@pytest.mark.parametrize("dtype", ["f4", "i2", "u4", "f8"])
def test_tiff_of_other_types_is_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype))
    with pytest.raises(TwofoldError, match="8 and 16 bits are read"):
        read_header(tmp_path / "a.tif")


def test_tiff_of_several_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY] * 7), photometric="minisblack")
    with pytest.raises(TwofoldError, match=r"several images in one file \(axes QYX\)"):
        read_header(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_does(tmp_path, orientation):
    """A square, so that no cropping hides a wrong turn."""
    image = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(decoded(tmp_path / "a.png"), expected)
    tag = ("Orientation", "H", 1, orientation, True)
    deep = COLOUR.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", extratags=[tag])
    assert np.array_equal(decoded(tmp_path / "deep.tif", deep=True), expected.astype(int) * 257)
    tifffile.imwrite(tmp_path / "a.tif", COLOUR, photometric="rgb", extratags=[tag])
    assert np.array_equal(decoded(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("shape", [(40, 40), (64, 90), (90, 64), (7, 31), (32, 50), (33, 63)])
@pytest.mark.parametrize("deep", [False, True])
def test_scaling_is_antialiased_and_keeps_the_middle(tmp_path, shape, deep):
    smooth = RNG.random((1, 3, 8, 8))
    image = functional.resize(torch.from_numpy(smooth), list(shape)).clamp(0, 1)[0]
    white = 65535 if deep else 255
    pixels = (image * white).round().permute(1, 2, 0).numpy()
    path = tmp_path / "a.png"
    if deep:
        write_deep_png(path, pixels.astype(np.uint16))
    else:
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    side = min(shape)
    square = functional.center_crop(torch.from_numpy(pixels).permute(2, 0, 1), [side, side])
    expected = functional.resize(square, [32, 32], antialias=True)
    found = decoded(path, 3, deep=deep, size=32).transpose(2, 0, 1) / white
    # torchvision's square, once cropped, knows no pixel beyond its edge: the rim may differ
    rim = 1 + -(-32 // side)
    inner = np.s_[:, rim:-rim, rim:-rim]
    assert np.abs(found[inner] - expected.numpy()[inner] / white).max() < 1.01 / 255


def test_cropping_alone_changes_no_pixel(tmp_path):
    pixels = RNG.integers(0, 256, (12, 19, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(decoded(tmp_path / "a.png"), pixels[:, 3:15])


def test_big_jpegs_are_decoded_at_reduced_size(tmp_path, monkeypatch):
    smooth = functional.resize(torch.from_numpy(RNG.random((1, 3, 6, 8))), [600, 800])[0]
    pixels = (smooth.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sizes = []
    square = decode_module._square
    monkeypatch.setattr(
        decode_module,
        "_square",
        lambda image, size: sizes.append(image.size) or square(image, size),
    )
    reduced = decoded(tmp_path / "a.jpg", size=64).astype(int)
    exact = decoded(tmp_path / "a.png", size=64).astype(int)
    assert sizes == [(200, 150), (800, 600)]
    assert np.abs(reduced - exact).mean() < 1


def test_a_file_is_told_by_its_content_not_its_name(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "deep.png", DEEP[..., 0])
    assert np.array_equal(decoded(tmp_path / "a.jpg"), COLOUR)
    assert read_header(tmp_path / "deep.png").deep


def test_an_image_of_other_channels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="minisblack", planarconfig="contig")
    with pytest.raises(TwofoldError, match="4 channels; 3 were expected"):
        decode(tmp_path / "a.tif", size=12, channels=3, deep=True)
