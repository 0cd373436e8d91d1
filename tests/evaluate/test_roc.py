import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from twofold.errors import TwofoldError
from twofold.evaluate import auc, class_figures, wilson


def draw(rng, area, m, n):
    """Normal scores of `m` items of class 1 and `n` of class 0 that have that area in the limit."""
    apart = 2**0.5 * norm.ppf(area)
    scores = np.concatenate([rng.normal(apart, 1, m), rng.normal(0, 1, n)])
    return scores, np.repeat([1, 0], [m, n])


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_equals_sklearn_and_plain_loops_with_ties(levels):
    rng = np.random.default_rng(levels)
    scores, labels = draw(rng, 0.8, 40, 70)
    scores = np.digitize(scores, np.linspace(-2, 3, levels - 1)).astype(np.float32)
    found = auc(torch.from_numpy(scores), torch.from_numpy(labels))
    assert found["value"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    pairs = [(s > z) + (s == z) / 2 for s in scores[labels == 1] for z in scores[labels == 0]]
    assert found["value"] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert (found["n"], auc(scores, labels)) == (110, found)


def test_the_variance_is_delongs_in_plain_loops():
    scores, labels = draw(np.random.default_rng(0), 0.7, 12, 17)
    scores = scores.round(1)
    over = [[(s > z) + (s == z) / 2 for z in scores[labels == 0]] for s in scores[labels == 1]]
    above, below = np.mean(over, axis=1), np.mean(over, axis=0)
    variance = np.var(above, ddof=1) / 12 + np.var(below, ddof=1) / 17
    area = np.mean(over)
    logits = norm.ppf([0.025, 0.975]) * variance**0.5 / (area * (1 - area))
    expected = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + logits)))
    assert auc(scores, labels)["ci95"] == pytest.approx(expected.tolist(), abs=1e-12)


def test_the_interval_is_about_that_of_a_bootstrap_within_classes():
    rng = np.random.default_rng(0)
    scores, labels = draw(rng, 0.8, 150, 250)
    areas = []
    for _ in range(1000):
        rows = np.concatenate([rng.integers(0, 150, 150), rng.integers(150, 400, 250)])
        areas.append(roc_auc_score(labels[rows], scores[rows]))
    expected = np.quantile(areas, [0.025, 0.975])
    assert auc(scores, labels)["ci95"] == pytest.approx(expected.tolist(), abs=0.006)


@pytest.mark.parametrize(
    ("area", "m", "n"), [(0.5, 50, 50), (0.8, 30, 100), (0.95, 50, 50), (0.98, 20, 20)]
)
def test_it_covers_the_true_area_as_often_as_it_says(area, m, n):
    rng, covered = np.random.default_rng(0), 0
    for _ in range(600):
        low, high = auc(*draw(rng, area, m, n))["ci95"]
        covered += low <= area <= high
    assert covered / 600 == pytest.approx(0.95, abs=0.03)


def test_turned_scores_turn_the_figure():
    scores, labels = draw(np.random.default_rng(1), 0.9, 30, 50)
    found, turned = auc(scores, labels), auc(-scores, labels)
    assert turned["value"] == pytest.approx(1 - found["value"])
    assert turned["ci95"] == pytest.approx([1 - end for end in reversed(found["ci95"])])
    assert auc(np.exp(scores), labels) == found  # only the order counts


def test_without_a_variance_the_interval_still_has_a_width():
    labels = np.array([0, 0, 0, 1, 1])
    perfect = auc(np.arange(5.0), labels)
    assert (perfect["value"], perfect["ci95"]) == (1.0, list(wilson(2, 2)))
    silent = auc(np.zeros(5), labels)
    assert (silent["value"], silent["ci95"]) == (0.5, list(wilson(1, 2)))
    one = auc(np.array([1.0, 0.0, 3.0, 2.0]), np.array([0, 0, 0, 1]))
    assert one["value"] == pytest.approx(2 / 3)
    assert one["ci95"] == list(wilson(one["value"], 1))


def test_infinite_scores_are_ranked():
    scores = np.array([-np.inf, -np.inf, 0.0, np.inf, np.inf])
    labels = np.array([0, 1, 0, 1, 0])
    finite = np.array([-9.0, -9.0, 0.0, 9.0, 9.0])
    assert auc(scores, labels) == auc(finite, labels)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan], [0, 1], "a score is NaN"),
        ([0.1, 0.2], [1, 1], "every item is of class 1; an AUC needs both classes"),
        ([], [], "there is no item; an AUC needs both classes"),
        ([0.1, 0.2, 0.3], [0, 1, 2], "labels run from 0 to 2; those of an AUC are 0 and 1"),
        ([0.1, 0.2, 0.3], [0, 1], r"scores have shape \(3,\) and labels \(2,\)"),
        ([[0.1], [0.2]], [[0], [1]], r"both must be \(n,\)"),
    ],
)
def test_mistakes_are_told(scores, labels, message):
    with pytest.raises(TwofoldError, match=message):
        auc(np.array(scores), np.array(labels))


def test_more_classes_have_an_accuracy_alone():
    figures, words = class_figures(torch.eye(3), torch.arange(3))
    assert (list(figures), words) == (["accuracy"], {})


@pytest.mark.parametrize(
    ("names", "positive"), [(("quark", "gluon"), "gluon"), ((), "class 1"), ("abc", "class 1")]
)
def test_the_second_class_is_the_positive_one(names, positive):
    scores, labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    figures, words = class_figures(scores, labels, names)
    assert (figures["accuracy"]["value"], figures["auc"]["value"]) == (1, 1)
    assert words == {"auc": f"counts {positive} as positive; DeLong, over test items"}
    turned, _ = class_figures(scores, 1 - labels, names)
    assert turned["auc"]["value"] == 0
