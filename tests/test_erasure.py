"""Erasers: nothing linear is left of what they erase, and as good as all else stays."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from twofold import TwofoldError
from twofold.erasure import fit_eraser


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(n, dim, seed=0):
    """Features that vary together and away from the origin."""
    return 3 + normal(n, dim, seed=seed) @ normal(dim, dim, seed=1)


def told(n, dim, classes, seed=0):
    """Features that a class moves, and a column per class."""
    drawn = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed + 2))
    columns = torch.eye(classes)[drawn]
    return correlated(n, dim, seed) + 3 * columns @ normal(classes, dim, seed=3), columns


def covariance(x, z):
    return (x - x.mean(0)).double().T @ (z - z.mean(0)).double() / len(x)


@pytest.mark.parametrize("classes", [2, 4])
def test_no_covariance_is_left_and_all_classes_have_one_mean(classes):
    x, z = told(400, 12, classes)
    assert covariance(x, z).abs().max() > 0.1
    erased = fit_eraser(x, z)(x)
    assert covariance(erased, z).abs().max() < 1e-5
    means = torch.stack([erased[z[:, which] == 1].mean(0) for which in range(classes)])
    torch.testing.assert_close(means, erased.mean(0).expand_as(means), rtol=0, atol=1e-4)
    torch.testing.assert_close(erased.mean(0), x.mean(0), rtol=0, atol=1e-4)


def test_a_linear_probe_is_at_chance_on_fresh_items():
    x, z = told(8000, 12, 4)
    eraser = fit_eraser(x, z)
    accuracies = []
    for change in (lambda x: x, eraser):
        (learned, classes), (fresh, true) = told(4000, 12, 4, seed=5), told(4000, 12, 4, seed=9)
        probe = LogisticRegression(max_iter=500).fit(change(learned), classes.argmax(1))
        accuracies.append(probe.score(change(fresh), true.argmax(1)))
    before, after = accuracies
    assert before > 0.6
    assert after == pytest.approx(0.25, abs=0.03)


def test_erasing_twice_is_erasing_once():
    x, z = told(400, 12, 4)
    eraser = fit_eraser(x, z)
    torch.testing.assert_close(eraser(eraser(x)), eraser(x), rtol=0, atol=1e-4)


def test_without_the_ridge_it_is_the_smallest_change(monkeypatch):
    """LEACE as published: x - W⁺ P W (x - mean), W the whitening and P onto W cov(x, z)."""
    monkeypatch.setattr("twofold.erasure._RIDGE", 0.0)
    x, z = told(400, 6, 3)
    centred = (x - x.mean(0)).double().numpy()
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    whitening = vectors @ np.diag(values**-0.5) @ vectors.T
    span = np.linalg.svd(whitening @ covariance(x, z).numpy())[0][:, :2]  # three classes: rank 2
    change = np.linalg.inv(whitening) @ span @ span.T @ whitening
    expected = x.double().numpy() - centred @ change.T
    np.testing.assert_allclose(fit_eraser(x, z)(x).numpy(), expected, atol=1e-4)


def test_features_that_are_always_zero_stay_so():
    x, z = told(400, 12, 4)
    x[:, [2, 7]] = 0.0
    assert torch.equal(fit_eraser(x, z)(x)[:, [2, 7]], torch.zeros(400, 2))


def test_embeddings_without_relation_hardly_move():
    """Chance alone gives four classes three directions of a hundred."""
    x = normal(5000, 100) + 2
    z = torch.eye(4)[torch.randint(4, (5000,), generator=torch.Generator().manual_seed(7))]
    moved = fit_eraser(x, z)(x) - x
    assert moved.square().sum() / (x - x.mean(0)).square().sum() == pytest.approx(0.03, abs=0.005)


@pytest.mark.parametrize(
    ("columns", "rank"),
    [
        (torch.eye(4)[torch.arange(400) % 4], 3),  # the last class follows from the others
        (torch.eye(2)[torch.arange(400) % 2], 1),
        (torch.stack([torch.arange(400.0), 2 * torch.arange(400.0)], dim=1), 1),
        (normal(400, 3, seed=4), 3),
        (torch.ones(400, 2), 0),
    ],
)
def test_as_many_directions_go_as_the_targets_have(columns, rank):
    x = correlated(400, 12)
    eraser = fit_eraser(x, columns)
    assert eraser.left.shape == (12, rank)
    assert eraser.right.shape == (rank, 12)
    if rank == 0:
        assert torch.equal(eraser(x), x)


def test_collapsed_embeddings_have_nothing_to_erase():
    x = torch.full((50, 4), 0.1)
    assert torch.equal(fit_eraser(x, torch.eye(2)[torch.arange(50) % 2])(x), x)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (((20, 4), (19, 2)), r"shapes \(20, 4\) and \(19, 2\); they must be \(n, dim\) and"),
        (((20, 4), (20,)), r"shapes \(20, 4\) and \(20,\)"),
        (((20,), (20, 2)), r"shapes \(20,\) and \(20, 2\)"),
        (((4, 4), (4, 2)), "4 embeddings of 4 dimensions do not determine what to erase"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, words):
    with pytest.raises(TwofoldError, match=words) as error:
        fit_eraser(*(torch.zeros(shape) for shape in shapes))
    assert "\n" not in str(error.value)
