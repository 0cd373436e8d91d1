import json
import re

import pytest
from fabricated_run import fabricate

from twofold.comparison import compare
from twofold.report import write_comparison


@pytest.fixture
def folders(tmp_path, data):
    return [fabricate(tmp_path / name, data) for name in ("first", "second")]


@pytest.fixture
def page_of(tmp_path):
    return lambda folders: write_comparison(compare(folders), tmp_path / "page.html").read_text()


def change(folder, **accuracies):
    """Replaces the kNN figures of a run."""
    path = folder / "evaluation.json"
    figures = json.loads(path.read_text())
    for name, value in accuracies.items():
        figures["knn"][name] |= {"value": value, "ci95": [value - 0.01, value + 0.01]}
    path.write_text(json.dumps(figures))


def names_of(page):
    """Names of the rows of each chart of dots."""
    charts = page.split('class="dots"')[1:]
    return [re.findall(r'<span class="name \w+" role="rowheader">([^<]*)<', c) for c in charts]


def test_nothing_comes_from_elsewhere(folders, page_of):
    page = page_of(folders)
    assert not re.search(r"https?://(?!www\.w3\.org)|@import|<link|<script|<iframe|<img", page)
    assert not re.search(r"url\((?!#)", page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_table_holds_every_figure_and_marks_the_best(folders, page_of):
    change(folders[1], accuracy=0.95)
    page = page_of(folders)
    assert re.search(r'<td class="best">95.0 % ★<span>94.0 to 96.0</span>', page)
    assert page.count("★") == 2  # and once below the table
    assert page.count("<td>85.0 %<span>80.0 to 90.0</span>") == 1
    assert "second is the best" in page
    assert "No run is certainly the best" in page  # of the linear probe, where both are equal


def test_a_baseline_that_runs_share_is_drawn_once(folders, page_of):
    knn, linear = names_of(page_of(folders))
    assert knn == linear == ["first", "second", "raw input", "untrained network"]


def test_baselines_that_differ_name_their_runs(folders, page_of, tmp_path, data):
    folders.append(fabricate(tmp_path / "third", data))
    change(folders[1], accuracy_untrained=0.4)
    knn, _ = names_of(page_of(folders))
    assert knn[:4] == ["first", "second", "third", "raw input"]
    assert knn[4:] == ["untrained network (first, third)", "untrained network (second)"]


def test_names_cannot_become_markup(folders, page_of, tmp_path, data):
    page = page_of([folders[0], fabricate(tmp_path / "<b>second", data)])
    assert "<b>second" not in page
    assert "&lt;b&gt;second" in page


def test_commands_in_remarks_are_set_apart(folders, page_of):
    (folders[1] / "evaluation.json").unlink()
    page = page_of(folders)
    assert f"<code>twofold evaluate {folders[1]}</code>" in page
    assert names_of(page)[0][0] == "first"


def test_without_any_evaluation_the_page_says_so(folders, page_of):
    for folder in folders:
        (folder / "evaluation.json").unlink()
    assert "None of these runs has been evaluated." in page_of(folders)


def test_figures_that_are_no_accuracies_are_in_the_table_alone(folders, page_of):
    error = {"value": 2.5, "ci95": [2.0, 3.0], "n": 40}
    for folder in folders:
        (folder / "evaluation.json").write_text(json.dumps({"regression": {"mae": error}}))
    page = page_of(folders)
    assert names_of(page) == []
    assert "were not judged by an accuracy; their figures are in the table" in page
    assert page.count("<td>2.50<span>2.00 to 3.00</span>") == 2


def test_curves_of_the_runs_are_overlaid(folders, page_of):
    page = page_of(folders)
    wide, narrow = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for chart in (wide, narrow):
        assert re.findall(r"<text[^>]*>(first|second)</text>", chart) == ["first", "second"]
        assert "online kNN, accuracy in %" in chart
        assert {"var(--c0)", "var(--c1)"} <= set(re.findall(r"var\(--c\d\)", chart))


def test_losses_are_overlaid_where_no_run_has_measured_knn(folders, page_of):
    for folder in folders:
        lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        kept = [json.dumps(line | {"knn": None}) for line in lines]
        (folder / "metrics.jsonl").write_text("\n".join(kept))
    page = page_of(folders)
    assert "the lower one need not be the better one" in page
    assert re.findall(r"<text[^>]*>(first|second)</text>", page) == ["first", "second"] * 2


def test_runs_that_recorded_nothing_have_no_chart(folders, page_of):
    for folder in folders:
        (folder / "metrics.jsonl").unlink()
    page = page_of(folders)
    assert "None of these runs has recorded its training." in page
    assert "<svg" not in page
