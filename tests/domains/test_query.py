import numpy as np
import pytest
from PIL import Image

from twofold.domains.query import read_query
from twofold.errors import TwofoldError
from twofold.preprocess import measure

GREY = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)


def image(folder, pixels, name="query.png"):
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def array(folder, values, name="query.npy"):
    np.save(folder / name, values)
    return folder / name


def test_an_image_becomes_an_item_as_it_was_trained_on(tmp_path):
    grey = image(tmp_path, GREY[0, 0])
    assert np.array_equal(read_query(grey, measure(GREY)), GREY[:1])
    assert np.array_equal(read_query(grey, measure(COLOUR)), np.repeat(GREY[:1], 3, axis=1))
    deep = read_query(grey, measure(GREY.astype(np.uint16)))
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, GREY[:1].astype(np.uint16) * 257)
    unit = read_query(grey, measure((GREY / 255).astype(np.float32)))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, GREY[:1] / 255, rtol=1e-6)


def test_an_image_of_another_shape_is_scaled_to_its_central_square(tmp_path):
    wide = np.zeros((16, 40), np.uint8)
    wide[:, 12:28] = 200
    found = read_query(image(tmp_path, wide), measure(GREY))
    assert found.shape == (1, 1, 8, 8)
    assert (found[..., 1:-1] == 200).all()


def test_an_array_holds_one_item_or_several(tmp_path):
    for values in (GREY[0, 0], GREY[0], GREY[:1]):
        assert np.array_equal(read_query(array(tmp_path, values), measure(GREY)), GREY[:1])
    assert np.array_equal(read_query(array(tmp_path, GREY[:, 0]), measure(GREY)), GREY)
    for values in (COLOUR[0], np.moveaxis(COLOUR[0], 0, 2), COLOUR[:1]):
        assert np.array_equal(read_query(array(tmp_path, values), measure(COLOUR)), COLOUR[:1])
    assert np.array_equal(read_query(array(tmp_path, COLOUR), measure(COLOUR)), COLOUR)


def test_what_is_no_query_is_refused_in_one_line(tmp_path):
    grey, floats = measure(GREY), measure(GREY.astype(np.float32) - 7)
    (tmp_path / "broken.jpg").write_text("no image")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.npy").write_text("no array")
    colour = image(tmp_path, np.moveaxis(COLOUR[0], 0, 2), "colour.png")
    for path, preprocess, words in (
        (colour, grey, "no query to this encoder of 1 channel: 3 channels; 1 were expected"),
        (tmp_path / "broken.jpg", grey, "not an image"),
        (tmp_path / "broken.npy", grey, "broken.npy"),
        (tmp_path / "notes.txt", grey, "must be an image (.jpg,"),
        (tmp_path / "colour.pgn", grey, "is no file; did you mean"),
        (tmp_path, grey, "is no file"),
        (image(tmp_path, GREY[0, 0]), floats, "give the query as a .npy file"),
        (array(tmp_path, COLOUR), grey, "this encoder reads (n, 1, height, width)"),
        (array(tmp_path, GREY.astype(np.int64) + 300, "int.npy"), grey, "was trained on uint8"),
    ):
        with pytest.raises(TwofoldError) as caught:
            read_query(path, preprocess)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
