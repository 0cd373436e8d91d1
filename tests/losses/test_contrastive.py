import math

import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses import info_nce, info_nce_bounds, nt_xent, nt_xent_bounds


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
def test_equals_the_papers_mean_over_all_anchors(temperature, embeddings):
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


def test_floor_is_the_simplex():
    assert nt_xent_bounds(8, temperature=0.5).floor == pytest.approx(0.8853445985445, abs=1e-12)


@pytest.mark.parametrize(
    ("batch", "temperature", "chance", "orthonormal"),
    [(512, 0.5, 6.93049, 4.93284), (4096, 0.1, 9.010791, 0.316142)],
)
def test_published_sizes(batch, temperature, chance, orthonormal):
    bounds = nt_xent_bounds(batch, temperature=temperature)
    assert bounds.chance == pytest.approx(chance, abs=1e-5)
    assert bounds.floor <= orthonormal


def test_neither_scale_order_nor_swapping_views_matters(embeddings):
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
def test_finite_in_float32_whatever_the_embeddings_type(temperature, dtype, embeddings):
    first, second = (x.to(dtype).requires_grad_() for x in embeddings(batch=32, dim=16))
    loss = nt_xent(first, second, temperature=temperature)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(first.grad).all()


@pytest.mark.parametrize(
    ("first", "second", "temperature", "words"),
    [
        (torch.ones(1, 4), torch.ones(1, 4), 0.5, "batch of at least 2"),
        (torch.ones(4, 1), torch.ones(4, 1), 0.5, "at least 2 dimensions"),
        (torch.ones(4, 2), torch.ones(3, 2), 0.5, r"\(4, 2\) and \(3, 2\)"),
        (torch.ones(4), torch.ones(4), 0.5, r"shape \(batch, dim\)"),
        (torch.ones(4, 2), torch.ones(4, 2), 0.0, "temperature is 0.0; it must be > 0"),
        (torch.ones(4, 2), torch.ones(4, 2), float("nan"), "must be > 0"),
        (torch.ones(0, 2), torch.ones(0, 2), 0.5, r"shape \(batch, dim\); they are \(0, 2\)"),
    ],
)
def test_refusals_name_the_rule(first, second, temperature, words):
    with pytest.raises(TwofoldError, match=words):
        nt_xent(first, second, temperature=temperature)


def similarity_of(kind, one, other):
    if kind == "cosine":
        dot = sum(x * y for x, y in zip(one, other, strict=True))
        return dot / (math.hypot(*one) * math.hypot(*other))
    return -sum((x - y) ** 2 for x, y in zip(one, other, strict=True))


def info_nce_by_loops(query, key, temperature, similarity, negatives):
    """Query by query, one similarity at a time."""
    query, key = query.tolist(), key.tolist()
    total = 0.0
    for i, anchor in enumerate(query):
        if isinstance(negatives, torch.Tensor):
            others = negatives.tolist()
        else:
            others = [row for j, row in enumerate(key) if j != i]
            if negatives == "all":
                others += [row for j, row in enumerate(query) if j != i]
        own, *rest = (
            math.exp(similarity_of(similarity, anchor, row) / temperature)
            for row in [key[i], *others]
        )
        total -= math.log(own / (own + sum(rest)))
    return total / len(query)


QUEUE = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("temperature", [0.3, 2.0])
@pytest.mark.parametrize("negatives", ["cross", "all", QUEUE], ids=["cross", "all", "queue"])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_info_nce_equals_its_loops(similarity, negatives, temperature, embeddings):
    settings = {"temperature": temperature, "similarity": similarity, "negatives": negatives}
    query, key = embeddings()
    expected = info_nce_by_loops(query, key, **settings)
    assert info_nce(query, key, **settings).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (torch.eye(8, dtype=torch.float64), 0.6664679245110),
        (torch.ones(8, 4, dtype=torch.float64), 2.0794415416798),
    ],
    ids=["orthonormal", "collapsed"],
)
def test_info_nce_closed_forms(items, expected):
    assert info_nce(items, items, temperature=0.5).item() == pytest.approx(expected, abs=1e-12)


def test_info_nce_at_the_published_size():
    items = torch.eye(512, dtype=torch.float64)
    assert info_nce(items, items, temperature=0.5).item() == pytest.approx(4.25073, abs=1e-5)
    assert info_nce_bounds(512, temperature=0.5).chance == pytest.approx(6.2383, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_is_info_nce_against_all_both_ways(temperature, embeddings):
    first, second = embeddings()
    forth = info_nce(first, second, temperature=temperature, negatives="all")
    back = info_nce(second, first, temperature=temperature, negatives="all")
    loss = nt_xent(first, second, temperature=temperature)
    assert (forth + back).item() / 2 == pytest.approx(loss.item(), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_nt_xent_is_at_least_info_nce_against_the_other_view(seed, embeddings):
    first, second = embeddings(seed=seed)
    cross = [info_nce(*pair, temperature=0.5) for pair in [(first, second), (second, first)]]
    assert nt_xent(first, second, temperature=0.5) > sum(cross) / 2


def test_the_queue_receives_no_gradient(embeddings):
    query, key = (view.requires_grad_() for view in embeddings())
    queue = QUEUE.clone().requires_grad_()
    info_nce(query, key, temperature=0.5, negatives=queue).backward()
    assert queue.grad is None
    assert query.grad.abs().min() > 0
    assert key.grad.abs().min() > 0


def test_a_queue_serves_a_batch_of_one(embeddings):
    query, key = embeddings(batch=1)
    loss = info_nce(query, key, temperature=0.5, negatives=QUEUE)
    assert loss.item() == pytest.approx(
        info_nce_by_loops(query, key, 0.5, "cosine", QUEUE), rel=1e-12
    )


@pytest.mark.parametrize("negatives", ["cross", "all"])
def test_chance_and_floor_are_reached(negatives):
    chance, floor = info_nce_bounds(8, temperature=0.5, negatives=negatives)
    same, items = torch.ones(8, 4, dtype=torch.float64), simplex(8)
    settings = {"temperature": 0.5, "negatives": negatives}
    assert info_nce(same, same, **settings).item() == pytest.approx(chance, abs=1e-12)
    assert info_nce(items, items, **settings).item() == pytest.approx(floor, abs=1e-12)


def test_chance_and_floor_against_a_queue_are_reached():
    chance, floor = info_nce_bounds(3, temperature=0.5, negatives=9)
    same = torch.ones(3, 5, dtype=torch.float64)
    for queue, bound in [(torch.ones(9, 5), chance), (-torch.ones(9, 5), floor)]:
        loss = info_nce(same, same, temperature=0.5, negatives=queue)
        assert loss.item() == pytest.approx(bound, abs=1e-12)


def test_euclidean_floor_is_approached_as_items_drift_apart():
    chance, floor = info_nce_bounds(4, temperature=0.5, similarity="euclidean")
    items = 10 * torch.arange(4, dtype=torch.float64).unsqueeze(1)
    loss = info_nce(items, items, temperature=0.5, similarity="euclidean").item()
    assert floor <= loss < 1e-12
    assert chance == math.log(4)


@pytest.mark.parametrize("negatives", ["cross", "all"])
@pytest.mark.parametrize(("batch", "temperature"), [(2, 0.5), (4, 0.3), (5, 2.0)])
def test_optimised_embeddings_come_to_the_floor_and_never_below(
    negatives, batch, temperature, embeddings
):
    floor = info_nce_bounds(batch, temperature=temperature, negatives=negatives).floor
    views = [view.requires_grad_() for view in embeddings(batch, dim=6)]
    optimizer = torch.optim.LBFGS(views, max_iter=100, line_search_fn="strong_wolfe")
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = info_nce(*views, temperature=temperature, negatives=negatives)
        loss.backward()
        seen.append(loss.item())
        return loss

    optimizer.step(closure)
    assert min(seen) >= floor * (1 - 1e-12)
    assert min(seen) == pytest.approx(floor, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_random_embeddings_stay_above_the_floor(seed, embeddings):
    first, second = embeddings(batch=4, dim=3, seed=seed)
    second = first + 0.1 * second
    assert nt_xent(first, second, temperature=0.5) > nt_xent_bounds(4, temperature=0.5).floor
    for negatives in ("cross", "all"):
        floor = info_nce_bounds(4, temperature=0.5, negatives=negatives).floor
        assert info_nce(first, second, temperature=0.5, negatives=negatives) > floor
    floor = info_nce_bounds(4, temperature=0.5, negatives=3).floor
    assert info_nce(first, second, temperature=0.5, negatives=QUEUE[:3, :3]) > floor


def test_squared_distances_keep_the_digits_of_close_rows():
    near = torch.arange(6.0).reshape(6, 1) / 64
    far = near + 1024  # exact in float32, where its square is not
    settings = {"temperature": 0.001, "similarity": "euclidean"}
    for negatives in ("cross", "all"):
        loss = info_nce(far, far.flip(0), negatives=negatives, **settings)
        expected = info_nce(near, near.flip(0), negatives=negatives, **settings)
        assert loss.item() == expected.item()


def test_euclidean_gradient_where_rows_coincide():
    """Against explicit differences, whose square has no root to differentiate."""
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
    query, key = (rows.clone().requires_grad_() for _ in range(2))
    loss = info_nce(query, key, temperature=0.5, similarity="euclidean")
    logits = -(query.unsqueeze(1) - key).square().sum(dim=2) / 0.5
    expected = F.cross_entropy(logits, torch.arange(4))
    for one, other in zip(
        torch.autograd.grad(loss, (query, key)),
        torch.autograd.grad(expected, (query, key)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("temperature", [0.01, 0.05, 10.0])
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_info_nce_is_finite_at_any_temperature(similarity, temperature, embeddings):
    query, key = (view.half().requires_grad_() for view in embeddings(batch=32, dim=16))
    for negatives in ("cross", "all", QUEUE[:, :1].expand(9, 16)):
        loss = info_nce(
            query, key, temperature=temperature, similarity=similarity, negatives=negatives
        )
        assert torch.isfinite(loss)
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, (query, key)))


ROWS, LINE, ONE = torch.ones(4, 2), torch.ones(4, 1), torch.ones(1, 2)


@pytest.mark.parametrize(
    ("query", "key", "settings", "words"),
    [
        (ROWS, ONE, {}, r"query and key must .* they are \(4, 2\) and \(1, 2\)"),
        (ONE, ONE, {}, "info_nce needs a batch of at least 2 items.*found 1"),
        (ONE, ONE, {"negatives": "all"}, "info_nce needs a batch of at least 2 items"),
        (LINE, LINE, {}, "only the two values -1 and .1; use similarity='euclidean'"),
        (ROWS, ROWS, {"temperature": -1.0}, "temperature is -1.0; it must be > 0"),
        (ROWS, ROWS, {"similarity": "cosin"}, "unknown similarity 'cosin'; did you mean 'cosine'"),
        (ROWS, ROWS, {"negatives": "al"}, "unknown negatives 'al'; did you mean 'all'"),
        (ROWS, ROWS, {"negatives": LINE}, r"shape \(entries, 2\); it is .* shape \(4, 1\)"),
        (ROWS, ROWS, {"negatives": ROWS[:0]}, r"tensor of shape \(0, 2\)"),
    ],
)
def test_info_nce_refusals_name_the_rule(query, key, settings, words):
    with pytest.raises(TwofoldError, match=words) as refusal:
        info_nce(query, key, **({"temperature": 0.5} | settings))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("batch_size", "settings", "words"),
    [
        (1, {}, "batch of at least 2 items"),
        (8, {"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        (8, {"similarity": "dot"}, "unknown similarity 'dot'"),
        (8, {"negatives": "none"}, "unknown negatives 'none'"),
        (8, {"negatives": 0}, "the queue has 0 entries; it must have at least 1"),
    ],
)
def test_info_nce_bounds_refusals_name_the_rule(batch_size, settings, words):
    with pytest.raises(TwofoldError, match=words):
        info_nce_bounds(batch_size, **({"temperature": 0.5} | settings))


def test_nt_xent_has_no_bounds_for_one_item():
    with pytest.raises(TwofoldError, match="nt_xent needs a batch of at least 2 items"):
        nt_xent_bounds(1, temperature=0.5)


def test_one_dimension_is_enough_for_distances(embeddings):
    query, key = embeddings(dim=1)
    loss = info_nce(query, key, temperature=0.1, similarity="euclidean")
    expected = info_nce_by_loops(query, key, 0.1, "euclidean", "cross")
    assert loss.item() == pytest.approx(expected, rel=1e-12)
