"""Tables, curves and scatters of probes that found more than one accuracy."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from fabricated_run import evaluation, fabricate, figure, make_data

from twofold.report import run_folder, write
from twofold.report.probes import tables, transfer

PROTOCOL = {"shots": 1, "ways": 5, "seed": 0}


def beside(metrics, worse=0.2):
    """Figures with those of both baselines, which are lower."""
    found = {}
    for name, value in metrics.items():
        for end, off in {"": 0, "_raw": worse, "_untrained": 2 * worse}.items():
            found[f"{name}{end}"] = figure(value - off)
    return found | {"protocol": PROTOCOL}


def rewrite(run_dir, **probes):
    """Replaces the evaluation of a run."""
    (run_dir / "evaluation.json").write_text(json.dumps(probes))
    return run_folder.read(run_dir)


def test_learned_raw_and_untrained_stand_side_by_side(run_dir):
    run = rewrite(run_dir, **evaluation(), retrieval=beside({"r@1": 0.9, "map@r": 0.8}))
    (table,) = tables(run)  # kNN and linear probe are drawn, not tabled
    assert table.columns == ("learned features", "raw input", "untrained network")
    first, second = table.lines
    assert [cell.value for cell in first.cells] == ["90.0\xa0%", "70.0\xa0%", "50.0\xa0%"]
    assert [cell.interval for cell in first.cells] == [
        "85.0 to 95.0",
        "65.0 to 75.0",
        "45.0 to 55.0",
    ]
    assert (first.name, first.best) == ("R@1", 0)
    assert second.name == "mAP@R"


def test_without_baselines_there_is_one_column(run_dir):
    (table,) = tables(rewrite(run_dir, clustering={"nmi": figure(0.5), "protocol": {}}))
    assert table.columns == ("learned features",)
    assert table.lines[0].best is None


def test_the_lowest_error_is_the_best(run_dir):
    (table,) = tables(rewrite(run_dir, regression=beside({"mae": 0.9})))
    assert [cell.value for cell in table.lines[0].cells] == ["0.900", "0.700", "0.500"]
    assert table.lines[0].best == 2


def test_few_labels_are_a_curve_with_its_points_where_the_labels_are(run_dir):
    curve = beside({"accuracy@1": 0.5, "accuracy@10": 0.7, "accuracy@100": 0.9})
    (table,) = tables(rewrite(run_dir, fewlabels=curve))
    (chart,) = table.charts
    words = re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg)
    assert {"1", "10", "100", "learned features", "raw input", "untrained network"} <= set(words)
    (one,) = tables(rewrite(run_dir, fewlabels=beside({"accuracy@1": 0.5})))
    assert one.charts == []


def test_the_auc_of_two_classes_has_a_table_of_its_own(run_dir):
    area = beside({"accuracy": 0.8, "auc": 0.87})
    area["protocol"] = PROTOCOL | {"auc": "counts <b>top</b> as positive"}
    (table,) = tables(rewrite(run_dir, **evaluation() | {"linear": area}))
    assert (table.title, [line.name for line in table.lines]) == ("Linear probe", ["AUC"])
    assert [cell.value for cell in table.lines[0].cells] == ["0.870", "0.670", "0.470"]
    assert table.lines[0].best == 0
    assert table.lead.startswith("AUC, the area under the ROC curve")
    page = write(run_dir).read_text()
    assert page.count("counts &lt;b&gt;top&lt;/b&gt; as positive") == 2  # dots, and the table
    assert "<b>top" not in page


def test_the_auc_of_other_networks_stands_below_their_accuracy(run_dir):
    (table,) = tables(rewrite(run_dir, finetune={"accuracy": figure(0.8), "auc": figure(0.9)}))
    assert [line.name for line in table.lines] == ["accuracy", "AUC"]
    assert "the network itself" in table.lead
    assert "area under the ROC curve" in table.lead


def test_the_curve_of_few_labels_is_that_of_accuracies(run_dir):
    measures = {"accuracy@1": 0.5, "accuracy@10": 0.7}
    plain, both = (
        tables(rewrite(run_dir, fewlabels=beside(found)))[0]
        for found in (measures, measures | {"auc@1": 0.6, "auc@10": 0.9})
    )
    assert str(both.charts[0].svg) == str(plain.charts[0].svg)
    assert [line.name for line in both.lines][2:] == ["AUC@1", "AUC@10"]


def numbers(run_dir, targets, **arrays):
    """A run whose probes predicted numbers."""
    ends = [""] if targets == 1 else [f"_{i}" for i in range(targets)]
    errors = beside({f"{name}{end}": 0.5 for end in ends for name in ("r2", "mae")})
    true = np.random.default_rng(0).normal(size=(40, targets)).astype(np.float32)
    found = {"true": true, "predicted_knn": true + 0.1, "predicted_regression": true - 0.1}
    np.savez(run_dir / "evaluation.npz", **found | arrays)
    return rewrite(run_dir, knn=errors, regression=errors)


def test_errors_and_axes_carry_the_unit(run_dir):
    found = numbers(run_dir, 1).evaluation["regression"]
    for name, entry in found.items():
        if name.startswith("mae"):
            entry["unit"] = "GeV"
    (table,) = tables(rewrite(run_dir, regression=found))
    assert [line.cells[0].value for line in table.lines] == ["0.500", "0.500\xa0GeV"]
    words = re.findall(r"<text[^>]*>([^<]*)</text>", table.charts[0].svg)
    assert {"true, GeV", "predicted, GeV"} <= set(words)


@pytest.mark.parametrize(("targets", "charts"), [(1, 1), (2, 2), (6, 4)])
def test_predictions_are_drawn_against_the_truth(run_dir, targets, charts):
    knn, ridge = tables(numbers(run_dir, targets))
    assert knn.charts == []  # drawn once, by the ridge
    assert len(ridge.charts) == charts
    assert ("(1)" in ridge.charts[-1].caption) == (targets == 2)
    assert "of 40 test items" in ridge.charts[0].caption
    drawn = ridge.charts[0].svg
    assert drawn.count("<use ") >= 40


def test_neighbours_predictions_are_drawn_where_there_is_no_ridge(run_dir):
    run = numbers(run_dir, 1)
    (table,) = tables(replace(run, evaluation={"knn": run.evaluation["knn"]}))
    assert len(table.charts) == 1


def test_predictions_of_other_items_are_not_drawn(run_dir):
    run = numbers(run_dir, 1, predicted_regression=np.zeros((30, 1)))
    assert all(table.charts == [] for table in tables(run))


def test_health_says_what_to_change_where_something_is_wrong(run_dir):
    words = {"sentence": "All the same.", "advice": "Change it."}
    rank = {"rankme": {"value": 0.0, "ci95": None, "n": 40}}
    (table,) = tables(rewrite(run_dir, health=rank | words | {"verdict": "constant"}))
    assert table.caption == "All the same. Change it."
    assert table.lines[0].cells[0].interval == ""
    (table,) = tables(rewrite(run_dir, health=rank | words | {"verdict": "healthy"}))
    assert table.caption == "All the same."


def test_transfer_is_a_line_for_each_set(run_dir):
    sets = {
        "<b>photos</b>": {"knn": beside({"accuracy": 0.9})},
        "numbers": {"knn": beside({"r2": -0.25})},
    }
    run = rewrite(run_dir, transfer=sets)
    found = transfer(run)
    assert found.columns == ("knn accuracy", "knn R²")
    assert [cell.value for line in found.lines for cell in line.cells] == [
        "90.0\xa0%",
        "—",
        "—",
        "−0.250",
    ]
    page = write(run_dir).read_text()
    assert "&lt;b&gt;photos&lt;/b&gt;" in page
    assert "<b>photos" not in page
    assert "has not been evaluated" not in page


def test_the_page_shows_every_table_and_chart(run_dir, data):
    probes = {
        "fewshot": beside({"accuracy": 0.9}),
        "retrieval": beside({"r@1": 0.9}),
        "fewlabels": beside({"accuracy@1": 0.5, "accuracy@10": 0.7}),
    }
    probes["fewshot"]["accuracy"]["chance"] = 0.2
    rewrite(run_dir, **evaluation(), **probes)
    page = write(run_dir, data).read_text()
    for title in ("Linear probe", "Few-shot episodes", "Retrieval", "Few labels"):
        assert f"<h3>{title}</h3>" in page
    assert "shows 1 labelled item of each of 5 classes" in page
    assert "guessing gives 20.0\xa0%" in page
    assert re.search(r'<td class="best">90.0\xa0% ★<span>85.0 to 95.0</span>', page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_run_of_numbers_has_its_tile_and_no_classes(tmp_path):
    plain = make_data()
    train, test = (
        replace(part, labels=np.linspace(0, 1, len(part), dtype=np.float32), label_names=())
        for part in (plain.train, plain.test)
    )
    data = replace(plain, train=train, test=test)
    run_dir = fabricate(tmp_path / "numbers", data)
    held = dict(np.load(run_dir / "evaluation.npz"))
    del held["predictions"]
    numbers(run_dir, 1, **held)
    page = write(run_dir, data).read_text()
    assert "Ridge regression, R²" in page
    assert "have their class" not in page
    assert "Points of one class" not in page
    assert "<img" in page


def test_pictures_of_other_items_than_were_judged_are_left_out(run_dir, data):
    own = evaluation()
    for protocol, shown in ((data.test.fingerprint(), True), ("0123456789abcdef", False)):
        for probe in own.values():
            probe["protocol"] = probe["protocol"] | {"fingerprint": protocol}
        rewrite(run_dir, **own)
        page = write(run_dir, data).read_text()
        assert ("judged on other items" not in page) == shown
        assert ("<img" in page) == shown
