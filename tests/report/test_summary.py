import numpy as np
import pytest

from twofold.report.run_folder import RunFolder
from twofold.report.summary import Row, axis, classes, facts


def row(low, high):
    return Row("x", "trained", (low + high) / 2, low, high, 10)


@pytest.mark.parametrize("low", np.linspace(0, 0.99, 12))
@pytest.mark.parametrize("width", [0.0, 0.01, 0.2, 0.7, 1.0])
def test_the_axis_holds_every_interval(low, width):
    high = min(1.0, low + width)
    found = axis([row(low, high)])
    assert found.low <= low <= high <= found.high + 1e-9
    assert 3 <= len(found.ticks) <= 6
    assert found.low - 1e-9 <= min(found.ticks) <= max(found.ticks) <= found.high + 1e-9


def test_classes_are_ordered_by_difficulty_and_confusions_by_number():
    labels = np.array([0] * 4 + [1] * 4 + [2] * 4)
    predictions = np.array([0, 0, 0, 0, 2, 2, 2, 1, 2, 2, 2, 0])
    rows, confusions = classes(predictions, labels, ["a", "b", "c"])
    assert [(r.label, r.value, r.n) for r in rows] == [("b", 0.25, 4), ("c", 0.75, 4), ("a", 1, 4)]
    assert confusions == ["b taken for c: 3", "c taken for a: 1"]


def test_no_errors_give_no_confusions():
    labels = np.array([0, 1])
    assert classes(labels, labels, ["a", "b"])[1] == []


def test_facts_name_what_counts_and_leave_out_what_does_nothing(tmp_path):
    optimizer = {"name": "sgd", "learning_rate": 0.1, "warmup": 0.0, "lars_rate": "inside"}
    recipe = {"objectives": {"contrast": {"temperature": 0.5}}, "optimizer": optimizer}
    config = {"recipe": recipe, "found": {"negatives": {"contrast": 510}}}
    found = dict(facts(RunFolder(tmp_path, config=config)))
    assert found["Objective “contrast”"] == "temperature 0.5; 510 negatives per anchor"
    assert found["Optimiser"] == "sgd, learning rate 0.1"
    lars = {**optimizer, "name": "lars", "warmup": 0.1}
    config = {"recipe": {**recipe, "optimizer": lars}}
    found = dict(facts(RunFolder(tmp_path, config=config)))
    assert found["Optimiser"] == "lars, learning rate 0.1, warmup 0.1, lars rate inside"
