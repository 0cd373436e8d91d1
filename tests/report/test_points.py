"""Points in a chart lie where their numbers say, in the colour of their rank."""

import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import rankdata

from twofold.report.charts import SHADES
from twofold.report.points import Shading, by_rank, point_chart, rank_shares

LABELS = {"x_label": "q <m>", "y_label": "p", "description": "It <rises>."}


def drawn(svg):
    """Places of the points by the colour that they have, in pixels."""
    found = {}
    for path, style in re.findall(r'<path d="(M [^"]*)"[^>]*style="([^"]*)"', svg):
        if "stroke-linecap: round" in style:
            points = re.findall(r"M (\S+) (\S+) L \1 \2(?= |$)", path)
            assert len(points) == path.count("M")
            colour = re.search(r"stroke: (var\(--\w+\))", style)[1]
            found[colour] = np.array(points, float)
    return found


def assert_same_places(pixels, places):
    """Pixels are the places but for the units of the axes, upside down."""
    scale = np.ptp(pixels, axis=0) / np.ptp(places, axis=0) * [1, -1]
    offset = pixels - scale * places
    assert np.ptp(offset, axis=0) == pytest.approx([0, 0], abs=0.03)


def test_points_lie_where_they_are():
    x, y = np.random.default_rng(0).normal(size=(2, 1500))
    svg = point_chart(x, y, **LABELS)
    points = drawn(svg)
    assert_same_places(points.pop("var(--accent)"), np.stack([x, y], axis=1))
    assert not points
    assert len(svg) < 1500 * 40
    assert "It &lt;rises&gt;." in svg
    assert not re.search(r"#[0-9a-fA-F]{6}|<m>", svg)


def test_each_colour_is_of_as_many_points_from_the_least_to_the_most():
    values = np.random.default_rng(1).normal(size=1200) ** 3
    x = np.arange(1200.0)
    points = drawn(point_chart(x, values, shading=by_rank("cube", values), **LABELS))
    assert list(points) == list(SHADES.values())
    assert {len(places) for places in points.values()} == {100}
    heights = [places[:, 1] for places in points.values()]  # counted from the top
    assert all(low.min() >= high.max() for low, high in pairwise(heights))
    order = np.argsort(values, kind="stable")
    for part, colour in zip(np.split(order, 12), points, strict=True):
        assert_same_places(points[colour], np.stack([x, values], axis=1)[np.sort(part)])


def test_a_scale_tells_quantiles_and_its_name():
    shading = by_rank("energy $ <J>", np.array([1.0, 2.0, 3.0, 4.0, -5.0]))
    assert shading.ticks == {0.0: "−5.00", 0.25: "1.00", 0.5: "2.00", 0.75: "3.00", 1.0: "4.00"}
    svg = point_chart(np.arange(5.0), np.arange(5.0), shading=shading, **LABELS)
    assert ">energy $ &lt;J&gt;<" in svg
    heights = [
        float(re.search(rf' y="([\d.]+)"[^>]*>{tick}<', svg)[1]) for tick in shading.ticks.values()
    ]
    assert np.diff(heights) == pytest.approx([np.diff(heights).mean()] * 4, abs=0.02)
    assert heights[0] > heights[-1]


def test_ranks_with_ties_are_those_of_scipy():
    values = np.random.default_rng(2).integers(0, 9, 50).astype(float)
    np.testing.assert_allclose(49 * rank_shares(values) + 1, rankdata(values))
    assert rank_shares(np.array([7.0])).tolist() == [0]


def test_a_line_lies_on_top_and_does_not_move_the_points():
    x = np.linspace(0, 1, 30)
    alone = drawn(point_chart(x, x**2, **LABELS))["var(--accent)"]
    svg = point_chart(x, x**2, line=(np.array([0.0, 9.0]), np.array([0.0, 9.0])), **LABELS)
    np.testing.assert_array_equal(drawn(svg)["var(--accent)"], alone)
    assert svg.index("var(--accent)") < svg.index("var(--ink)")


@pytest.mark.parametrize("count", [1, 5])
def test_points_that_are_all_the_same_can_be_drawn(count):
    same = np.full(count, 2.5)
    shading = Shading("epoch", np.zeros(count), {0.0: "1"})
    points = drawn(point_chart(same, same, shading=shading, **LABELS))
    assert {name: len(places) for name, places in points.items()} == {"var(--s0)": count}
