"""Drawings as pixels."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.emoji import drawing
from twofold.simulation.emoji.drawing import Sheet, render, renderer
from twofold.simulation.emoji.packages import read_package

pytest.importorskip("resvg_py")


def drawn(tmp_path, pack_set, icon, size=16):
    """The picture `(size, size, 3)` of one icon."""
    (found,) = read_package(pack_set(tmp_path, "toy", {"a": icon})).drawings
    return np.moveaxis(render(Sheet(0, (found.svg,), size)).images[0], 0, -1)


def test_shapes_lie_where_they_are_drawn(tmp_path, pack_set):
    picture = drawn(tmp_path, pack_set, '<rect x="4" y="2" width="8" height="3" fill="#204060"/>')
    expected = np.full((16, 16, 3), 255, np.uint8)
    expected[2:5, 4:12] = 0x20, 0x40, 0x60
    np.testing.assert_array_equal(picture, expected)


def test_what_is_half_transparent_mixes_with_white(tmp_path, pack_set):
    body = '<rect width="16" height="16" fill="black" fill-opacity=".4"/>'
    assert np.abs(drawn(tmp_path, pack_set, body).astype(int) - 153).max() <= 1


def test_half_a_pixel_is_half_as_dark(tmp_path, pack_set):
    picture = drawn(tmp_path, pack_set, '<rect width="3.5" height="16" fill="black"/>')
    np.testing.assert_allclose(picture[:, 3], 127.5, atol=1)
    assert not picture[:, :3].any()
    assert (picture[:, 4:] == 255).all()


def test_an_oblong_drawing_is_fitted_into_the_middle(tmp_path, pack_set):
    icon = {"body": '<rect width="16" height="8" fill="red"/>', "height": 8}
    picture = drawn(tmp_path, pack_set, icon)
    assert (picture[4:12] == (255, 0, 0)).all()
    assert (picture[:4] == 255).all()
    assert (picture[12:] == 255).all()


def test_a_drawing_that_is_none_is_told():
    with pytest.raises(TwofoldError, match="drawing 8 cannot be read"):
        render(Sheet(7, ("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'/>", "<g"), 8))


def test_without_resvg_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(drawing, "RENDERER", "no-such-package")
    with pytest.raises(TwofoldError, match=r"pip install 'twofold\[emoji\]'"):
        renderer()
