import base64
import io

import numpy as np
import pytest
from PIL import Image

from twofold.report.pictures import Scale, data_uri, displayable, scale_of, shrink, sprite


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0), (np.bool_, True)]
)
def test_black_and_white_are_the_ends_of_the_type(dtype, white):
    items = np.zeros((1, 1, 2, 2), dtype)
    items[0, 0, 0, 0] = white
    assert displayable(items).tolist() == [[[255, 0], [0, 0]]]


def test_floats_beyond_one_use_their_own_range_and_nan_is_shown_as_zero():
    items = np.array([[-3.0, 0.0], [1.0, np.nan]]).reshape(1, 1, 2, 2)
    assert displayable(items).tolist() == [[[0, 191], [255, 191]]]


def test_three_channels_are_colours_and_order_is_kept():
    items = np.arange(24, dtype=np.uint8).reshape(1, 6, 2, 2)
    assert displayable(items)[0, 0, 0].tolist() == [0, 4, 8]


def test_twelve_bit_values_in_sixteen_are_brightened_and_it_is_said():
    items = np.full((1, 1, 2, 2), 4095, np.uint16)
    scale = scale_of(items)
    assert displayable(items, scale).min() == 255
    assert displayable(items).max() == 16
    assert "16 times brighter" in scale.note


def test_constant_items_can_be_shown():
    assert displayable(np.zeros((1, 1, 2, 2), np.uint8)).max() == 0
    assert displayable(np.full((1, 1, 2, 2), -4.0)).max() == 0


def test_the_sprite_holds_every_picture_in_order():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    sheet = np.asarray(sprite(pictures, columns=2))
    assert sheet.shape == (6, 6, 3)
    assert sheet[::2, ::3, 0].tolist() == [[0, 1], [2, 3], [4, 0]]


def test_the_address_decodes_to_the_same_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    kind, content = data_uri(Image.fromarray(picture)).split(",")
    assert kind == "data:image/png;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))) == picture).all()


def test_what_is_too_large_is_compressed_to_the_budget():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    uri = data_uri(shrink(picture, 64), budget=6_000)
    assert uri.startswith("data:image/jpeg")
    assert len(uri) < 8_100


def test_shrinking_keeps_the_aspect_and_leaves_small_pictures_alone():
    assert shrink(np.zeros((100, 50), np.uint8), 40).size == (20, 40)
    assert shrink(np.zeros((10, 5), np.uint8), 40).size == (5, 10)


def test_a_given_scale_is_used():
    items = np.full((1, 1, 1, 1), 5.0)
    assert displayable(items, Scale(0, 10)).item() == 128
