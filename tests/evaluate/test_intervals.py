import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from twofold.errors import TwofoldError
from twofold.evaluate import accuracy, wilson


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
