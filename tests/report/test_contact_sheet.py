import numpy as np
import pytest
from fabricated_run import make_data, make_views
from PIL import Image

from twofold.errors import TwofoldError
from twofold.report import contact_sheet, preview
from twofold.report.contact_sheet import _CAPTION, _font, _wrapped, prescription_lines, spread

CELL, MARGIN, GAP = 168, 40, 20


def test_pixels_stay_what_they_are():
    items = np.zeros((1, 3, 28, 28), np.uint8)
    items[0, :, 0, 0] = (250, 10, 20)
    view = items[:, :, ::-1]
    sheet = np.asarray(contact_sheet(items, [view], [[""]]))
    # Six-fold enlargement: the first pixel covers 6 by 6, without its frame 5 by 5.
    block = sheet[MARGIN + 1 : MARGIN + 6, MARGIN + 1 : MARGIN + 6]
    assert (block == (250, 10, 20)).all()
    left = MARGIN + CELL + GAP
    turned = sheet[MARGIN + CELL - 6 : MARGIN + CELL - 1, left + 1 : left + 6]
    assert (turned == (250, 10, 20)).all()


def test_captions_are_drawn_below_their_view():
    items = np.zeros((1, 1, 28, 28), np.uint8)
    plain = np.asarray(contact_sheet(items, [items, items], [[""], [""]]))
    told = np.asarray(contact_sheet(items, [items, items], [[""], ["rot 90°"]]))
    rows, columns = np.nonzero((plain[: len(told)] != told[: len(plain)]).any(axis=2))
    assert rows.min() >= MARGIN + CELL
    assert columns.min() >= MARGIN + 2 * (CELL + GAP)


def test_captions_break_between_parts_and_fit():
    text = "crop 43 %  rot 90°  brightness ×1.20  an_unusually_long_name with several words in it"
    lines = _wrapped(text, _CAPTION, CELL)
    assert " ".join(lines).split() == text.split()
    assert all(_font(_CAPTION).getlength(line) <= CELL for line in lines)
    assert any(line.startswith("brightness ×1.20") for line in lines)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 12, 20), (3, 96, 96), (5, 300, 200)])
def test_any_shape_fits(shape):
    items = np.random.default_rng(0).random((2, *shape), np.float32)
    sheet = contact_sheet(items, [items], [["a", "b"]], names=["x", "y"], title="T", notes=["n"])
    assert sheet.width == 2 * MARGIN + 2 * CELL + GAP


@pytest.mark.parametrize(
    ("views", "captions", "options", "finding"),
    [
        ([2], [], {}, "1 views need as many captions; got 0"),
        ([3], [["a", "b"]], {}, "every view and caption needs 2 rows"),
        ([2], [["a"]], {}, "every view and caption needs 2 rows"),
        ([2], [["a", "b"]], {"headings": ["one"]}, "2 columns need as many headings; got 1"),
    ],
)
def test_what_does_not_agree_is_refused(views, captions, options, finding):
    columns = [np.zeros((n, 1, 4, 4), np.uint8) for n in views]
    with pytest.raises(TwofoldError, match=finding):
        contact_sheet(np.zeros((2, 1, 4, 4), np.uint8), columns, captions, **options)


def test_no_items_are_refused():
    with pytest.raises(TwofoldError, match="at least one item"):
        contact_sheet(np.zeros((0, 1, 4, 4)), [], [])


def test_spread_takes_classes_in_turn():
    labels = np.array([0] * 50 + [1] * 5 + [2])
    chosen = spread(labels, len(labels), 8, seed=3)
    assert labels[chosen].tolist() == [0, 1, 2, 0, 1, 0, 1, 0]
    assert len(set(chosen)) == 8
    assert sorted(spread(None, 4, 9, seed=0)) == [0, 1, 2, 3]


def test_preview_writes_a_picture(tmp_path, data):
    out = preview(data, make_views(data), tmp_path / "new" / "views.png", rows=3, epochs=2)
    with Image.open(out) as sheet:
        assert sheet.width == 2 * MARGIN + 5 * CELL + 4 * GAP
    again = preview(data.train, make_views(data), tmp_path / "again.png", rows=3, epochs=2)
    assert out.read_bytes() == again.read_bytes()
    with pytest.raises(TwofoldError, match="at least 1"):
        preview(data, make_views(data), out, rows=0)


def test_what_has_no_effect_is_said(data):
    lines = prescription_lines(make_views(data))
    assert lines == [
        "invariant: crop",
        "sensitive: flip",
        "without effect on items of 1 channel: hue",
    ]
    colour = make_data(channels=3)
    assert prescription_lines(make_views(colour))[0] == "invariant: crop, hue"
