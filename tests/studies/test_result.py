"""Estimates against SciPy, and the table that is written."""

import csv

import numpy as np
import pytest
from scipy import stats

from twofold.errors import TwofoldError
from twofold.evaluate import wilson
from twofold.studies.result import Row, Study, estimate


def figure(value, n=100):
    return {"value": value, "ci95": list(wilson(round(value * n), n)), "n": n}


def row(temperature, *linear, notes=()):
    figures = tuple(None if value is None else figure(value) for value in linear)
    return Row(
        {"objectives.contrast.temperature": temperature},
        dict.fromkeys(("linear", "knn"), figures),
        notes,
    )


def study(folder, *rows, seeds=(0, 1)):
    return Study(folder, "simclr on toys", "10 items", seeds, rows)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_several_seeds_have_student_s_interval(count):
    values = np.random.default_rng(count).uniform(0.6, 0.7, count)
    found = estimate([figure(value) for value in values])
    expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-12)
    assert found.mean == pytest.approx(values.mean())
    assert found.basis == f"t over {count} seeds"


def test_one_seed_has_wilson_s_interval():
    found = estimate([figure(0.8)])
    assert (found.mean, found.low, found.high) == (0.8, *wilson(80, 100))
    assert found.basis == "Wilson over 100 items"


def test_an_interval_stays_a_share():
    found = estimate([figure(0.99), figure(0.9)])
    assert (found.high, 0 <= found.low < 0.9) == (1.0, True)


def test_nothing_cannot_be_estimated():
    with pytest.raises(TwofoldError, match="no figure"):
        estimate([])


def test_a_failed_seed_leaves_no_mean():
    assert row(0.1, 0.8, None).estimate("linear") is None
    assert row(0.1, None).estimate("knn") is None


def test_the_best_comes_first_and_the_failed_last(tmp_path):
    rows = row(0.1, 0.5, 0.6), row(0.2, 0.9, None), row(0.3, 0.8, 0.7)
    best = study(tmp_path, *rows).best()
    assert [list(r.values.values()) for r in best] == [[0.3], [0.1], [0.2]]


def test_the_table_holds_every_figure(tmp_path):
    found = study(tmp_path, row(0.1, 0.5, 0.6), row(0.2, 0.9, None, notes=("seed 1 failed",)))
    with found.write_table().open() as file:
        first, second = csv.DictReader(file)
    assert first["objectives.contrast.temperature"] == "0.1"
    assert (first["linear_seed_0"], first["linear_seed_1"]) == ("0.5", "0.6")
    assert float(first["linear_mean"]) == 0.55
    low, high = stats.t.interval(0.95, 1, 0.55, stats.sem([0.5, 0.6]))
    assert float(first["knn_low"]) == max(0, low)
    assert float(first["knn_high"]) == min(1, high)
    assert first["linear_interval"] == first["knn_interval"] == "t over 2 seeds"
    assert first["judged_on"] == "10 items"
    assert (second["linear_seed_1"], second["linear_mean"]) == ("", "")
    assert second["notes"] == "seed 1 failed"


def test_the_terminal_shows_it_and_where_it_lies(tmp_path, capsys):
    found = study(tmp_path, row(0.1, 0.5), row(0.2, 0.9), seeds=(0,))
    found.write_table()
    found.print()
    title, head, best, other, basis, path = capsys.readouterr().out.splitlines()
    assert title == "simclr on toys, judged on 10 items"
    assert head.split() == ["temperature", *["linear", "probe", "interval", "kNN", "interval"]]
    assert best.split()[:3] == ["0.2", "90.0", "%"]
    assert other.split()[:6] == ["0.1", "50.0", "%", "40.4", "to", "59.6"]
    assert "Wilson over 100 items" in basis
    assert path == str(tmp_path / "table.csv")


def test_a_note_is_told_once(tmp_path):
    rows = [row(t, 0.5, notes=("small", *(["odd"] if t == 0.1 else []))) for t in (0.1, 0.2)]
    assert list(study(tmp_path, *rows).notes()) == ["all: small", "temperature 0.1: odd"]
