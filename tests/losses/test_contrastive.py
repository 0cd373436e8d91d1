import math

import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses import nt_xent, nt_xent_bounds


def embeddings(batch=6, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, batch, dim, dtype=torch.float64, generator=generator).unbind()


def brute_force(first, second, temperature):
    """Equation 1 of the paper, anchor by anchor."""
    rows = [*first, *second]
    count = len(first)
    total = 0.0
    for i, anchor in enumerate(rows):
        similarity = [F.cosine_similarity(anchor, row, dim=0) / temperature for row in rows]
        others = sum(math.exp(s) for k, s in enumerate(similarity) if k != i)
        total += -math.log(math.exp(similarity[(i + count) % (2 * count)]) / others)
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_equals_the_papers_mean_over_all_anchors(temperature):
    first, second = embeddings()
    expected = brute_force(first, second, temperature)
    assert nt_xent(first, second, temperature=temperature).item() == pytest.approx(expected, 1e-12)


def simplex(count):
    """`count` unit vectors with equal angles between any two."""
    return F.normalize(torch.eye(count, dtype=torch.float64) - 1 / count, dim=1)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (torch.eye(8, dtype=torch.float64), 1.0628793939734),
        (torch.ones(8, 4, dtype=torch.float64), 2.7080502011022),
        (simplex(8), 0.8853445985445),
    ],
    ids=["orthonormal", "collapsed", "simplex"],
)
def test_closed_forms(items, expected):
    assert nt_xent(items, items, temperature=0.5).item() == pytest.approx(expected, abs=1e-12)


def test_all_rows_orthogonal_is_chance():
    first, second = torch.eye(16, dtype=torch.float64).chunk(2)
    loss = nt_xent(first, second, temperature=0.5).item()
    assert loss == pytest.approx(nt_xent_bounds(8, temperature=0.5).chance, abs=1e-12)


def test_floor_is_the_simplex_and_no_random_embeddings_go_below():
    floor = nt_xent_bounds(8, temperature=0.5).floor
    assert floor == pytest.approx(0.8853445985445, abs=1e-12)
    for seed in range(20):
        first, _ = embeddings(batch=8, dim=9, seed=seed)
        assert nt_xent(first, first, temperature=0.5).item() > floor


@pytest.mark.parametrize(
    ("batch", "temperature", "chance", "orthonormal"),
    [(512, 0.5, 6.93049, 4.93284), (4096, 0.1, 9.010791, 0.316142)],
)
def test_published_sizes(batch, temperature, chance, orthonormal):
    bounds = nt_xent_bounds(batch, temperature=temperature)
    assert bounds.chance == pytest.approx(chance, abs=1e-5)
    assert bounds.floor <= orthonormal


def test_gradients_match_finite_differences():
    first, second = (x.requires_grad_() for x in embeddings(batch=4, dim=3))
    assert torch.autograd.gradcheck(
        lambda a, b: nt_xent(a, b, temperature=0.3), (first, second), eps=1e-6, rtol=1e-6
    )


def test_gradient_is_orthogonal_to_each_embedding():
    first, second = (x.requires_grad_() for x in embeddings())
    nt_xent(first, second, temperature=0.5).backward()
    assert (first * first.grad).sum(1).abs().max() < 1e-15


def test_neither_scale_order_nor_swapping_views_matters():
    first, second = embeddings()
    loss = nt_xent(first, second, temperature=0.2)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for other in (
        nt_xent(first * 100, second * 0.01, temperature=0.2),
        nt_xent(first[order], second[order], temperature=0.2),
        nt_xent(second, first, temperature=0.2),
    ):
        assert other.item() == pytest.approx(loss.item(), rel=1e-12)


@pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_finite_in_float32_whatever_the_embeddings_type(temperature, dtype):
    first, second = (x.to(dtype).requires_grad_() for x in embeddings(batch=32, dim=16))
    loss = nt_xent(first, second, temperature=temperature)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(first.grad).all()


def test_autocast_does_not_reach_the_loss():
    first, second = (x.float() for x in embeddings(batch=64, dim=32))
    with torch.autocast("cpu", torch.bfloat16):
        inside = nt_xent(first, second, temperature=0.1)
    assert inside.item() == nt_xent(first, second, temperature=0.1).item()


@pytest.mark.parametrize(
    ("first", "second", "temperature", "words"),
    [
        (torch.ones(1, 4), torch.ones(1, 4), 0.5, "batch of at least 2"),
        (torch.ones(4, 1), torch.ones(4, 1), 0.5, "at least 2 dimensions"),
        (torch.ones(4, 2), torch.ones(3, 2), 0.5, r"\(4, 2\) and \(3, 2\)"),
        (torch.ones(4), torch.ones(4), 0.5, r"shape \(batch, dim\)"),
        (torch.ones(4, 2), torch.ones(4, 2), 0.0, "temperature is 0.0; it must be > 0"),
        (torch.ones(4, 2), torch.ones(4, 2), float("nan"), "must be > 0"),
    ],
)
def test_refusals_name_the_rule(first, second, temperature, words):
    with pytest.raises(TwofoldError, match=words):
        nt_xent(first, second, temperature=temperature)
