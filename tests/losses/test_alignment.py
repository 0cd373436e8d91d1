import math

import pytest
import torch

from twofold.errors import TwofoldError
from twofold.losses import byol, negative_cosine


def cosine(one, other):
    dot = sum(x * y for x, y in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def mean_cosine(first, second):
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    return sum(cosine(*pair) for pair in pairs) / len(pairs)


ITEMS = torch.eye(4, dtype=torch.float64)
OTHERS = ITEMS.roll(1, dims=0)


@pytest.mark.parametrize(
    ("target", "expected"), [(ITEMS, 0), (OTHERS, 4), (-ITEMS, 8)], ids=["0", "90", "180 degrees"]
)
def test_closed_forms(target, expected):
    assert byol((ITEMS, ITEMS), (target, target)).item() == pytest.approx(expected, abs=1e-12)
    simsiam = negative_cosine(ITEMS, 3 * target).item()
    assert simsiam == pytest.approx(expected / 4 - 1, abs=1e-12)


def test_negative_cosine_equals_its_loops(embeddings):
    prediction, target = embeddings()
    expected = -mean_cosine(prediction, target)
    assert negative_cosine(prediction, target).item() == pytest.approx(expected, rel=1e-12)


def test_byol_equals_its_loops_each_prediction_against_the_other_views_target(embeddings):
    predictions, targets = embeddings(seed=0), embeddings(seed=1)
    forth = mean_cosine(predictions[0], targets[1])
    back = mean_cosine(predictions[1], targets[0])
    expected = (2 - 2 * forth) + (2 - 2 * back)
    assert byol(predictions, targets).item() == pytest.approx(expected, rel=1e-12)


def test_byol_is_the_squared_distance_of_unit_vectors(embeddings):
    predictions, targets = embeddings(seed=0), embeddings(seed=1)
    expected = sum(
        (p / p.norm(dim=1, keepdim=True) - t / t.norm(dim=1, keepdim=True)).square().sum(1).mean()
        for p, t in zip(predictions, targets[::-1], strict=True)
    )
    assert byol(predictions, targets).item() == pytest.approx(expected.item(), rel=1e-12)


def test_no_gradient_reaches_a_target(embeddings):
    predictions, targets = (
        tuple(view.requires_grad_() for view in embeddings(seed=seed)) for seed in (0, 1)
    )
    byol(predictions, targets).backward()
    assert all(prediction.grad.abs().min() > 0 for prediction in predictions)
    assert all(target.grad is None for target in targets)


def test_gradient_turns_the_prediction_alone_where_both_come_from_one_tensor(embeddings):
    """SimSiam's case: the target is computed with gradient, which must stop at the loss."""
    rows, weight = (view.requires_grad_() for view in embeddings(5, 5))
    through_both = torch.autograd.grad(negative_cosine(rows @ weight, rows), rows)
    constant = rows.detach().clone()
    through_one = torch.autograd.grad(negative_cosine(rows @ weight, constant), rows)
    assert torch.equal(through_both[0], through_one[0])


def test_swapping_the_views_or_reordering_items_changes_nothing(embeddings):
    predictions, targets = embeddings(seed=0), embeddings(seed=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    loss = byol(predictions, targets).item()
    assert byol(predictions[::-1], targets[::-1]).item() == pytest.approx(loss, rel=1e-12)
    reordered = [tuple(view[order] for view in views) for views in (predictions, targets)]
    assert byol(*reordered).item() == pytest.approx(loss, rel=1e-12)


ROWS, LINE = torch.ones(4, 2), torch.ones(4, 1)


@pytest.mark.parametrize(
    ("prediction", "target", "words"),
    [
        (ROWS, ROWS[:3], r"prediction and target must .* they are \(4, 2\) and \(3, 2\)"),
        (ROWS[0], ROWS[0], r"shape \(batch, dim\)"),
        (LINE, LINE, "negative_cosine needs embeddings of at least 2 dimensions"),
    ],
)
def test_refusals_name_the_rule(prediction, target, words):
    for refused in (
        lambda: negative_cosine(prediction, target),
        lambda: byol((prediction, prediction), (target, target)),
    ):
        with pytest.raises(TwofoldError, match=words) as refusal:
            refused()
        assert "\n" not in str(refusal.value)


def test_byol_needs_two_views():
    with pytest.raises(TwofoldError, match="of two views; found 1 and 2"):
        byol((ROWS,), (ROWS, ROWS))
