import math
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate import knn, knn_votes, neighbours


@pytest.fixture
def problem():
    """Bank, labels and queries of four overlapping classes, away from the origin."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 6, generator=generator)
    labels = torch.randint(4, (200,), generator=generator)
    bank = centres[labels] + 1.2 * torch.randn(200, 6, generator=generator)
    queries = centres[torch.arange(60) % 4] + 1.2 * torch.randn(60, 6, generator=generator)
    return bank, labels, queries


def vote_by_hand(bank, labels, query, k, temperature):
    cosines = [
        float(row.double() @ query.double() / (row.double().norm() * query.double().norm()))
        for row in bank
    ]
    nearest = sorted(range(len(bank)), key=lambda i: -cosines[i])[:k]
    score = dict.fromkeys(range(4), 0.0)
    for i in nearest:
        score[int(labels[i])] += math.exp(cosines[i] / temperature)
    return max(score, key=score.get)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.07), (200, 0.5)])
def test_equals_the_published_vote_in_plain_loops(problem, k, temperature):
    bank, labels, queries = problem
    expected = [vote_by_hand(bank, labels, query, k, temperature) for query in queries]
    assert knn(bank, labels, queries, k=k, temperature=temperature).tolist() == expected
    assert len(set(expected)) == 4


def test_equals_sklearn_with_the_same_weights(problem):
    bank, labels, queries = problem
    other = KNeighborsClassifier(
        20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    ).fit(bank.numpy(), labels.numpy())
    assert knn(bank, labels, queries).tolist() == other.predict(queries.numpy()).tolist()


def test_infinite_temperature_is_the_unweighted_vote(problem):
    bank, labels, queries = problem
    other = KNeighborsClassifier(15, metric="cosine").fit(bank.numpy(), labels.numpy())
    found = knn(bank, labels, queries, k=15, temperature=math.inf)
    assert found.tolist() == other.predict(queries.numpy()).tolist()


@pytest.mark.parametrize("temperature", [0.07, math.inf])
def test_votes_are_shares_and_equal_sklearn(problem, temperature):
    bank, labels, queries = problem
    other = KNeighborsClassifier(
        20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(bank.numpy(), labels.numpy())
    found = knn_votes(bank, labels, queries, temperature=temperature)
    np.testing.assert_allclose(found, other.predict_proba(queries.numpy()), atol=1e-5)
    assert torch.equal(found.argmax(1), knn(bank, labels, queries, temperature=temperature))


def test_unanimous_votes_tie_exactly(problem):
    bank, _, queries = problem
    votes = knn_votes(bank, torch.ones(200, dtype=torch.long), queries, k=7)
    assert torch.equal(votes, torch.tensor([[0.0, 1.0]]).expand(60, 2))


def test_neighbours_equal_sklearn(problem):
    bank, _, queries = problem
    other = NearestNeighbors(n_neighbors=8, metric="cosine").fit(bank.numpy())
    distance, expected = other.kneighbors(queries.numpy())
    similarity, index = neighbours(bank, queries, k=8)
    assert index.tolist() == expected.tolist()
    np.testing.assert_allclose(similarity, 1 - distance, atol=1e-6)


def test_blocks_do_not_change_the_answer(problem, monkeypatch):
    bank, _, queries = problem
    whole_similarity, whole_index = neighbours(bank, queries)
    for numbers in (1, 7 * len(bank)):
        monkeypatch.setattr(import_module("twofold.evaluate.knn"), "_SIMILARITIES", numbers)
        similarity, index = neighbours(bank, queries)
        assert torch.equal(index, whole_index)
        torch.testing.assert_close(similarity, whole_similarity)


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_large_bank_votes_as_in_float64(classes, dtype):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(6000, 8, generator=generator, dtype=dtype)
    vectors = (hidden @ torch.randn(8, 32, generator=generator, dtype=dtype) + 2).relu()
    bank, queries = vectors[:5000], vectors[5000:]
    labels = torch.randint(classes, (5000,), generator=generator)
    cosines = F.normalize(queries.double()) @ F.normalize(bank.double()).T
    similarity, index = cosines.topk(50)
    votes = F.one_hot(labels[index], classes) * (similarity / 0.1).exp()[:, :, None]
    scores = votes.sum(1)
    found = knn(bank, labels, queries, k=50, temperature=0.1)
    apart = 1 - scores.gather(1, found[:, None])[:, 0] / scores.max(1).values
    assert (apart < 1e-5).all()  # below, rounding decides
    assert (found == scores.argmax(1)).float().mean() > 0.99
    torch.testing.assert_close(
        neighbours(bank, queries, k=50)[0].double(), similarity, atol=1e-6, rtol=0
    )


def test_neighbours_of_features_that_are_learned(problem):
    bank, _, queries = problem
    similarity, _ = neighbours(bank.requires_grad_(), queries)
    assert not similarity.requires_grad


def test_the_bank_knows_itself(problem):
    bank, labels, _ = problem
    assert torch.equal(knn(bank, labels, bank, k=1), labels)


def test_length_of_features_does_not_matter(problem):
    bank, labels, queries = problem
    scale = torch.linspace(0.01, 100, len(bank))[:, None]
    assert torch.equal(knn(bank * scale, labels, queries * 1e3), knn(bank, labels, queries))


def test_identical_features_elect_the_majority():
    labels = torch.tensor([2, 2, 1, 0, 2])
    assert knn(torch.ones(5, 3), labels, torch.ones(2, 3), k=5).tolist() == [2, 2]


def test_a_small_temperature_does_not_overflow(problem):
    bank, labels, queries = problem
    assert torch.equal(
        knn(bank, labels, queries, temperature=1e-4), knn(bank, labels, queries, k=1)
    )


def test_bf16_features_are_compared_in_float32(problem):
    bank, labels, queries = problem
    found = knn(bank.bfloat16(), labels, queries.bfloat16())
    expected = knn(bank.bfloat16().float(), labels, queries.bfloat16().float())
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; with 200 items in the bank it must be 1 to that"),
        ({"k": 201}, "k is 201"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        ({"temperature": math.nan}, "temperature is nan"),
    ],
)
def test_mistakes_are_told(problem, options, message):
    with pytest.raises(TwofoldError, match=message):
        knn(*problem, **options)


def test_dimensions_must_agree(problem):
    bank, labels, queries = problem
    with pytest.raises(TwofoldError, match=r"\(200, 6\) and \(60, 5\)"):
        knn(bank, labels, queries[:, :5])
