import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate import draw_episodes, few_shot


@pytest.fixture(scope="module")
def problem():
    """Features of 8 overlapping classes of different sizes, away from the origin."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(8).repeat_interleave(torch.arange(10, 26, 2))
    centres = torch.randn(8, 6, generator=generator)
    return 3 + centres[labels] + torch.randn(len(labels), 6, generator=generator), labels


def by_hand(features, support, query):
    """Mean and deviation of the accuracy of the nearest class mean, in plain loops."""
    x, accuracies = features.double().numpy(), []
    for known, asked in zip(support, query, strict=True):
        means = [x[list(items)].mean(axis=0) for items in known]
        right = [
            min(range(len(means)), key=lambda way: ((x[item] - means[way]) ** 2).sum()) == own
            for own, items in enumerate(asked)
            for item in items
        ]
        accuracies.append(sum(right) / len(right))
    return np.mean(accuracies), np.std(accuracies, ddof=1)


@pytest.mark.parametrize("options", [{}, {"ways": 3, "shots": 4, "queries": 5}])
def test_nearest_class_mean_equals_plain_loops(problem, options):
    features, labels = problem
    found = few_shot(features, labels, episodes=80, seed=3, **options)
    mean, std = by_hand(features, *draw_episodes(labels, episodes=80, seed=3, **options))
    margin = 1.96 * std / 80**0.5
    assert found["value"] == pytest.approx(mean, abs=1e-12)
    assert found["ci95"] == pytest.approx([mean - margin, mean + margin], abs=1e-12)
    assert (found["n"], found["chance"]) == (80, 1 / options.get("ways", 5))
    assert found["chance"] + 0.2 < mean < 1


@pytest.mark.parametrize("centre", [None, torch.linspace(2, 4, 6)])
def test_cl2n_is_the_nearest_class_mean_of_centred_features_of_length_1(problem, centre):
    features, labels = problem
    centred = features - (features.mean(0) if centre is None else centre)
    transformed = centred / centred.norm(dim=1, keepdim=True)
    found = few_shot(
        features, labels, classifier="cl2n", centre=centre, episodes=50, shots=2, queries=2
    )
    expected, _ = by_hand(transformed, *draw_episodes(labels, episodes=50, shots=2, queries=2))
    raw, _ = by_hand(features, *draw_episodes(labels, episodes=50, shots=2, queries=2))
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["value"] != pytest.approx(raw, abs=1e-3)


@pytest.mark.parametrize("ways", [2, 5])
def test_logistic_equals_sklearn_and_does_not_feel_length(problem, ways):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    features, labels = problem
    options = {"ways": ways, "shots": 3, "queries": 2, "episodes": 20}
    x, accuracies = normalize(features.numpy()), []
    for support, query in zip(*draw_episodes(labels, **options), strict=True):
        model = LogisticRegression().fit(x[support.ravel()], labels[support.ravel()])
        accuracies.append(model.score(x[query.ravel()], labels[query.ravel()]))
    scaled = features * torch.linspace(0.1, 10, len(features))[:, None]
    for given in (features, scaled):
        found = few_shot(given, labels, classifier="logistic", **options)
        assert found["value"] == pytest.approx(np.mean(accuracies), abs=1e-6)


@pytest.mark.parametrize("classifier", ["centroid", "cl2n", "logistic"])
def test_classes_that_are_apart_are_told_apart(classifier):
    labels = torch.arange(70) % 7
    features = F.one_hot(labels).float()
    found = few_shot(features, labels, episodes=30, queries=3, classifier=classifier)
    assert (found["value"], found["ci95"]) == (1.0, [1.0, 1.0])


@pytest.mark.parametrize("classifier", ["centroid", "cl2n", "logistic"])
@pytest.mark.parametrize("level", [0.0, 0.1, 1000.1])
def test_constant_features_are_exactly_at_chance(classifier, level):
    features = torch.full((60, 4), level)
    found = few_shot(features, torch.arange(60) % 6, episodes=20, shots=3, classifier=classifier)
    assert found["value"] == pytest.approx(0.2, abs=1e-12)
    assert found["ci95"] == pytest.approx([0.2, 0.2], abs=1e-12)


def test_a_tie_counts_as_the_chance_to_be_right():
    """Classes 0 and 1 look the same, 2 differs: right are 1/2, 1/2 and 1."""
    labels = torch.arange(30) % 3
    features = F.one_hot(labels.clamp(min=1)).float()
    assert few_shot(features, labels, ways=3, episodes=10)["value"] == pytest.approx(2 / 3)


def test_noise_is_at_chance_within_its_interval():
    features = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    found = few_shot(features, torch.arange(600) % 20, episodes=2000)
    assert found["ci95"][0] < 0.2 < found["ci95"][1]
    assert found["ci95"][1] - found["ci95"][0] == pytest.approx(2 * 1.96 * 0.179 / 2000**0.5, 0.1)


def test_an_offset_far_larger_than_the_features_does_not_blur_them(problem):
    features, labels = problem
    shifted = few_shot(features + 2000, labels, episodes=200)["value"]
    assert shifted == pytest.approx(few_shot(features, labels, episodes=200)["value"], abs=0.005)


def test_blocks_do_not_change_the_answer(problem, monkeypatch):
    from importlib import import_module

    whole = few_shot(*problem, episodes=11)
    monkeypatch.setattr(import_module("twofold.evaluate.few_shot"), "_NUMBERS", 4 * 6 * 5 * 2)
    assert few_shot(*problem, episodes=11) == whole


def test_episodes_hold_different_items_of_different_classes(problem):
    _, labels = problem
    support, query = draw_episodes(labels, ways=4, shots=3, queries=7, episodes=200)
    assert support.shape == (200, 4, 3)
    assert query.shape == (200, 4, 7)
    items = np.concatenate([support, query], axis=2)
    classes = labels.numpy()[items]
    assert (classes == classes[:, :, :1]).all()
    assert all(len(set(ways)) == 4 for ways in classes[:, :, 0])
    assert all(len(set(episode.ravel())) == 40 for episode in items)


def test_every_class_and_every_item_comes_up_equally_often_in_both_parts():
    labels = np.repeat([3, 0, 1], [6, 6, 12])
    drawn = draw_episodes(labels, ways=2, shots=2, queries=3, episodes=6000)
    for part, count in zip(drawn, (2, 3), strict=True):
        times = np.bincount(part.ravel(), minlength=24) / 6000
        # A class is in 2 of 3 episodes, an item in `count` of the 6 or 12 places of its class.
        expected = 2 / 3 * count / np.repeat([6, 12], [12, 12])
        assert times == pytest.approx(expected, abs=0.03)
        for position in range(count):
            at = np.bincount(part[:, :, position].ravel(), minlength=24) / 6000
            assert at == pytest.approx(expected / count, abs=0.02)
    first_way = np.bincount(labels[drawn.support[:, 0, 0]], minlength=4) / 6000
    assert first_way == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=0.03)


def test_small_classes_are_left_out_and_a_class_may_be_used_up():
    labels = torch.tensor([0] * 3 + [1] * 2 + [2] * 3)
    support, query = draw_episodes(labels, ways=2, shots=1, queries=2, episodes=50)
    items = np.concatenate([support, query], axis=2)
    assert set(items.ravel()) == {0, 1, 2, 5, 6, 7}


def test_episodes_depend_on_the_seed_and_on_no_encoder(problem):
    features, labels = problem
    first, again = draw_episodes(labels, seed=1), draw_episodes(labels.numpy(), seed=1)
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert (first.support != draw_episodes(labels, seed=2).support).any()
    state = torch.get_rng_state()
    assert few_shot(features, labels, seed=1) == few_shot(features, labels, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": 1}, "ways is 1; it must be >= 2"),
        ({"shots": 0}, "shots is 0; it must be >= 1"),
        ({"queries": 0}, "queries is 0"),
        ({"episodes": 1}, "episodes is 1; it must be >= 2"),
        ({"shots": 15, "queries": 5}, "3 classes have the 20 items that 15 shots and 5 queries"),
        ({"classifier": "centroids"}, "did you mean 'centroid'"),
        ({"centre": torch.zeros(6)}, "centre is for cl2n"),
        ({"classifier": "cl2n", "centre": torch.zeros(5)}, r"centre \(5,\); they must be"),
    ],
)
def test_mistakes_are_told(problem, options, message):
    with pytest.raises(TwofoldError, match=message):
        few_shot(*problem, **options)


def test_each_item_needs_a_label(problem):
    features, labels = problem
    with pytest.raises(TwofoldError, match="one each"):
        few_shot(features, labels[1:])
