from importlib import import_module

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate import knn, partners, retrieval, wilson
from twofold.evaluate.retrieval import _scores


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def problem():
    """Features of 5 overlapping classes of 2 to 40 items, and a lone item, off the origin."""
    labels = torch.arange(6).repeat_interleave(torch.tensor([2, 11, 1, 17, 29, 40]))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))
    labels = labels[order]
    return 1 + normal(6, 8)[labels] + normal(100, 8, seed=2), labels


def by_hand(queries, query_labels, bank, bank_labels, ks, *, themselves):
    """Each query's figures in plain loops, and how many queries can find nothing."""
    rows, dropped = [], 0
    for q, (query, label) in enumerate(zip(queries.double(), query_labels, strict=True)):
        others = [i for i in range(len(bank)) if not (themselves and i == q)]
        cosine = {i: float(F.cosine_similarity(query, bank[i].double(), dim=0)) for i in others}
        hits = [bool(bank_labels[i] == label) for i in sorted(others, key=lambda i: -cosine[i])]
        total = sum(hits)
        if total == 0:
            dropped += 1
            continue
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(total) if hits[i]]
        at_k = [float(any(hits[:k])) for k in ks]
        rows.append([*at_k, sum(hits[:total]) / total, sum(precisions) / total])
    return np.array(rows), dropped


@pytest.mark.parametrize("with_bank", [False, True])
def test_equals_plain_loops(problem, with_bank):
    features, labels = problem
    parts = [features, labels, features, labels]
    if with_bank:
        parts = [features[:30], labels[:30], features[30:], labels[30:]]
    rows, dropped = by_hand(*parts, (1, 2, 7), themselves=not with_bank)
    found = retrieval(*(parts if with_bank else parts[:2]), ks=(1, 2, 7))
    assert found.dropped == dropped > 0
    assert list(found.figures) == ["r@1", "r@2", "r@7", "r_precision", "map@r"]
    n = len(rows)
    for (name, figure), column in zip(found.figures.items(), rows.T, strict=True):
        margin = 1.96 * column.std(ddof=1) / n**0.5
        ends = [column.mean() - margin, column.mean() + margin]
        if "@" in name and name != "map@r":
            ends = list(wilson(int(column.sum()), n))
        assert figure["value"] == pytest.approx(column.mean(), abs=1e-6)
        assert figure["ci95"] == pytest.approx(ends, abs=1e-6)
        assert figure["n"] == n
    assert 0.3 < found.figures["map@r"]["value"] < 0.9


@pytest.mark.parametrize("with_bank", [False, True])
def test_blocks_do_not_change_the_answer(problem, with_bank, monkeypatch):
    parts = [*problem, *problem] if with_bank else problem
    whole = retrieval(*parts)
    for numbers in (1, 7 * 100):
        monkeypatch.setattr(import_module("twofold.evaluate.retrieval"), "_SIMILARITIES", numbers)
        found = retrieval(*parts)
        assert found.dropped == whole.dropped
        for name, figure in found.figures.items():
            assert figure["value"] == pytest.approx(whole.figures[name]["value"], abs=1e-6)


@pytest.mark.parametrize(
    ("hits", "matches", "expected"),
    [
        ([1, 0, 1], 3, (1, 2 / 3, 5 / 9)),
        ([0, 1, 1], 3, (2, 2 / 3, (1 / 2 + 2 / 3) / 3)),
        ([0, 0, 1], 2, (3, 0, 0)),
        ([0, 0, 0], 1, (4, 0, 0)),
        ([1, 1, 1], 2, (1, 1, 1)),
    ],
)
def test_closed_forms(hits, matches, expected):
    """The first is the worked example of the reference."""
    found = _scores(torch.tensor([hits]).bool(), torch.tensor([matches]))
    assert [part.item() for part in found] == pytest.approx(expected, abs=1e-7)


def test_the_nearest_are_those_of_knn(problem):
    features, labels = problem
    bank, bank_labels = features[30:], labels[30:]
    found = retrieval(features[:30], labels[:30], bank, bank_labels, ks=(1,))
    right = knn(bank, bank_labels, features[:30], k=1) == labels[:30]
    kept = torch.isin(labels[:30], bank_labels)
    assert found.figures["r@1"]["value"] == right[kept].double().mean().item()


def test_classes_that_are_apart_are_found_whole():
    labels = torch.arange(60) % 4
    for figure in retrieval(F.one_hot(labels).float(), labels).figures.values():
        assert figure["value"] == 1


def test_noise_is_at_chance():
    labels = torch.arange(1000) % 5
    figures = retrieval(normal(1000, 32), labels).figures
    chance = 199 / 999
    assert figures["r@1"]["value"] == pytest.approx(chance, abs=0.04)
    assert figures["r@5"]["value"] == pytest.approx(1 - (1 - chance) ** 5, abs=0.05)
    assert figures["r_precision"]["value"] == pytest.approx(chance, abs=0.01)
    assert figures["map@r"]["value"] < chance / 2


def test_an_item_does_not_find_itself_but_may_find_its_copies():
    directions = F.normalize(normal(50, 16))
    copies = torch.cat([directions, directions])
    own = torch.arange(50)
    assert retrieval(copies, torch.cat([own, own])).figures["r@1"]["value"] == 1
    # A copy is of another class here, and nearer than the one other item of the own class.
    other = torch.cat([own, (own + 1) % 50])
    figures = retrieval(copies, other, ks=(1,)).figures
    assert figures["r@1"]["value"] == 0
    assert figures["r_precision"]["value"] == 0


def test_length_and_precision_of_features_do_not_matter(problem):
    features, labels = problem
    scale = torch.linspace(0.01, 100, 100)[:, None]
    expected = retrieval(features, labels).figures
    for given in (features * scale, features.double()):
        found = retrieval(given, labels.numpy()).figures
        for name, figure in found.items():
            assert figure["value"] == pytest.approx(expected[name]["value"], abs=1e-6)


def test_leaves_its_arguments_alone(problem):
    features, labels = problem
    before = features.clone(), labels.clone()
    retrieval(features, labels)
    assert torch.equal(features, before[0])
    assert torch.equal(labels, before[1])


LABELS = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ((torch.ones(4, 3), LABELS), {}, "k is 5; with 3 items to find it must be 1 to that"),
        ((torch.ones(4, 3), LABELS), {"ks": (0,)}, "k is 0; with 3 items"),
        (
            (torch.ones(4, 3), LABELS, torch.ones(4, 3), LABELS),
            {"ks": (1, 5)},
            "k is 5; with 4 items to find",
        ),
        ((torch.ones(4, 3), LABELS, torch.ones(4, 3)), {}, "bank and bank_labels go together"),
        ((torch.ones(4, 3), LABELS, torch.ones(4, 2), LABELS), {}, r"\(4, 3\) and \(4, 2\)"),
        ((torch.ones(0, 3), LABELS[:0], torch.ones(4, 3), LABELS), {}, "neither empty"),
        ((torch.ones(4, 3), LABELS[:3]), {"ks": (1,)}, "4 items need"),
        ((torch.full((4, 3), torch.nan), LABELS), {"ks": (1,)}, "NaN or infinite"),
        ((torch.ones(4, 3), torch.arange(4)), {"ks": (1,)}, "0 of 4 queries have an item"),
    ],
)
def test_mistakes_are_told(parts, options, message):
    with pytest.raises(TwofoldError, match=message):
        retrieval(*parts, **options)


def ranks_by_hand(queries, bank):
    """Where the partner of each query comes, those as near as it half before and half after."""
    found = []
    for i, query in enumerate(queries.double()):
        cosine = [float(F.cosine_similarity(query, row.double(), dim=0)) for row in bank]
        nearer = sum(c > cosine[i] + 1e-12 for c in cosine)
        alike = sum(abs(c - cosine[i]) <= 1e-12 for c in cosine) - 1
        found.append(1 + nearer + alike / 2)
    return np.array(found)


@pytest.mark.parametrize("similarities", [2**24, 40])
def test_partners_are_found_as_by_hand(monkeypatch, similarities):
    monkeypatch.setattr(import_module(retrieval.__module__), "_SIMILARITIES", similarities)
    bank = normal(30, 5)
    queries = bank + normal(30, 5, seed=1)
    ranks = ranks_by_hand(queries, bank)
    found = partners(queries, bank, ks=(1, 3, 30))
    for k in (1, 3, 30):
        assert found[f"r@{k}"]["value"] == (ranks <= k).mean()
        assert found[f"r@{k}"]["ci95"] == list(wilson(int((ranks <= k).sum()), 30))
    assert found["median_rank"]["value"] == np.median(ranks)
    low, high = found["median_rank"]["ci95"]
    assert low <= np.median(ranks) <= high
    assert found == partners(3 * queries, bank / 7, ks=(1, 3, 30))


def test_partners_that_are_all_alike_are_in_the_middle():
    """A constant encoder is at chance, not at the top."""
    found = partners(torch.ones(21, 4), torch.ones(21, 4))
    assert found["r@10"]["value"] == 0
    assert found["median_rank"]["value"] == 11


def test_partners_know_which_way_they_are_asked():
    queries, bank = torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]
    assert partners(queries, bank, ks=(1,))["r@1"]["value"] == 0.5
    one, other = normal(20, 3), normal(20, 3, seed=1)
    both = [partners(*pair)["median_rank"]["value"] for pair in ((one, other), (other, one))]
    assert both == [
        np.median(ranks_by_hand(one, other)),
        np.median(ranks_by_hand(other, one)),
    ]


@pytest.mark.parametrize(
    ("queries", "bank", "ks", "says"),
    [
        (normal(4, 3), normal(5, 3), (1,), "4 queries and 5 items to find"),
        (normal(4, 3), normal(4, 2), (1,), "must be"),
        (normal(4, 3), normal(4, 3), (5,), "k is 5; with 4 items to find it must be 1 to that"),
        (normal(4, 3) / 0, normal(4, 3), (1,), "NaN or infinite"),
    ],
)
def test_partners_refuses_what_does_not_fit(queries, bank, ks, says):
    with pytest.raises(TwofoldError, match=says):
        partners(queries, bank, ks=ks)
