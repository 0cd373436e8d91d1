import pytest

from twofold.errors import TwofoldError
from twofold.evaluate import PROBES, metrics
from twofold.evaluate.metrics import certainly_best, check_probes, figures_of, read_name, spell


def figure(value, reach=0.01, n=100):
    return {"value": value, "ci95": [value - reach, value + reach], "n": n}


@pytest.mark.parametrize(
    ("name", "in_full", "unit", "better"),
    [
        ("accuracy", "accuracy", "share", "higher"),
        ("accuracy_raw", "accuracy, raw", "share", "higher"),
        ("accuracy@10_untrained", "accuracy@10, untrained", "share", "higher"),
        ("accuracy_baseline", "accuracy, baseline", "share", "higher"),
        ("auc_raw", "AUC, raw", "number", "higher"),
        ("auc@10", "AUC@10", "number", "higher"),
        ("r@1", "R@1", "share", "higher"),
        ("r_precision_raw", "R-precision, raw", "share", "higher"),
        ("map@r", "mAP@R", "share", "higher"),
        ("r2_untrained", "R², untrained", "number", "higher"),
        ("r2_0_raw", "R² (0), raw", "number", "higher"),
        ("mae_top_mass", "MAE (top_mass)", "target", "lower"),
        ("rmse", "RMSE", "target", "lower"),
        ("rank_fraction_raw", "share of directions, raw", "share", None),
        ("nothing_known", "nothing known", "number", None),
    ],
)
def test_a_name_is_read(name, in_full, unit, better):
    found = read_name(name)
    assert (found.in_full, found.metric.unit, found.metric.better) == (in_full, unit, better)


def test_every_probe_has_a_name_and_every_metric_a_unit():
    assert metrics.PROBES.keys() == PROBES.keys()
    measured = {
        name for probe in PROBES.values() for names in probe.metrics.values() for name in names
    }
    others = {"agreement", "median_rank"}  # of student and teacher, and of two sources
    assert measured | others == set(metrics.METRICS)


@pytest.mark.parametrize(
    ("name", "value", "spelled"),
    [
        ("accuracy", figure(0.8432), ("84.3 %", "83.3 to 85.3")),
        ("nmi_raw", figure(0.49321), ("0.493", "0.483 to 0.503")),
        ("uniformity", {"value": -1.1234, "ci95": None, "n": 9}, ("-1.123", "")),
        ("rankme", {"value": 130.72, "ci95": None, "n": 9}, ("131", "")),
        ("r2", figure(0.00012, 0.00004), ("0.000", "0.000 to 0.000")),
        ("r2", figure(-0.0001, 0.0), ("0.000", "0.000 to 0.000")),
        ("r2", figure(0.0), ("0.000", "-0.010 to 0.010")),
        ("mae", figure(0.00012, 0.00004), ("0.000120", "0.000080 to 0.000160")),
        ("rmse_raw", figure(81234.5, 100), ("81,234", "81,134 to 81,334")),
        ("mae", figure(3.2e-9, 1e-9), ("3.20e-09", "2.20e-09 to 4.20e-09")),
        ("mae", figure(3.2e9, 1e8), ("3.20e+09", "3.10e+09 to 3.30e+09")),
    ],
)
def test_figures_are_spelled_in_their_unit(name, value, spelled):
    assert spell(name, value) == spelled


def test_numbers_carry_their_unit_where_it_is_known():
    assert spell("mae_raw", figure(8.3132) | {"unit": "GeV"}) == ("8.31 GeV", "8.30 to 8.32")
    assert spell("rmse", figure(8.3132) | {"unit": ""}) == ("8.31", "8.30 to 8.32")


@pytest.mark.parametrize(
    ("name", "figures", "best"),
    [
        ("accuracy", [figure(0.8), figure(0.9), figure(0.85)], 1),
        ("mae", [figure(0.8), figure(0.9), figure(0.85)], 0),
        ("mae", [figure(0.8), figure(0.81)], None),
        ("r2", [figure(-3.0), None, figure(-4.0)], 0),
        ("accuracy", [figure(0.8), None], None),
        ("rankme", [figure(80), figure(90)], None),  # more is not better as such
        ("accuracy", [figure(0.8), {"value": 0.9, "ci95": None, "n": 100}], None),
        ("accuracy", [], None),
    ],
)
def test_the_best_is_told_by_the_better_end(name, figures, best):
    assert certainly_best(name, figures) == best


def test_words_and_protocols_are_no_figures():
    entry = {"r2": figure(0.5), "verdict": "the ci95 is a word", "protocol": {"k": 20}}
    assert list(figures_of(entry)) == ["r2"]


def test_an_unknown_probe_is_refused():
    with pytest.raises(TwofoldError, match=r"unknown probe 'fewshots'; did you mean 'fewshot'\?"):
        check_probes(["knn", "fewshots"])
