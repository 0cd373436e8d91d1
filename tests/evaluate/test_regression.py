import warnings

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from twofold.errors import TwofoldError
from twofold.evaluate import figures_by_target, knn_regression, regression_figures, ridge_probe


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def problem():
    """Training features, their two targets in different units, and test features."""
    x = 5 + normal(400, 12) @ normal(12, 12, seed=1)
    y = x @ normal(12, 2, seed=2) * torch.tensor([1e-3, 1e3]) + 7
    y = y + y.std(0) * normal(400, 2, seed=3)
    return x[:300], y[:300], x[300:]


# the ridge probe


@pytest.mark.parametrize("l2", [10.0, 1e-2])
@pytest.mark.parametrize("count", [300, 8])  # more items than features, and fewer
def test_ridge_equals_sklearn(problem, l2, count):
    problem = problem[0][:count], problem[1][:count], problem[2]
    train, targets, test = (part.double().numpy() for part in problem)
    x, y = StandardScaler().fit(train), StandardScaler().fit(targets)
    other = Ridge(alpha=count * l2).fit(x.transform(train), y.transform(targets))
    expected = y.inverse_transform(other.predict(x.transform(test)))
    found = ridge_probe(*problem, l2_grid=[l2]).predictions
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8)


def test_the_penalty_is_the_best_on_held_out_items_by_sklearn(problem):
    train, targets, test = problem
    found = ridge_probe(train, targets, test, seed=2)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2)).numpy()
    x, y = (StandardScaler().fit_transform(part.double().numpy()[order]) for part in problem[:2])
    expected = {
        l2: r2_score(y[:30], Ridge(alpha=270 * l2).fit(x[30:], y[30:]).predict(x[:30]))
        for l2 in (1e2, 1e1, 1e0, 1e-1, 1e-2, 1e-3, 1e-4)
    }
    assert found.held_out == pytest.approx(expected, abs=1e-8)
    assert found.l2 == max(expected, key=expected.get)


def test_noise_is_penalised_and_a_clear_rule_is_not():
    x = normal(600, 100)
    rule, noise = x[:, 0] - 3 * x[:, 1], normal(600, seed=1)
    clear = ridge_probe(x[:400], rule[:400], x[400:])
    assert clear.l2 == 1e-4
    assert clear.predictions.numpy() == pytest.approx(rule[400:].numpy(), abs=2e-3)
    blind = ridge_probe(x[:400], noise[:400], x[400:])
    assert blind.l2 >= 1
    assert r2_score(noise[400:], blind.predictions) > -0.1


def test_the_stronger_of_equal_penalties_is_chosen():
    """A constant is predicted exactly whatever the penalty."""
    found = ridge_probe(normal(40, 3), torch.full((40,), 2.0), normal(5, 3))
    assert set(found.held_out.values()) == {1.0}
    assert found.l2 == 1e2
    assert found.predictions.tolist() == [2.0] * 5


def test_one_target_and_a_column_of_it_are_the_same(problem):
    train, targets, test = problem
    one = ridge_probe(train, targets[:, 0], test).predictions
    column = ridge_probe(train, targets[:, :1].numpy(), test).predictions
    assert (one.shape, column.shape) == ((100,), (100, 1))
    assert torch.equal(one, column[:, 0])


def test_scale_and_offset_of_features_and_targets_do_not_matter(problem):
    train, targets, test = (part.double() for part in problem)
    scale, offset = torch.logspace(-3, 3, 12).double(), torch.linspace(-9, 9, 12).double()
    expected = ridge_probe(train, targets, test)
    found = ridge_probe(train * scale + offset, 5 * targets - 2, test * scale + offset)
    assert found.l2 == expected.l2
    torch.testing.assert_close(found.predictions, 5 * expected.predictions - 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_and_features_that_do_not_vary(problem, dtype):
    train, targets, test = problem
    wide = [
        torch.cat([part, torch.full((len(part), 2), 0.1)], 1).to(dtype) for part in (train, test)
    ]
    expected = ridge_probe(train, targets, test).predictions
    found = ridge_probe(wide[0], targets, wide[1]).predictions
    assert ((found - expected).std(0) < 0.1 * expected.std(0)).all()


def test_more_features_than_items():
    x, y, test = normal(40, 100), normal(40, seed=1), normal(9, 100, seed=2)
    scaler = StandardScaler().fit(x.double().numpy())
    other = Ridge(alpha=40 * 0.01).fit(scaler.transform(x.double().numpy()), y.double().numpy())
    expected = other.predict(scaler.transform(test.double().numpy()))
    found = ridge_probe(x, y, test, l2_grid=[0.01])
    np.testing.assert_allclose(found.predictions.numpy(), expected, rtol=1e-6)


def test_the_same_call_gives_the_same_bits_and_leaves_all_alone(problem):
    before, state = [part.clone() for part in problem], torch.get_rng_state()
    first, again = (ridge_probe(*problem, seed=3) for _ in range(2))
    assert torch.equal(first.predictions, again.predictions)
    assert first.held_out == again.held_out
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(part, old) for part, old in zip(problem, before, strict=True))


# nearest neighbours


@pytest.mark.parametrize("temperature", [0.07, float("inf")])
def test_neighbours_equal_sklearn_with_the_same_weights(problem, temperature):
    train, targets, test = problem
    other = KNeighborsRegressor(
        15, metric="cosine", weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(train.double().numpy(), targets.double().numpy())
    expected = other.predict(test.double().numpy())
    found = knn_regression(train, targets, test, k=15, temperature=temperature)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)
    one = knn_regression(train, targets[:, 1].numpy(), test, k=15, temperature=temperature)
    assert torch.equal(one, found[:, 1])


def test_the_bank_knows_itself(problem):
    train, targets, _ = problem
    assert torch.equal(knn_regression(train, targets, train, k=1), targets.double())


# figures


def test_figures_equal_plain_formulas():
    true = normal(200).double().numpy()
    predicted = true + normal(200, seed=1).double().numpy()
    found = regression_figures(predicted, torch.from_numpy(true))
    error = predicted - true
    expected = {
        "r2": 1 - (error**2).sum() / ((true - true.mean()) ** 2).sum(),
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "spearman": np.corrcoef(rankdata(predicted), rankdata(true))[0, 1],
    }
    assert {name: figure["value"] for name, figure in found.items()} == pytest.approx(expected)
    for figure in found.values():
        assert figure["ci95"][0] < figure["value"] < figure["ci95"][1]
        assert figure["n"] == 200
    width = found["mae"]["ci95"][1] - found["mae"]["ci95"][0]
    assert width == pytest.approx(2 * 1.96 * np.abs(error).std() / 200**0.5, rel=0.25)


def test_errors_alone_carry_the_unit():
    true = np.arange(30.0)
    found = figures_by_target(true[:, None] + 1, true[:, None], unit="GeV")
    units = {name: figure.pop("unit", None) for name, figure in found.items()}
    assert units == {"r2": None, "mae": "GeV", "rmse": "GeV", "spearman": None}
    assert found == regression_figures(true + 1, true)


def test_an_exact_prediction_and_a_constant_one():
    true = np.arange(30.0)
    exact = regression_figures(true, true)
    assert [figure["value"] for figure in exact.values()] == pytest.approx([1, 0, 0, 1])
    assert exact["spearman"]["ci95"] == pytest.approx([1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = regression_figures(np.full(30, 14.5), true)
    assert constant["spearman"] == {"value": 0.0, "ci95": [0.0, 0.0], "n": 30}
    assert constant["r2"]["value"] == 0


def test_figures_are_the_same_for_the_same_seed():
    pair = normal(2, 50).numpy()
    assert regression_figures(*pair, seed=1) == regression_figures(*pair, seed=1)
    assert regression_figures(*pair, seed=1) != regression_figures(*pair, seed=2)


# mistakes


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((9, 3), (9,), (2, 2)), {}, r"\(9, 3\) and \(2, 2\)"),
        (((9, 3), (8,), (2, 3)), {}, r"targets have shape \(8,\); 9 items need \(9,\)"),
        (((9, 3), (9, 1, 1), (2, 3)), {}, r"targets have shape \(9, 1, 1\)"),
        (((3, 3), (3,), (2, 3)), {}, "there are 3 training items"),
        (((9, 3), (9,), (2, 3)), {"l2_grid": []}, "penalties > 0"),
        (((9, 3), (9,), (2, 3)), {"l2_grid": [1.0, 0.0]}, "penalties > 0"),
    ],
)
def test_mistakes_in_a_ridge_probe_are_told(shapes, options, message):
    with pytest.raises(TwofoldError, match=message):
        ridge_probe(*(normal(*shape) for shape in shapes), **options)


def test_numbers_that_are_none_are_told():
    x, y, gap = normal(9, 3), normal(9), torch.full((9,), torch.nan)
    with pytest.raises(TwofoldError, match="a target is NaN"):
        ridge_probe(x, gap, x)
    with pytest.raises(TwofoldError, match="a target is NaN"):
        knn_regression(x, gap, x, k=1)
    with pytest.raises(TwofoldError, match="a feature is NaN"):
        ridge_probe(x, y, x / 0)
    with pytest.raises(TwofoldError, match="a prediction or target is NaN"):
        regression_figures(gap, y)


def test_other_mistakes_are_told():
    x, y = normal(9, 3), normal(9)
    with pytest.raises(TwofoldError, match=r"temperature is 0.0; it must be > 0"):
        knn_regression(x, y, x, k=1, temperature=0.0)
    with pytest.raises(TwofoldError, match="k is 10"):
        knn_regression(x, y, x, k=10)
    for predictions in (y[:8], x):
        with pytest.raises(TwofoldError, match="of one target"):
            regression_figures(predictions, y)
