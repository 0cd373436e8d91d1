"""What is drawn: every figure of the rows is in the picture, and nothing that they do not hold."""

import re
from collections import Counter

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from twofold.evaluate import wilson
from twofold.studies.figure import _curve, write_figure
from twofold.studies.result import Row, Study


def row(share, **values):
    figure = None if share is None else {"value": share, "ci95": wilson(1, 2), "n": 2}
    return Row(values, {"linear": (figure,), "knn": (figure,)})


def study(folder, rows):
    return Study(folder, "simclr on toys", "10 items", (0,), tuple(rows))


def texts(folder):
    return Counter(re.findall(r"<text[^>]*>([^<]*)</text>", (folder / "figure.svg").read_text()))


def test_two_fields_are_a_heat_map_with_its_figures(tmp_path):
    shares = {(a, b): (10 * i + j) / 100 for i, a in enumerate("xyz") for j, b in enumerate((1, 2))}
    rows = [row(share, letter=a, number=b) for (a, b), share in shares.items()]
    assert write_figure(study(tmp_path, rows)) is None
    shown = texts(tmp_path)
    assert {f"{100 * share:.1f}" for share in shares.values()} <= set(shown)
    assert {"x", "y", "z", "1", "2", "letter", "number"} <= set(shown)
    with Image.open(tmp_path / "figure.png") as picture:
        assert min(picture.size) > 300


def test_further_fields_are_panels(tmp_path):
    rows = [
        row((a + b + c) / 10, a=a, b=b, c=c, same=7) for a in (0, 1) for b in (0, 1) for c in (1, 2)
    ]
    assert write_figure(study(tmp_path, rows)) is None
    assert {"c 1", "c 2"} <= set(texts(tmp_path))


@pytest.mark.parametrize(("panels", "drawn"), [(9, True), (10, False)])
def test_too_many_panels_are_left_to_the_table(tmp_path, panels, drawn):
    rows = [row(0.5, a=a, b=b, c=c) for a in (0, 1) for b in (0, 1) for c in range(panels)]
    sentence = write_figure(study(tmp_path, rows))
    assert (sentence is None) == drawn == (tmp_path / "figure.svg").exists()
    assert drawn or "10 heat maps are too many" in sentence


def test_one_combination_makes_no_figure(tmp_path):
    assert "table.csv has it" in write_figure(study(tmp_path, [row(0.5, a=1)]))


@pytest.mark.parametrize(
    ("values", "scale"), [((1, 5, 9), "linear"), ((0.01, 0.1, 1), "log"), ((0, 100), "linear")]
)
def test_one_field_is_a_curve_on_a_fitting_axis(tmp_path, values, scale):
    rows = [row(0.1 * i + 0.3, a=value) for i, value in enumerate(values)]
    figure = _curve(study(tmp_path, rows), "a", list(values))
    (axes,) = figure.axes
    assert axes.get_xscale() == scale
    low, high = axes.get_ylim()
    ends = [100 * end for end in wilson(1, 2)]
    assert low < min(ends)
    assert max(ends) < high
    left, right = axes.get_xlim()
    assert left < min(values) < max(values) < right
    for container in axes.containers:
        line = container[0]
        assert line.get_xdata().tolist() == list(values)
        assert line.get_ydata() == pytest.approx([30 + 10 * i for i in range(len(values))])


def test_values_that_are_no_numbers_stand_side_by_side(tmp_path):
    rows = [row(0.5, a=[64, 8]), row(0.6, a=[32, 8]), row(None, a=None)]
    assert write_figure(study(tmp_path, rows)) is None
    assert {"64 8", "32 8", "None", "failed"} <= set(texts(tmp_path))


def test_a_composition_shows_each_pair_twice_and_the_means_of_rows(tmp_path):
    shares = {("crop", "crop"): 0.11, ("crop", "blur"): 0.23, ("blur", "blur"): 0.37}
    rows = [row(share, first=a, second=b) for (a, b), share in shares.items()]
    assert write_figure(study(tmp_path, rows), compose=("crop", "blur")) is None
    shown = texts(tmp_path)
    assert (shown["11.0"], shown["23.0"], shown["37.0"]) == (1, 2, 1)
    assert (shown["17.0"], shown["30.0"]) == (1, 1)  # (11 + 23) / 2 and (23 + 37) / 2
    assert shown["mean"] == 1


def test_a_failed_combination_is_said_to_have_failed(tmp_path):
    rows = [row(None if a == b == 0 else 0.5, a=a, b=b) for a in (0, 1) for b in (0, 1)]
    assert write_figure(study(tmp_path, rows)) is None
    assert texts(tmp_path)["failed"] == 1


def test_the_same_study_is_the_same_picture(tmp_path):
    rows = [row(0.5, a=1), row(0.6, a=2)]
    pictures = []
    for _ in range(2):
        write_figure(study(tmp_path, rows))
        pictures.append([(tmp_path / f"figure.{kind}").read_bytes() for kind in ("svg", "png")])
    assert pictures[0] == pictures[1]
    assert plt.get_fignums() == []  # nothing is left open
