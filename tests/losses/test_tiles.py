"""Streamed log-sum-exp against the dense form, which sees all similarities at once."""

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from twofold.losses import info_nce, nt_xent, sup_con, tiles
from twofold.losses.similarities import Cosine, Euclidean
from twofold.losses.tiles import log_sum_exp

TILE = 8
LABELS = torch.arange(200) % 7
QUEUE = torch.randn(37, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LOSSES = {
    "nt_xent": nt_xent,
    "cross": info_nce,
    "all": lambda a, b, **t: info_nce(a, b, negatives="all", **t),
    "queue": lambda a, b, **t: info_nce(a, b, negatives=QUEUE[:, : a.shape[1]], **t),
    "euclidean": lambda a, b, **t: info_nce(a, b, similarity="euclidean", **t),
    "euclidean, all": lambda a, b, **t: info_nce(
        a, b, similarity="euclidean", negatives="all", **t
    ),
    "out": lambda a, b, **t: sup_con(torch.cat([a, b]), LABELS[: 2 * len(a)] // 2, **t),
    "in": lambda a, b, **t: sup_con(
        torch.cat([a, b]), LABELS[: 2 * len(a)] // 2, variant="in", **t
    ),
    "one class": lambda a, b, **t: sup_con(torch.cat([a, b]), 0 * LABELS[: 2 * len(a)], **t),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture
def choose(monkeypatch):
    """Streams in tiles of 8 by 8, or not at all: `choose(dense=...)`."""
    monkeypatch.setattr(tiles, "_TILE", TILE)

    def set_sizes(*, dense):
        for name in ("_DENSE", "_DENSE_SYMMETRIC"):
            monkeypatch.setattr(tiles, name, math.inf if dense else 0)

    set_sizes(dense=False)
    return set_sizes


def value_and_gradients(loss, views):
    views = [view.clone().requires_grad_() for view in views]
    value = loss(*views)
    return value.detach(), *torch.autograd.grad(value, views)


def both_forms(choose, loss, views):
    found = []
    for dense in (False, True):
        choose(dense=dense)
        found.append(value_and_gradients(loss, views))
    return zip(*found, strict=True)


@every_loss
@pytest.mark.parametrize("temperature", [0.001, 0.01, 0.07, 0.5])
@pytest.mark.parametrize("batch", [2, 4, 7, 8, 9, 29, 64])
def test_equals_the_dense_form(batch, temperature, name, embeddings, choose):
    views = embeddings(batch)
    if name in ("out", "in"):
        views = embeddings(max(batch, 4))
    loss = LOSSES[name]
    for streamed, dense in both_forms(
        choose, lambda *pair: loss(*pair, temperature=temperature), views
    ):
        # Exponents, and with them all gradients, are rounded to eps / temperature.
        near = max(1e-12, 2e-14 / temperature)
        torch.testing.assert_close(streamed, dense, rtol=near, atol=near)


@every_loss
def test_equals_the_dense_form_where_rows_are_duplicates(name, embeddings, choose):
    first, second = (view.repeat(5, 1) for view in embeddings(5))
    for streamed, dense in both_forms(
        choose, lambda *pair: LOSSES[name](*pair, temperature=0.1), (first, second)
    ):
        torch.testing.assert_close(streamed, dense, rtol=1e-12, atol=1e-12)


@every_loss
@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_gradients_match_finite_differences(temperature, name, embeddings, choose):
    views = tuple(view.requires_grad_() for view in embeddings(9, 3))
    assert torch.autograd.gradcheck(
        lambda *pair: LOSSES[name](*pair, temperature=temperature), views, rtol=1e-5, atol=1e-6
    )


no_second = pytest.mark.skipif(
    torch.__version__ < "2.10", reason="torch 2.9 cannot differentiate the gradient of cdist"
)


@pytest.mark.parametrize(
    "name", ["nt_xent", "all", "queue", pytest.param("euclidean", marks=no_second), "in"]
)
def test_the_gradient_can_be_differentiated(name, embeddings, choose):
    views = tuple(view.requires_grad_() for view in embeddings(9, 2))
    assert torch.autograd.gradgradcheck(
        lambda *pair: LOSSES[name](*pair, temperature=0.3), views, rtol=1e-5, atol=1e-6
    )


@every_loss
def test_the_same_bits_each_time_and_from_a_graph_that_is_kept(name, embeddings, choose):
    views = [view.float().requires_grad_() for view in embeddings(29)]
    loss, again = (LOSSES[name](*views, temperature=0.1) for _ in range(2))
    assert torch.equal(loss, again)
    once, twice = (torch.autograd.grad(loss, views, retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(once, twice, strict=True))


@every_loss
def test_autocast_reaches_neither_pass(name, embeddings, choose):
    views = [view.float() for view in embeddings(29)]
    outside = value_and_gradients(lambda *pair: LOSSES[name](*pair, temperature=0.1), views)
    with torch.autocast("cpu", torch.bfloat16):
        inside = value_and_gradients(lambda *pair: LOSSES[name](*pair, temperature=0.1), views)
    assert all(torch.equal(one, other) for one, other in zip(inside, outside, strict=True))


@every_loss
@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.0155, 0.5, 100.0])
@pytest.mark.parametrize("length", [0.0, 1.0, 1e4])
def test_finite_at_extremes(length, temperature, name, embeddings, choose):
    """Also where temperatures are on either side of what can be summed without a maximum."""
    same, views = torch.full((20, 4), length), [length * v.float() for v in embeddings(20, 4)]
    for pair in ((same, same), (same, -same), views):
        parts = value_and_gradients(lambda *x: LOSSES[name](*x, temperature=temperature), pair)
        assert all(torch.isfinite(part).all() for part in parts)


@pytest.mark.parametrize("temperature", [0.015, 0.02, 0.1])
def test_float32_keeps_its_digits(temperature, embeddings):
    """2,000 rows, some of them almost partners, against float64."""
    first, second = embeddings(1000, 16)
    second = first + torch.linspace(0, 2, 1000, dtype=torch.float64)[:, None] * second
    views = [first.float(), second.float()]
    exact = value_and_gradients(
        lambda *pair: nt_xent(*pair, temperature=temperature), [v.double() for v in views]
    )
    found = value_and_gradients(lambda *pair: nt_xent(*pair, temperature=temperature), views)
    assert found[0].item() == pytest.approx(exact[0].item(), rel=1e-5)
    for one, other in zip(found[1:], exact[1:], strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_a_loss_of_nothing_to_confuse_is_no_less_than_zero(choose):
    items = 3 * torch.eye(40)
    for name in ("nt_xent", "cross", "all"):
        assert 0 <= LOSSES[name](items, items, temperature=0.01).item() < 1e-6


@pytest.mark.parametrize("similarity", [Cosine(0.3), Euclidean(0.3), Cosine(0.001)])
@pytest.mark.parametrize("without", [(), (0,), (-5, 0, 5), (3,)])
def test_diagonals_are_left_out(similarity, without, embeddings, choose):
    rows, others = similarity.prepare(*embeddings(21))
    values = similarity.of(rows, others)
    offset = torch.arange(21) - torch.arange(21)[:, None]
    for diagonal in without:
        values = values.masked_fill(offset == diagonal, -math.inf)
    found = log_sum_exp(rows, others, similarity=similarity, without=without)
    torch.testing.assert_close(found, values.logsumexp(dim=1), rtol=1e-12, atol=1e-12)


def test_the_similarities_of_partners_are_on_the_diagonal(embeddings):
    for similarity in (Cosine(0.3), Euclidean(0.3)):
        first, second = similarity.prepare(*embeddings())
        expected = similarity.of(first, second).diagonal()
        torch.testing.assert_close(similarity.of_partners(first, second), expected)


def test_no_gradient_is_computed_for_what_needs_none(embeddings, choose, monkeypatch):
    """A queue of thousands of entries would double the work."""
    sides = []

    def spy(similarity, weights, first, second):
        sides.append(len(first))
        return weights @ second

    monkeypatch.setattr(Cosine, "gradient", spy)
    query, key = (view.requires_grad_() for view in embeddings(5))
    info_nce(query, key, temperature=0.5, negatives=QUEUE).backward()
    assert set(sides) == {5}


def test_few_rows_make_wide_tiles(embeddings, choose):
    rows, _ = embeddings(2)
    comparison = tiles._Comparison(Cosine(0.5), False, (), None)
    widths = [tile.columns for tile in comparison.tiles(rows, QUEUE)]
    assert widths == [slice(0, 32), slice(32, 64)]


@pytest.mark.slow
def test_streaming_survives_compilation_and_function_transforms(embeddings, choose):
    first, second = embeddings(29)

    def loss(rows):
        return nt_xent(rows, second, temperature=0.3)

    (expected,) = value_and_gradients(loss, [first])[1:]
    torch.testing.assert_close(torch.func.grad(loss)(first), expected)
    compiled = torch.compile(loss, backend="eager")
    assert torch.equal(value_and_gradients(compiled, [first])[1], expected)


MEMORY = """
import sys, torch
from pathlib import Path
from twofold.losses import nt_xent

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

torch.set_num_threads(1)
for pairs in (600, int(sys.argv[1])):  # the first call loads what is loaded once
    views = torch.randn(2, pairs, 128).requires_grad_()
    before = peak()
    nt_xent(*views).backward()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_16384_pairs_need_less_than_256_mib():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, "16384"], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 256


def test_memory_is_that_of_a_tile_not_of_the_matrix(embeddings):
    """2,048 rows have 16 MiB of similarities, which the profiler would see allocated."""
    views = [view.float().requires_grad_() for view in embeddings(1024, 8)]
    with torch.profiler.profile(profile_memory=True) as profile:
        nt_xent(*views, temperature=0.5).backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest <= 2 * 256 * 256 * 4


def test_the_chance_of_the_streamed_form_is_that_of_collapse():
    same = F.normalize(torch.ones(400, 3, dtype=torch.float64))
    assert nt_xent(same, same, temperature=0.5).item() == pytest.approx(math.log(799), abs=1e-12)
