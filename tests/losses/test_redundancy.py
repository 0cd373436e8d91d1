import math
import statistics

import pytest
import torch
from scipy.linalg import hadamard
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses import barlow_twins, vicreg

SIGNS = torch.tensor(hadamard(8)[:, 1:], dtype=torch.float64)  # balanced, orthogonal columns
CONSTANT = torch.full((8, 3), 0.1, dtype=torch.float64)


def columns(rows):
    return rows.T.tolist()


def barlow_by_loops(first, second, redundancy):
    """Equations 1 and 2 of the paper, dimension by dimension."""

    def standardised(column):
        mean = statistics.fmean(column)
        spread = math.sqrt(statistics.pvariance(column) + 1e-5)
        return [(value - mean) / spread for value in column]

    total = 0.0
    for i, one in enumerate(columns(first)):
        for j, other in enumerate(columns(second)):
            pairs = zip(standardised(one), standardised(other), strict=True)
            correlation = statistics.fmean(x * y for x, y in pairs)
            total += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return total


def vicreg_by_loops(first, second, invariance, variance, covariance):
    """The official code's convention, dimension by dimension."""
    total = invariance * statistics.fmean(
        (x - y) ** 2
        for one, other in zip(first.tolist(), second.tolist(), strict=True)
        for x, y in zip(one, other, strict=True)
    )
    for view in (first, second):
        dimensions = columns(view)
        for i, one in enumerate(dimensions):
            missing = max(0.0, 1 - math.sqrt(statistics.variance(one) + 1e-4))
            total += variance * missing / len(dimensions) / 2
            for j, other in enumerate(dimensions):
                if i != j:
                    repeated = statistics.covariance(one, other) ** 2
                    total += covariance * repeated / len(dimensions)
    return total


@pytest.mark.parametrize("redundancy", [0.0, 0.0051, 1.0])
def test_barlow_twins_equals_its_loops(redundancy, embeddings):
    first, second = embeddings()
    loss = barlow_twins(first, second, redundancy=redundancy)
    expected = barlow_by_loops(first, second, redundancy)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 3.0, 7.0)])
def test_vicreg_equals_its_loops(weights, embeddings):
    first, second = (0.8 * view for view in embeddings())
    names = ("invariance", "variance", "covariance")
    loss = vicreg(first, second, **dict(zip(names, weights, strict=True)))
    assert loss.item() == pytest.approx(vicreg_by_loops(first, second, *weights), rel=1e-10)


DUPLICATES = SIGNS[:, :1].expand(8, 3)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (SIGNS, SIGNS, 0.0),
        (CONSTANT, CONSTANT, 3.0),
        (DUPLICATES, DUPLICATES, 0.0306),
        (SIGNS[:, :3], -SIGNS[:, :3], 12.0),
    ],
    ids=["decorrelated", "constant", "duplicates", "negated"],
)
def test_barlow_twins_closed_forms(first, second, expected):
    """Large embeddings, beside which the 1e-5 in the standardisation vanishes."""
    loss = barlow_twins(1e4 * first, 1e4 * second)
    assert loss.item() == pytest.approx(expected, abs=1e-10)


def test_barlow_twins_epsilon_is_inside_the_root():
    """Signs have variance 1, so C_ii = 1 / (1 + 1e-5), and nothing off the diagonal."""
    loss = barlow_twins(SIGNS[:, :3], SIGNS[:, :3]).item()
    assert loss == pytest.approx(3 * (1 - 1 / (1 + 1e-5)) ** 2, rel=1e-6)


def test_vicreg_closed_forms():
    assert vicreg(CONSTANT, CONSTANT).item() == pytest.approx(24.75, abs=1e-10)
    assert vicreg(SIGNS, SIGNS).item() == pytest.approx(0, abs=1e-10)
    shifted = vicreg(SIGNS, SIGNS + 2).item()
    assert shifted == pytest.approx(25 * 4, abs=1e-10)


def test_vicreg_covariance_of_duplicates():
    """Three equal columns of signs: covariance 8/7 in each of 6 places, over 3, in two views."""
    loss = vicreg(DUPLICATES, DUPLICATES)
    assert loss.item() == pytest.approx(2 * 6 * (8 / 7) ** 2 / 3, abs=1e-10)


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
def test_swapping_the_views_or_reordering_items_changes_nothing(loss, embeddings):
    first, second = embeddings()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    expected = pytest.approx(loss(first, second).item(), rel=1e-12)
    assert loss(second, first).item() == expected
    assert loss(first[order], second[order]).item() == expected


def test_barlow_twins_ignores_each_dimensions_scale_and_offset(embeddings):
    first, second = (1e4 * view for view in embeddings())
    scale = torch.tensor([1.0, 2.0, 5.0, 1.0, 30.0], dtype=torch.float64)
    loss = barlow_twins(first, second).item()
    assert barlow_twins(first * scale + 7e3, second).item() == pytest.approx(loss, rel=1e-8)


def barlow_dense(first, second):
    """With the matrix of dimensions by dimensions, whatever its size."""
    first, second = (
        (view - view.mean(dim=0)) / (view.var(dim=0, correction=0) + 1e-5).sqrt()
        for view in (first, second)
    )
    matrix = first.T @ second / len(first)
    off = matrix - matrix.diagonal().diag()
    return (1 - matrix.diagonal()).square().sum() + 0.0051 * off.square().sum()


def vicreg_dense(first, second):
    """With the covariance matrix, whatever its size."""
    loss = 25 * (first - second).square().mean()
    for view in (first, second):
        matrix = view.T.cov()
        missing = (1 - (matrix.diagonal() + 1e-4).sqrt()).clamp_min(0).mean()
        off = matrix - matrix.diagonal().diag()
        loss = loss + 12.5 * missing + off.square().sum() / len(matrix)
    return loss


def views_of(kind, batch, dim, embeddings):
    """Two views of the same items, alike as training makes them, in float64."""
    first, second = embeddings(batch, dim)
    if kind == "correlated":  # few directions explain all dimensions
        mixing, _ = embeddings(3, dim, seed=1)
        first = first[:, :3] @ mixing + 0.01 * first
    elif kind == "whitened":  # each dimension has variance 1, and as few as can be are alike
        first = torch.linalg.qr(first - first.mean(dim=0))[0] * math.sqrt(batch)
        first = F.pad(first, (0, dim - first.shape[1]))
    elif kind == "far":
        first = 3 * first + 1000
    return first, first + 0.1 * second


both_losses = pytest.mark.parametrize(
    ("loss", "dense"), [(barlow_twins, barlow_dense), (vicreg, vicreg_dense)]
)
KINDS = ["random", "correlated", "whitened"]


def value_and_gradients(loss, views):
    views = [view.clone().requires_grad_() for view in views]
    value = loss(*views)
    return value.detach(), *torch.autograd.grad(value, views)


@both_losses
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch", "dim"), [(2, 4), (2, 64), (7, 14), (7, 13), (16, 100)])
def test_equals_the_dense_form(batch, dim, kind, loss, dense, embeddings):
    views = views_of(kind, batch, dim, embeddings)
    found, expected = (value_and_gradients(form, views) for form in (loss, dense))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@both_losses
@pytest.mark.parametrize("kind", [*KINDS, "far"])
@pytest.mark.parametrize("dim", [128, 2048])
def test_float32_keeps_its_digits(dim, kind, loss, dense, embeddings):
    views = [view.float() for view in views_of(kind, 64, dim, embeddings)]
    exact = value_and_gradients(dense, [view.double() for view in views])
    found = value_and_gradients(loss, views)
    assert found[0].item() == pytest.approx(exact[0].item(), rel=1e-4)
    for one, other in zip(found[1:], exact[1:], strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm()


@both_losses
def test_gradients_match_finite_differences_with_fewer_items_than_dimensions(
    loss, dense, embeddings
):
    views = tuple((0.5 * view).requires_grad_() for view in embeddings(3, 7))
    assert torch.autograd.gradcheck(loss, views, eps=1e-6, rtol=1e-6, atol=1e-7)


@both_losses
def test_no_matrix_of_dimensions_by_dimensions(loss, dense, embeddings):
    views = [view.float().requires_grad_() for view in embeddings(4, 2048)]
    with torch.profiler.profile(profile_memory=True) as profile:
        loss(*views).backward()
    assert max(event.self_cpu_memory_usage for event in profile.events()) < 2048 * 2048


ROWS = torch.ones(4, 2)


@pytest.mark.parametrize("loss", [barlow_twins, vicreg])
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (ROWS, ROWS[:3], r"first and second must .* they are \(4, 2\) and \(3, 2\)"),
        (ROWS[0], ROWS[0], r"shape \(batch, dim\)"),
        (ROWS[:1], ROWS[:1], "needs a batch of at least 2 items.*found 1"),
    ],
)
def test_refusals_name_the_rule(loss, first, second, words):
    with pytest.raises(TwofoldError, match=words) as refusal:
        loss(first, second)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("loss", "weight"),
    [
        (barlow_twins, "redundancy"),
        (vicreg, "invariance"),
        (vicreg, "variance"),
        (vicreg, "covariance"),
    ],
)
def test_weights_are_not_negative(loss, weight):
    with pytest.raises(TwofoldError, match=f"{weight} is -1.0; it must be >= 0"):
        loss(ROWS, ROWS, **{weight: -1.0})
