import warnings
from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate import clustering
from twofold.evaluate.clustering import _accuracy, _silhouette


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def problem():
    """Features of four overlapping classes of different sizes, off the origin."""
    labels = torch.arange(4).repeat_interleave(torch.tensor([20, 30, 40, 60]))
    return 1 + 1.5 * normal(4, 8)[labels] + normal(150, 8, seed=1), labels


@pytest.fixture(scope="module")
def found(problem):
    return clustering(*problem)


def test_equals_k_means_and_measures_of_sklearn(problem, found):
    features, labels = normalize(problem[0].numpy()), problem[1].numpy()
    clusters = KMeans(4, n_init=10, random_state=0).fit_predict(features)
    expected = {
        "nmi": metrics.normalized_mutual_info_score(labels, clusters),
        "ami": metrics.adjusted_mutual_info_score(labels, clusters),
        "ari": metrics.adjusted_rand_score(labels, clusters),
        "accuracy": max(
            (np.array(order)[clusters] == labels).mean() for order in permutations(range(4))
        ),
        "silhouette": metrics.silhouette_score(features, clusters),
    }
    assert {name: figure["value"] for name, figure in found.items()} == pytest.approx(
        expected, abs=1e-5
    )
    assert 0.3 < expected["nmi"] < 0.95


def test_intervals_hold_the_value_and_have_the_width_of_theory(found):
    for figure in found.values():
        assert figure["ci95"][0] < figure["value"] < figure["ci95"][1]
        assert figure["n"] == 150
    share = found["accuracy"]["value"]
    width = found["accuracy"]["ci95"][1] - found["accuracy"]["ci95"][0]
    assert width == pytest.approx(2 * 1.96 * (share * (1 - share) / 150) ** 0.5, rel=0.3)


def test_names_of_classes_do_not_matter():
    labels = torch.arange(60) % 5
    features = F.one_hot(labels).float()
    for figure in clustering(features, 7 * ((labels + 2) % 5)).values():
        assert figure["value"] == pytest.approx(1, abs=1e-6)
        assert figure["ci95"] == pytest.approx([1, 1], abs=1e-6)


def test_features_that_are_all_the_same_fall_into_one_cluster():
    labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clustering(torch.ones(60, 4), labels)
    assert {name: figure["value"] for name, figure in found.items()} == pytest.approx(
        {"nmi": 0, "ami": 0, "ari": 0, "accuracy": 1 / 2, "silhouette": 0}, abs=1e-9
    )


def test_noise_is_at_chance_where_the_measure_is_adjusted():
    found = clustering(normal(300, 8), torch.arange(300) % 10)
    assert found["nmi"]["value"] > 0.05
    for name in ("ami", "ari"):
        assert found[name]["value"] == pytest.approx(0, abs=0.03)
        assert found[name]["ci95"][0] < 0 < found[name]["ci95"][1]


def test_accuracy_gives_each_class_one_cluster_at_most():
    classes = np.array([0, 0, 0, 0, 1, 1, 1])
    assert _accuracy(classes, np.array([0, 0, 1, 1, 2, 2, 2])) == 5 / 7  # more clusters
    assert _accuracy(classes, np.zeros(7, int)) == 4 / 7  # fewer
    assert _accuracy(classes, np.array([5, 5, 5, 1, 1, 1, 1])) == 6 / 7


def test_the_number_of_clusters_can_be_chosen(problem):
    features, labels = problem
    two = clustering(features, labels, clusters=2)
    assert 0.3 < two["accuracy"]["value"] <= 100 / 150
    # Each item is its own cluster: all clusters are pure, and all items alone.
    many = clustering(features[::5], labels[::5], clusters=30)
    assert many["accuracy"]["value"] == 4 / 30
    assert many["silhouette"]["value"] == 0
    assert many["ami"]["value"] == pytest.approx(0, abs=1e-6)


def test_the_silhouette_is_of_a_sample_of_the_items():
    points = np.concatenate([normal(1500, 4).numpy(), 1 + normal(1500, 4, seed=1).numpy()])
    clusters = np.repeat([0, 1], 1500)
    whole = metrics.silhouette_score(points, clusters)
    first, again, other = (_silhouette(points, clusters, seed) for seed in (0, 0, 1))
    assert first == again
    assert first["value"] != other["value"]
    for found in (first, other):
        assert found["n"] == 2000
        assert found["ci95"][0] < whole < found["ci95"][1]


def test_length_and_precision_of_features_do_not_matter(problem, found):
    features, labels = problem
    scale = torch.linspace(0.01, 100, 150)[:, None]
    given = (features.double() * scale).requires_grad_()
    again = clustering(given, labels.numpy())
    for name, figure in again.items():
        assert figure["value"] == pytest.approx(found[name]["value"], abs=1e-5)


def test_the_same_call_gives_the_same(problem, found):
    state = np.random.get_state()[1].copy()
    assert clustering(*problem) == found
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("features", "labels", "options", "message"),
    [
        (torch.ones(4), [0, 1, 0, 1], {}, r"features have shape \(4,\)"),
        (torch.ones(4, 2), [0, 1, 0], {}, "4 items need"),
        (torch.ones(4, 2), [3, 3, 3, 3], {}, "labels hold 1 class"),
        (torch.full((4, 2), torch.nan), [0, 1, 0, 1], {}, "NaN or infinite"),
        (torch.ones(4, 2), [0, 1, 0, 1], {"clusters": 5}, "clusters is 5; with 4 items"),
        (torch.ones(4, 2), [0, 1, 0, 1], {"clusters": 1}, "clusters is 1"),
        (torch.ones(4, 2), [0, 1, 0, 1], {"inits": 0}, "inits is 0"),
    ],
)
def test_mistakes_are_told(features, labels, options, message):
    with pytest.raises(TwofoldError, match=message):
        clustering(features, np.array(labels), **options)
