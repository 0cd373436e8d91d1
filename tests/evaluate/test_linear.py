import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from twofold.errors import TwofoldError
from twofold.evaluate import linear_probe


@pytest.fixture(scope="module")
def digits():
    """Training features, their labels, and test features."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x = torch.tensor(images[order], dtype=torch.float32)
    return x[:1200], labels[order][:1200], x[1200:], labels[order][1200:]


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_equals_sklearn(digits, l2):
    train, labels, test, true = digits
    found = linear_probe(train, labels, test, l2_grid=[l2])
    scaler = StandardScaler().fit(train.numpy().astype(np.float64))
    other = LogisticRegression(C=1 / (len(train) * l2), max_iter=2000, tol=1e-6)
    other.fit(scaler.transform(train.numpy()), labels)
    expected = other.predict(scaler.transform(test.numpy()))
    assert (found.predictions.numpy() == expected).mean() > 0.994
    accuracy = (found.predictions.numpy() == true).mean()
    assert accuracy == pytest.approx((expected == true).mean(), abs=0.004)
    assert accuracy > 0.9


def test_reaches_the_minimum_of_its_objective_on_correlated_features():
    """The gradient of the stated objective, in plain numbers, vanishes at the solution."""
    from twofold.evaluate.linear import _fit

    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(12, 12, generator=generator) @ torch.diag(10.0 ** -torch.arange(12.0).div(4))
    x = torch.randn(500, 12, generator=generator) @ mix
    x = (x - x.mean(0)) / x.std(0)
    y = (x @ torch.randn(12, 3, generator=generator)).argmax(1)
    start = (torch.zeros(12, 3), torch.zeros(3))
    weight, bias = _fit(x, y, (x.T @ x).double() / 500, 1e-3, start)
    error = torch.softmax(x @ weight + bias, 1) - torch.nn.functional.one_hot(y, 3)
    assert (x.T @ error / 500 + 1e-3 * weight).abs().max() < 1e-3
    assert error.mean(0).abs().max() < 1e-3
    initial = torch.full_like(error, 1 / 3) - torch.nn.functional.one_hot(y, 3)
    assert (x.T @ initial / 500).abs().max() > 0.1


def test_the_same_call_gives_the_same_bits(digits):
    train, labels, test, _ = digits
    first, second = (linear_probe(train, labels, test, seed=3) for _ in range(2))
    assert torch.equal(first.predictions, second.predictions)
    assert (first.l2, first.held_out) == (second.l2, second.held_out)


def test_draws_nothing_from_the_global_generator(digits):
    train, labels, test, _ = digits
    state = torch.get_rng_state()
    linear_probe(train, labels, test)
    assert torch.equal(torch.get_rng_state(), state)


def test_leaves_its_arguments_alone_and_works_without_gradients(digits):
    train, labels, test, _ = digits
    before = train.clone()
    with torch.no_grad():
        linear_probe(train, labels, test)
    assert torch.equal(train, before)


def test_the_penalty_is_the_best_on_held_out_items_and_the_strongest_of_equals(digits):
    train, labels, test, _ = digits
    found = linear_probe(train, labels, test)
    assert sorted(found.held_out) == [1e-4, 1e-3, 1e-2, 1e-1]
    best = max(found.held_out.values())
    assert found.l2 == max(l2 for l2, value in found.held_out.items() if value == best)


def test_noise_is_penalised_and_a_clear_rule_is_not():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 40, generator=generator)
    noise = torch.randint(2, (2000,), generator=generator)
    rule = (x @ torch.randn(40, generator=generator) > 0).long()
    assert linear_probe(x, rule, x).l2 == 1e-4
    held_out = linear_probe(x, noise, x, l2_grid=[100.0, 1e-4]).held_out
    assert held_out[100.0] == pytest.approx(0.5, abs=0.1)


def test_scale_and_offset_of_a_feature_do_not_matter(digits):
    train, labels, test, _ = digits
    scale, offset = torch.logspace(-3, 3, 64), torch.linspace(-1, 1, 64)
    found = linear_probe(train * scale + offset * scale, labels, test * scale + offset * scale)
    expected = linear_probe(train, labels, test)
    assert (found.predictions == expected.predictions).float().mean() > 0.994


def test_features_that_do_not_vary_carry_nothing(digits):
    train, labels, test, _ = digits
    rounding = 0.1 * (1 + 1e-7 * (torch.arange(len(train))[:, None] % 2))
    found = linear_probe(
        torch.cat([train, rounding], 1), labels, torch.cat([test, 2 + rounding[: len(test)]], 1)
    )
    expected = linear_probe(train, labels, test).predictions
    assert (found.predictions == expected).float().mean() > 0.98
    all_equal = linear_probe(torch.ones(30, 2), torch.arange(30) % 3 // 2, torch.ones(4, 2))
    assert all_equal.predictions.tolist() == [0] * 4


def test_more_features_than_items():
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(40, 100, generator=generator), torch.arange(40) % 2
    x[:, 0] += 8 * labels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(linear_probe(x, labels, x).predictions, labels)


@pytest.mark.parametrize(
    ("train", "labels", "test", "options", "message"),
    [
        ((4, 3), [0, 1, 0, 1], (2, 2), {}, r"\(4, 3\) and \(2, 2\)"),
        ((1, 3), [0], (2, 3), {}, "there are 1 training items"),
        ((4, 3), [0, 1], (2, 3), {}, "4 items need"),
        ((4, 3), [0, 1, 0, 1], (2, 3), {"l2_grid": [0.0]}, "penalties > 0"),
        ((4, 3), [0, 1, 0, 1], (2, 3), {"l2_grid": []}, "penalties > 0"),
    ],
)
def test_mistakes_are_told(train, labels, test, options, message):
    with pytest.raises(TwofoldError, match=message):
        linear_probe(torch.ones(train), np.array(labels), torch.ones(test), **options)
