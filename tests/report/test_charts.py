import base64
import io
import re

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from twofold.report.charts import Curve, Level, _looks, _thinned, heat_map, line_chart


def chart(curve, levels=(), **options):
    return str(
        line_chart(
            curve, levels, x_label="epoch", y_label="y", description="It <falls>.", **options
        )
    )


def test_colours_come_from_the_page_alone():
    x = np.arange(50.0)
    svg = chart(
        Curve("c", x, x, low=x - 1, high=x + 1, smooth=True), [Level("chance", x, x + 3)], wide=True
    )
    assert not re.search(r"#[0-9a-fA-F]{6}", svg)
    assert {"var(--accent)", "var(--muted)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "font-family" not in svg
    assert svg.count("<svg") == svg.count("</svg>") == 2


def test_several_curves_differ_in_colour_and_are_named_in_it():
    x = np.arange(5.0)
    svg = chart([Curve(f"run {i}", x, x + i) for i in range(3)])
    named = re.findall(r"<text[^>]*fill: (var\(--\w+\))[^>]*>(run \d)</text>", svg)
    assert sorted(named, key=lambda pair: pair[1]) == [
        (f"var(--c{i})", f"run {i}") for i in range(3)
    ]
    assert not re.search(r"#[0-9a-fA-F]{6}", svg)
    assert "var(--accent)" not in svg


def test_more_curves_than_colours_still_look_different():
    x = np.arange(5.0)
    looks = _looks([Curve(str(i), x, x) for i in range(25)])
    assert len(set(looks)) == 25
    assert [colour for colour, _ in looks[:10]] == [colour for colour, _ in looks[10:20]]


def test_ids_of_two_charts_do_not_clash_and_all_references_hold():
    x = np.arange(50.0)
    svgs = [chart(Curve("c", x, values, points=True)) for values in (x, 2 * x)]
    ids = [set(re.findall(r'\sid="([^"]+)"', svg)) for svg in svgs]
    assert not ids[0] & ids[1]
    for svg, own in zip(svgs, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)) <= {
            pair for name in own for pair in ((name, ""), ("", name))
        }


def test_words_are_escaped():
    svg = chart(Curve("<b>loss</b>", np.arange(3.0), np.arange(3.0)))
    assert 'aria-label="It &lt;falls&gt;."' in svg
    assert "<b>" not in svg


def test_numbers_that_are_read_keep_their_digits():
    x = np.arange(3.0)
    svg = chart(Curve("now 0.21345", x, x / 7), [Level("chance 0.69315", x, x)])
    assert ">now 0.21345<" in svg
    assert ">chance 0.69315<" in svg
    assert not re.search(r" [xy]=\"\d+\.\d{3}", svg)


def test_names_of_lines_that_meet_stay_apart():
    x = np.arange(3.0)
    levels = [Level(f"level {i}", x, np.full(3, 1 + 1e-4 * i)) for i in range(3)]
    svg = chart(Curve("curve", x, np.array([0.0, 0.5, 1.0])), levels)
    heights = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(?:level \d|curve)</text>', svg)
    assert len(heights) == 4
    assert np.diff(sorted(map(float, heights))).min() > 12


@pytest.mark.parametrize("values", [np.full(5, np.nan), np.array([1.0]), np.array([np.nan, 2.0])])
def test_gaps_and_single_points_can_be_drawn(values):
    assert "<svg" in chart(Curve("c", np.arange(float(len(values))), values, smooth=True))


def test_thinning_keeps_the_mean():
    x, y = np.arange(4000.0), np.random.default_rng(0).normal(size=4000)
    few_x, few_y = _thinned(x, y)
    assert len(few_x) == 400
    assert few_x.mean() == pytest.approx(x.mean())
    assert few_y.mean() == pytest.approx(y.mean())


def colours_of(values, signed):
    """The map's own pixels, and its drawing."""
    how = {"x_label": "x", "y_label": "y", "description": "It <glows>."}
    svg = str(heat_map(np.array(values), reach=2.0, signed=signed, **how))
    content, *_ = re.findall(r'<image[^>]*base64,([^"]+)"', svg)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"), int), svg


def test_a_map_tells_powers_of_ten_by_colour_the_first_row_lowest():
    pixels, svg = colours_of([[2.0, 2e-9], [0.2, 0.0]], signed=False)
    assert not re.search(r"#[0-9a-fA-F]{6}", svg)
    assert 'aria-label="It &lt;glows&gt;."' in svg
    assert re.search(r'transform="matrix\(\S+ 0 0 -', svg)  # upside down: row 0 is lowest
    expected = [
        [colormaps["inferno"](share)[:3] for share in row] for row in ((1.0, 0.0), (0.75, 0.0))
    ]
    np.testing.assert_allclose(pixels, 255 * np.array(expected), atol=4)


def test_amounts_of_both_signs_have_colours_of_their_own():
    (row,), _ = colours_of([[2.0, -2.0, 0.0, 0.3, -0.3]], signed=True)
    ends = [colormaps["RdBu_r"](share)[:3] for share in (1.0, 0.0, 0.5)]
    np.testing.assert_allclose(row[:3], 255 * np.array(ends), atol=4)
    (more, _, _), (less, _, _) = row[3:]
    assert more > 150 > less
