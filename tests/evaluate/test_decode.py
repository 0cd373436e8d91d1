import math
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from twofold.errors import TwofoldError
from twofold.evaluate import decode, wilson

decoding = import_module("twofold.evaluate.decode")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def decoded(features, drawn, kind, **options):
    """`decode` with the last third of the rows as its test."""
    n = 2 * len(features) // 3
    return decode(features[:n], drawn[:n], features[n:], drawn[n:], kind=kind, **options)


@pytest.fixture(scope="module")
def features():
    return 5 + 3 * normal(3000, 16)


# what each probe finds


@pytest.mark.parametrize(
    ("trace", "kind"),
    [
        (lambda x: x[:, 0] * x[:, 1] > 0, "binary"),
        (lambda x: x[:, 0].abs() > 0.7, "binary"),
        (lambda x: (x[:, 0] > 0).long() + 2 * (x[:, 1] * x[:, 2] > 0), "classes"),
        (lambda x: torch.stack([x[:, 0].abs(), x[:, 1] + x[:, 2]], 1), "continuous"),
    ],
    ids=["xor", "absolute value", "four classes", "absolute value and a sum"],
)
def test_the_network_finds_traces_that_are_not_linear(features, trace, kind):
    drawn = trace((features - 5) / 3)
    found, linear = (decoded(features, drawn, kind, probe=probe) for probe in ("mlp", "linear"))
    assert found["value"] > 0.92
    assert found["ci95"][0] > linear["ci95"][1] + 0.2


@pytest.mark.parametrize("probe", ["mlp", "linear"])
def test_noise_is_at_chance(features, probe):
    noise = normal(3000, 2, seed=9)
    found = decoded(features, noise[:, 0] > 0, "binary", probe=probe)
    assert found["ci95"][0] < 0.5 < found["ci95"][1]
    assert found["ci95"][1] - found["ci95"][0] > 0.05
    found = decoded(features, (noise[:, 0] > 0.5).long(), "classes", probe=probe)
    assert found["value"] == pytest.approx(found["chance"], abs=0.01)
    assert found["chance"] == pytest.approx(0.69, abs=0.03)
    found = decoded(features, noise, "continuous", probe=probe)
    assert -0.02 < found["value"] < 0.005


@pytest.mark.parametrize("probe", ["mlp", "linear"])
def test_noise_is_at_chance_with_few_rows_and_many_features(probe):
    features, noise = normal(300, 200), normal(300, 1, seed=9)
    assert -0.15 < decoded(features, noise, "continuous", probe=probe)["value"] < 0.02
    found = decoded(features, noise[:, 0] > 0, "binary", probe=probe)
    assert found["ci95"][0] < 0.5 < found["ci95"][1]


@pytest.mark.parametrize("probe", ["mlp", "linear"])
def test_a_clear_trace_is_recovered_whole(features, probe):
    drawn = features[:, 3] > 5
    assert decoded(features, drawn, "binary", probe=probe)["value"] > 0.995
    assert decoded(features, drawn.long(), "classes", probe=probe)["value"] > 0.97
    assert decoded(features, features[:, 3:5] * 2 - 1, "continuous", probe=probe)["value"] > 0.99


def test_the_linear_probe_equals_sklearn(features):
    drawn = features @ normal(16, 2, seed=1) + 20 * normal(3000, 2, seed=2)
    x = StandardScaler().fit(features[:2000].numpy()).transform(features.numpy())
    ridge = Ridge(alpha=2000 * 1e-3).fit(x[:2000], drawn[:2000].numpy())
    expected = r2_score(drawn[2000:].numpy(), ridge.predict(x[2000:]))
    found = decoded(features, drawn, "continuous", probe="linear")
    assert found["value"] == pytest.approx(expected, abs=2e-3)
    assert 0.2 < expected < 0.8
    binary = drawn[:, 0] > drawn[:, 0].median()
    logistic = LogisticRegression(C=1 / (2000 * 1e-3)).fit(x[:2000], binary[:2000].numpy())
    expected = roc_auc_score(binary[2000:], logistic.decision_function(x[2000:]))
    found = decoded(features, binary, "binary", probe="linear")
    assert found["value"] == pytest.approx(expected, abs=2e-3)


def test_ridge_equals_sklearn_where_rows_are_not_centred(features):
    drawn = features[:, :2].abs()
    covariance = (features.T @ features).double() / len(features)
    weight, bias = decoding._fitted(features, drawn, covariance, 2, 0.3)
    other = Ridge(alpha=3000 * 0.3).fit(features.double().numpy(), drawn.double().numpy())
    assert weight.T.numpy() == pytest.approx(other.coef_, abs=1e-4)
    assert bias.numpy() == pytest.approx(other.intercept_, abs=1e-3)


def test_scale_and_offset_of_features_and_of_what_was_drawn_do_not_matter(features):
    drawn = features[:, :2].abs() + 5 * normal(3000, 2, seed=1)
    scale, offset = torch.logspace(-3, 3, 16), torch.linspace(-1, 1, 16)
    found = decoded(features, drawn, "continuous", probe="linear")
    moved = decoded(
        features * scale + offset * scale,
        drawn * torch.tensor([1e-3, 1e3]) - 2,
        "continuous",
        probe="linear",
    )
    assert moved["value"] == pytest.approx(found["value"], abs=1e-3)


# measures, against scikit-learn


@pytest.fixture
def weights():
    return torch.randint(0, 4, (7, 200), generator=torch.Generator().manual_seed(5)).double()


def test_auc_equals_sklearn_with_ties_and_weights(weights):
    score = (normal(200) * 2).round()
    positive = normal(200, seed=1) + score / 2 > 0
    expected = [roc_auc_score(positive, score, sample_weight=weight) for weight in weights]
    assert decoding._auc(score, positive, weights).tolist() == pytest.approx(expected)
    assert expected[0] > 0.6


def test_r_squared_equals_sklearn_with_weights_and_leaves_constants_out(weights):
    true = 100 + normal(200, 3).double() * torch.tensor([1.0, 10.0, 0.0])
    predicted = true + normal(200, 3, seed=1) * 2
    expected = [r2_score(true[:, :2], predicted[:, :2], sample_weight=one) for one in weights]
    assert decoding._r_squared(predicted, true, weights).tolist() == pytest.approx(expected)


def test_a_resample_with_nothing_to_tell_apart_is_left_out():
    weight = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]).double()
    positive = torch.tensor([True, True, False, False])
    score = torch.tensor([2.0, 3.0, 1.0, 0.0])
    first, second = decoding._auc(score, positive, weight).tolist()
    assert (math.isnan(first), second) == (True, 1.0)
    first, second = decoding._r_squared(
        score[:, None].double(), positive[:, None].double(), weight
    ).tolist()
    assert (math.isnan(first), math.isnan(second)) == (True, False)


# intervals and chance


def test_accuracy_has_wilsons_interval_and_the_most_frequent_class_as_chance(features):
    drawn = (features[:, 0] > 5).long() + (features[:, 0] > 7).long()
    found = decoded(features, drawn, "classes", probe="linear")
    correct = round(found["value"] * 1000)
    assert found["ci95"] == list(wilson(correct, 1000))
    assert found["chance"] == np.bincount(drawn[2000:]).max() / 1000
    assert (found["metric"], found["n"]) == ("accuracy", 1000)


def test_the_bootstrap_has_the_width_of_theory():
    """Of a correlation r between normal variables, R² has deviation 2 r (1 - r²) / √n."""
    x = normal(9000, 1)
    drawn = x + normal(9000, 1, seed=1)
    found = decoded(x, drawn, "continuous", probe="linear")
    low, high = found["ci95"]
    expected = 2 * 1.96 * 2 * math.sqrt(0.5) * 0.5 / math.sqrt(3000)
    assert high - low == pytest.approx(expected, rel=0.2)
    assert low < found["value"] < high
    assert found["value"] == pytest.approx(0.5, abs=0.04)
    assert (found["metric"], found["chance"], found["n"]) == ("R²", 0.0, 3000)


@pytest.mark.parametrize("kind", ["binary", "classes", "continuous"])
def test_rows_of_one_group_are_resampled_together(kind):
    """Rows that come in copies of nine bear an interval three times as wide."""
    x = normal(400, 4).repeat_interleave(9, 0)
    score = x[:, 0] + normal(400, seed=1).repeat_interleave(9)
    drawn = {"binary": score > 0, "classes": (score > 0).long(), "continuous": score[:, None]}[kind]
    train, test = slice(0, 1800), slice(1800, 3600)
    groups = 7 * (torch.arange(1800) // 9)
    alone, together = (
        decode(
            x[train],
            drawn[train],
            x[test],
            drawn[test],
            kind=kind,
            groups_test=given,
            probe="linear",
        )
        for given in (None, groups)
    )
    assert alone["value"] == together["value"]
    narrow, wide = (found["ci95"][1] - found["ci95"][0] for found in (alone, together))
    assert wide / narrow == pytest.approx(3, rel=0.25)


def test_groups_of_one_row_change_nothing(features):
    drawn = features[:, 0] + 5 * normal(3000, seed=1) > 5
    alone, together = (
        decoded(features, drawn, "binary", groups_test=groups, probe="linear")
        for groups in (None, torch.arange(1000))
    )
    assert alone == together


def test_all_right_in_all_groups_still_has_an_interval():
    drawn = torch.arange(300) % 2
    features = drawn[:, None].float()
    found = decoded(features, drawn, "classes", groups_test=torch.arange(100) // 2, probe="linear")
    assert (found["value"], found["ci95"]) == (1.0, list(wilson(100, 100)))


# how it behaves


@pytest.mark.parametrize("probe", ["mlp", "linear"])
def test_the_same_call_gives_the_same_and_another_seed_another(features, probe):
    drawn = features[:, 0].abs() + 5 * normal(3000, seed=1) > 5
    state = torch.get_rng_state()
    first, again, other = (
        decoded(features, drawn, "binary", seed=seed, probe=probe) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert first != other


def test_leaves_its_arguments_alone_and_works_without_gradients(features):
    features, drawn = features[:300].clone(), normal(300, 2, seed=1)
    before = features.clone(), drawn.clone()
    with torch.no_grad():
        decoded(features, drawn, "continuous")
    assert torch.equal(features, before[0])
    assert torch.equal(drawn, before[1])


@pytest.mark.parametrize("probe", ["mlp", "linear"])
def test_test_rows_enter_no_choice(features, monkeypatch, probe):
    """The first test rows get the same answers whatever the others are."""
    drawn, answers, real = features[:, 0] > 5, [], decoding._measured
    monkeypatch.setattr(
        decoding, "_measured", lambda *given: answers.append(given[0]) or real(*given)
    )
    for test in (features[2000:2200], torch.cat([features[2000:2200], 50 * features[2200:]])):
        decode(features[:2000], drawn[:2000], test, drawn[: len(test)], kind="binary", probe=probe)
    assert [len(given) for given in answers] == [200, 1000]
    torch.testing.assert_close(answers[0], answers[1][:200])


def test_a_class_that_only_the_test_has_is_wrong(features):
    drawn = (features[:, 0] > 5).long()
    drawn[2500:] = 4
    found = decoded(features, drawn, "classes", probe="linear")
    assert found["value"] == pytest.approx(0.5, abs=0.03)
    assert found["chance"] == 0.5


def test_what_does_not_vary_carries_nothing(features):
    constant = torch.full((3000, 3), 0.1)
    drawn = torch.cat([features[:, :1], constant], 1)
    found = decoded(torch.cat([features, constant], 1), drawn, "continuous")
    assert found["value"] > 0.98
    assert decoded(constant, features[:, 0] > 5, "binary")["value"] == 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_features_may_have_any_precision(features, dtype):
    assert decoded(features.to(dtype), features[:, 0] > 5, "binary", probe="linear")["value"] > 0.99


ROWS = torch.arange(40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "continous"}, "did you mean 'continuous'"),
        ({"probe": "knn"}, "unknown probe 'knn'"),
        ({"test": torch.ones(40, 4)}, r"\(40, 3\) and \(40, 4\)"),
        ({"train": torch.ones(19, 3)}, "there are 19 training and 40 test rows; a probe needs 20"),
        ({"test": torch.full((40, 3), torch.nan)}, "a feature is NaN"),
        ({"drawn": ROWS}, "not binary"),
        ({"drawn": ROWS[1:] % 2}, r"need \(40,\), one each"),
        ({"drawn": ROWS * 0 + 1}, "every training row was drawn 1"),
        ({"drawn_test": ROWS > 99}, "every test row was drawn 0"),
        ({"drawn": ROWS / 40, "kind": "classes"}, "whole class numbers"),
        ({"kind": "continuous"}, r"shapes \(40,\) and \(40,\)"),
        (
            {"drawn": normal(40, 2), "drawn_test": normal(40, 1), "kind": "continuous"},
            r"shapes \(40, 2\) and \(40, 1\)",
        ),
        (
            {"drawn": normal(40, 1), "drawn_test": torch.ones(40, 1), "kind": "continuous"},
            "no drawn parameter varies",
        ),
        (
            {"drawn": normal(40, 1) / 0, "drawn_test": normal(40, 1), "kind": "continuous"},
            "a drawn parameter is NaN",
        ),
        ({"groups_test": ROWS[1:]}, r"40 test rows need \(40,\)"),
        ({"groups_test": ROWS * 0}, "all test rows are of one group"),
    ],
)
def test_mistakes_are_told(changes, message):
    call = {
        "train": torch.ones(40, 3),
        "drawn": ROWS % 2,
        "test": torch.ones(40, 3),
        "drawn_test": ROWS % 2,
        "kind": "binary",
    }
    with pytest.raises(TwofoldError, match=message):
        decode(**(call | changes))
