import numpy as np
import pytest
import torch
from scipy.stats import binomtest, ttest_1samp
from sklearn.metrics import adjusted_rand_score

from twofold.errors import TwofoldError
from twofold.evaluate import accuracy, bootstrap, wilson
from twofold.evaluate.intervals import share_figure, t_figure


@pytest.mark.parametrize("confidence", [0.95, 0.68])
@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 50), (7, 13), (8410, 10_000)])
def test_equals_scipy(correct, n, confidence):
    expected = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    assert wilson(correct, n, confidence=confidence) == pytest.approx(tuple(expected), abs=1e-12)


def test_covers_the_true_share_as_often_as_it_says():
    n, share = 40, 0.9
    correct = np.random.default_rng(0).binomial(n, share, 4000)
    ends = np.array([wilson(int(count), n) for count in correct])
    covered = np.mean((ends[:, 0] <= share) & (share <= ends[:, 1]))
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("correct", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_share_is_refused(correct, n):
    with pytest.raises(TwofoldError, match="no share"):
        wilson(correct, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(TwofoldError, match="confidence"):
        wilson(1, 2, confidence=confidence)


def test_accuracy_counts_arrays_and_tensors_alike():
    predictions, labels = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    expected = {"value": 0.75, "ci95": list(wilson(3, 4)), "n": 4}
    assert accuracy(predictions, labels) == expected
    assert accuracy(torch.from_numpy(predictions), labels) == expected


def test_accuracy_refuses_shapes_that_would_broadcast():
    with pytest.raises(TwofoldError, match="they must agree"):
        accuracy(np.zeros((4, 1)), np.zeros(4))


def test_accuracy_of_nothing_is_refused():
    with pytest.raises(TwofoldError, match="0 of 0"):
        accuracy(np.zeros(0), np.zeros(0))


def test_a_share_has_wilsons_interval():
    assert share_figure(7, 13) == {"value": 7 / 13, "ci95": list(wilson(7, 13)), "n": 13}


def test_students_interval_equals_scipy():
    values = np.random.default_rng(0).normal(3, 2, 5)
    found = t_figure(torch.from_numpy(values))
    assert found["ci95"] == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval()))
    assert (found["value"], found["n"]) == (pytest.approx(values.mean()), 5)


# the bootstrap


def test_the_interval_of_a_mean_has_the_width_of_theory():
    values = np.random.default_rng(0).normal(5, 2, 900)
    found = bootstrap(np.mean, values, resamples=2000)
    low, high = found["ci95"]
    assert (found["value"], found["n"]) == (values.mean(), 900)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)


def test_columns_are_resampled_together_arrays_and_tensors_alike():
    values = np.random.default_rng(0).normal(size=(50, 3))
    seen = []

    def agree(first, second):
        assert np.array_equal(first, second.numpy())
        seen.append(first)
        return float(first.mean())

    bootstrap(agree, values, torch.from_numpy(values), resamples=40)
    assert len(seen) == 41
    assert len({rows.tobytes() for rows in seen}) == 41
    assert all(len(np.unique(rows[:, 0])) < 50 for rows in seen[:-1])


def test_the_seed_chooses_the_resamples():
    values = np.random.default_rng(0).normal(size=50)
    first, again, other = (bootstrap(np.median, values, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["ci95"] != other["ci95"]


def test_a_figure_that_rises_with_repeated_items_lies_within_its_interval():
    """Of independent labels, each resample looks dependent: quantiles alone are all above."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(20):
        pair = rng.integers(0, 5, (2, 100))
        found = bootstrap(adjusted_rand_score, *pair, resamples=40)
        covered += found["ci95"][0] <= 0 <= found["ci95"][1]
    assert covered >= 18


@pytest.mark.parametrize(
    ("columns", "resamples", "message"),
    [
        ([np.ones(3), np.ones(4)], 10, r"columns have \[3, 4\] rows"),
        ([np.ones(0)], 10, r"columns have \[0\] rows"),
        ([], 10, r"columns have \[\] rows"),
        ([np.ones(3)], 0, "resamples is 0; it must be > 0"),
    ],
)
def test_what_cannot_be_resampled_is_refused(columns, resamples, message):
    with pytest.raises(TwofoldError, match=message):
        bootstrap(np.mean, *columns, resamples=resamples)
