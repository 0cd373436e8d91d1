import pytest
import torch
from torch.nn import functional as F

from twofold.evaluate import nearest
from twofold.evaluate.nearest import Search, compare_all, search_pays
from twofold.hardware import Hardware


def draw(kind, count, seed):
    """Features `(count, 48)` as unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 48, generator=generator)
    if kind == "clustered":
        noise = noise / 4 + torch.eye(48)[torch.arange(count) * 48 // count]
    if kind == "positive":  # as after a ReLU: the mean cosine is .8
        noise = (noise + 1.5).relu()
    return F.normalize(noise)


@pytest.fixture
def no_fallback(monkeypatch):
    """The search has to find the neighbours itself."""
    monkeypatch.setattr(nearest, "compare_all", None)


def assert_nearest(found, bank, queries, k):
    """That what was found are the `k` nearest by similarities in float64."""
    similarity, index = found
    exact = queries.double() @ bank.double().T
    torch.testing.assert_close(similarity.double(), exact.topk(k).values, atol=5e-7, rtol=0)
    torch.testing.assert_close(exact.gather(1, index), similarity.double(), atol=5e-7, rtol=0)
    assert all(len(set(row.tolist())) == k for row in index)


@pytest.mark.parametrize("kind", ["random", "clustered", "positive"])
@pytest.mark.parametrize("k", [1, 20, 100])
def test_finds_the_nearest(kind, k, no_fallback):
    bank, queries = draw(kind, 3000, 0), draw(kind, 50, 1)
    search = Search(bank, k)
    for part in (queries[:30], queries[30:]):
        assert_nearest(search(part), bank, part, k)


def test_few_of_the_bank_are_compared(monkeypatch):
    compared = []
    similarities = nearest._similarities

    def counted(bank, queries, item, query):
        compared.append(len(item) / len(queries))
        return similarities(bank, queries, item, query)

    monkeypatch.setattr(nearest, "_similarities", counted)
    for kind in ("random", "clustered", "positive"):
        Search(draw(kind, 3000, 0), 20)(draw(kind, 50, 1))
    assert all(20 <= count < 50 for count in compared)


@pytest.mark.parametrize("rounded", ["bank", "query"])
def test_rounding_hides_no_neighbour(rounded, no_fallback):
    # Just below the middle of two bf16 numbers a number is rounded down, just above it up: so the
    # first half of `odd` becomes the smaller, though its product with `even` is the larger.
    middle = 0.125 * (1 + 2**-8)
    odd = torch.tensor([0.9999 * middle, 1.0001 * middle]).repeat_interleave(31)
    even = torch.tensor([0.12504, 0.125]).repeat_interleave(31)
    vectors, query = (odd, even) if rounded == "bank" else (even, odd)
    bank = torch.zeros(800, 62)
    bank[0, :31], bank[1, 31:] = vectors[:31], vectors[31:]
    bank[2:4] = -bank[:2]  # the mean is 0
    exact = (bank @ query)[:2]
    inexact = (bank.bfloat16() @ query.bfloat16())[:2].float()
    assert exact[0] > exact[1]
    assert inexact[0] < (1 - 2**-8) * inexact[1]
    similarity, index = Search(bank, 1)(query[None])
    assert index.tolist() == [[0]]
    torch.testing.assert_close(similarity[0, 0], exact[0])


@pytest.mark.parametrize("k", [1, 30])
def test_identical_features_are_all_compared(k):
    bank, queries = F.normalize(torch.ones(500, 8)), F.normalize(torch.ones(40, 8))
    assert_nearest(Search(bank, k)(queries), bank, queries, k)


def test_duplicates_are_separate_neighbours(no_fallback):
    bank, queries = draw("random", 1000, 0).repeat(3, 1), draw("random", 50, 1)
    assert_nearest(Search(bank, 20)(queries), bank, queries, 20)


def test_neighbours_below_the_mean_are_found(no_fallback):
    # Ten of the bank draw the mean towards the query; the next nearest are further than the mean.
    bank, queries = draw("random", 3000, 0), draw("random", 100, 1)
    bank[:, 0] *= 1e-3
    bank[:10] = queries[7] = torch.eye(48)[0]
    assert_nearest(Search(bank, 20)(queries), bank, queries, 20)


def test_queries_away_from_all_have_neighbours(no_fallback):
    bank, queries = draw("positive", 3000, 0), draw("positive", 100, 1)
    queries[7] = 0.0  # as near to all
    queries[9] = -queries[9]  # opposite to all
    assert_nearest(Search(bank, 20)(queries), bank, queries, 20)


def test_not_a_number_stays_with_its_query(no_fallback):
    bank, queries = draw("random", 3000, 0), draw("random", 100, 1)
    queries[7] = torch.nan
    similarity, index = Search(bank, 20)(queries)
    assert similarity[7].isnan().all()
    others = torch.arange(100) != 7
    assert_nearest((similarity[others], index[others]), bank, queries[others], 20)


def test_any_layout_of_memory(no_fallback):
    bank, queries = draw("random", 3000, 0), draw("random", 50, 1)
    columns, other = (part.T.contiguous().T for part in (bank, queries))
    assert_nearest(Search(columns, 20)(other), bank, queries, 20)


@pytest.mark.parametrize(
    ("items", "queries", "k", "threads", "precision", "pays"),
    [
        (5000, 600, 20, 2, "bf16", True),
        (5000, 600, 20, 2, "float32", False),
        (5000, 600, 200, 2, "bf16", False),
        (5000, 600, 20, 64, "bf16", False),
        (5000, 100, 20, 2, "bf16", False),
        (1000, 600, 20, 2, "bf16", False),
    ],
)
def test_what_is_searched(monkeypatch, items, queries, k, threads, precision, pays):
    hardware = Hardware(device="cpu", precision=precision, threads=threads, loader_threads=0)
    monkeypatch.setattr(nearest, "detect", lambda device: hardware)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert search_pays(torch.ones(items, 2), torch.ones(queries, 2), k) is pays


def test_all_are_compared_in_plain():
    bank, queries = draw("random", 300, 0), draw("random", 50, 1)
    assert_nearest(compare_all(bank, queries, 20), bank, queries, 20)
