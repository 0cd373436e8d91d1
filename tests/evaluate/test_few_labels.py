import numpy as np
import pytest
import torch
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from twofold.errors import TwofoldError
from twofold.evaluate import draw_labels, few_labels, linear_probe


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def problem():
    """Training and test features and labels of three overlapping classes, 15 items at least."""
    labels = torch.arange(3).repeat_interleave(torch.tensor([60, 15, 30]))
    true = torch.arange(90) % 3
    centres = 1.2 * normal(3, 6)
    return (
        centres[labels] + normal(105, 6, seed=1),
        labels,
        centres[true] + normal(90, 6, seed=2),
        true,
    )


def test_equals_probes_on_draws_by_hand(problem):
    train, labels, test, true = problem
    found = few_labels(*problem, per_class=(2, 15), draws=3, seed=4)
    assert list(found) == ["accuracy@2", "accuracy@15"]
    for count, figure in zip((2, 15), found.values(), strict=True):
        shares = []
        for seed in (4, 5, 6):
            rows = draw_labels(labels, per_class=count, seed=seed)
            assert np.bincount(labels[rows]).tolist() == [count] * 3
            probe = linear_probe(train[rows], labels[rows], test, seed=seed)
            shares.append(float((probe.predictions == true).double().mean()))
        margin = t.ppf(0.975, 2) * np.std(shares, ddof=1) / 3**0.5
        assert figure["value"] == pytest.approx(np.mean(shares), abs=1e-6)
        assert figure["ci95"] == pytest.approx(
            [np.mean(shares) - margin, np.mean(shares) + margin], abs=1e-6
        )
        assert figure["n"] == 3
        assert len(set(shares)) > 1


def test_of_two_classes_there_is_an_auc_too(problem):
    train, labels, test, true = problem
    pair, test_pair = labels < 2, true < 2
    parts = train[pair], labels[pair], test[test_pair], true[test_pair]
    found = few_labels(*parts, per_class=(2,), draws=3, seed=4)
    assert list(found) == ["accuracy@2", "auc@2"]
    areas = []
    for seed in (4, 5, 6):
        rows = draw_labels(parts[1], per_class=2, seed=seed)
        scores = linear_probe(parts[0][rows], parts[1][rows], parts[2], seed=seed).scores
        areas.append(roc_auc_score(parts[3], scores[:, 1] - scores[:, 0]))
    assert found["auc@2"]["value"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_more_labels_help(problem):
    one, fifteen = few_labels(*problem, per_class=(1, 15)).values()
    assert fifteen["value"] > one["value"] + 0.1


def test_numbers_that_the_smallest_class_cannot_give_are_left_out(problem):
    assert list(few_labels(*problem, draws=2)) == ["accuracy@1", "accuracy@10"]


def test_classes_need_not_be_numbered_without_gaps(problem):
    train, labels, test, true = problem
    expected = few_labels(*problem, draws=2)
    found = few_labels(train, (3 * labels).numpy(), test, (3 * true).numpy(), draws=2)
    assert found["accuracy@10"]["value"] == pytest.approx(
        expected["accuracy@10"]["value"], abs=0.05
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 1}, "draws is 1; it must be >= 2"),
        ({"per_class": (16, 100)}, r"\(16, 100\); the smallest class has 15 items"),
        ({"per_class": (0, 1)}, "per_class is 0; it must be > 0"),
    ],
)
def test_mistakes_are_told(problem, options, message):
    with pytest.raises(TwofoldError, match=message):
        few_labels(*problem, **options)


def test_shapes_that_do_not_fit_are_told(problem):
    train, labels, test, true = problem
    with pytest.raises(TwofoldError, match="90 items need"):
        few_labels(train, labels, test, true[:4])
    with pytest.raises(TwofoldError, match=r"they must be \(n, dim\) and \(m, dim\)"):
        few_labels(train, labels, test[:, :2], true)
    with pytest.raises(TwofoldError, match="the smallest class has 0 items"):
        few_labels(train[:0], labels[:0], test, true)
