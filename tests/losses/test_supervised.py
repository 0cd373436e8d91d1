import math

import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.losses import nt_xent, sup_con

VARIANTS = ["out", "in"]
both_variants = pytest.mark.parametrize("variant", VARIANTS)


def brute_force(embeddings, labels, temperature, variant):
    """Equations 2 and 3 of the paper, anchor by anchor."""
    rows, labels = F.normalize(embeddings, dim=1).tolist(), labels.tolist()
    total = 0.0
    for i, anchor in enumerate(rows):
        share = [
            math.exp(sum(x * y for x, y in zip(anchor, row, strict=True)) / temperature)
            for row in rows
        ]
        others = sum(share) - share[i]
        positives = [
            share[p] / others for p in range(len(rows)) if p != i and labels[p] == labels[i]
        ]
        if not positives:
            continue
        if variant == "out":
            total -= sum(math.log(positive) for positive in positives) / len(positives)
        else:
            total -= math.log(sum(positives) / len(positives))
    return total / len(rows)


@both_variants
@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
@pytest.mark.parametrize(
    "labels",
    [[0, 1, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1], [5, -2, 5, 7, 9, 5], [3] * 6],
    ids=["even", "uneven", "lone rows", "one class"],
)
def test_equals_the_papers_equations(labels, temperature, variant, embeddings):
    rows, labels = embeddings(6)[0], torch.tensor(labels)
    loss = sup_con(rows, labels, temperature=temperature, variant=variant)
    expected = brute_force(rows, labels, temperature, variant)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@both_variants
def test_classes_of_equal_rows_that_are_orthogonal(variant):
    classes = torch.arange(4).repeat(4)
    rows = torch.eye(4, dtype=torch.float64)[classes]
    loss = sup_con(rows, classes, temperature=0.5, variant=variant)
    assert loss.item() == pytest.approx(1.5312651916600, abs=1e-12)


@both_variants
def test_one_collapsed_class(variant):
    rows = torch.ones(10, 3, dtype=torch.float64)
    loss = sup_con(rows, torch.zeros(10, dtype=torch.int32), temperature=0.5, variant=variant)
    assert loss.item() == pytest.approx(math.log(9), abs=1e-12)


@both_variants
def test_two_views_of_each_item_are_nt_xent(variant, embeddings):
    first, second = embeddings(6)
    items = torch.randperm(6, generator=torch.Generator().manual_seed(1)).repeat(2)
    loss = sup_con(torch.cat([first, second]), items, temperature=0.3, variant=variant)
    expected = nt_xent(first, second, temperature=0.3)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_in_is_never_the_larger(seed, embeddings):
    rows, _ = embeddings(12, seed=seed)
    labels = torch.arange(12) % 3
    inner, outer = (
        sup_con(rows, labels, temperature=0.5, variant=variant) for variant in ("in", "out")
    )
    assert inner < outer


@both_variants
def test_neither_order_nor_the_names_of_classes_matter(variant, embeddings):
    rows, labels = embeddings(6)[0], torch.tensor([0, 1, 2, 0, 1, 0])
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    names = torch.tensor([40, -7, 3])
    loss = sup_con(rows, labels, temperature=0.5, variant=variant)
    other = sup_con(rows[order], names[labels[order]], temperature=0.5, variant=variant)
    assert other.item() == pytest.approx(loss.item(), rel=1e-12)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
)
def test_labels_of_any_integer_type(dtype, embeddings):
    rows, labels = embeddings(6)[0], torch.tensor([0, 1, 1, 0, 1, 0])
    loss = sup_con(rows, labels.to(dtype), temperature=0.5)
    assert loss.item() == sup_con(rows, labels, temperature=0.5).item()


@both_variants
@pytest.mark.parametrize("temperature", [0.01, 10.0])
def test_finite_at_any_temperature(temperature, variant, embeddings):
    rows = embeddings(32)[0].half().requires_grad_()
    loss = sup_con(rows, torch.arange(32) // 3, temperature=temperature, variant=variant)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(rows.grad).all()


ROWS, LABELS = torch.ones(4, 2), torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("rows", "labels", "settings", "words"),
    [
        (ROWS, LABELS[:3], {}, r"\(rows, dim\) and \(rows,\); they have \(4, 2\) and \(3,\)"),
        (ROWS[0], LABELS[:2], {}, r"they have \(2,\) and \(2,\)"),
        (ROWS, LABELS.float(), {}, "labels have type torch.float32; they must be integers"),
        (ROWS, torch.arange(4), {}, "no two of the 4 rows have the same label; .* both views"),
        (ROWS[:0], LABELS[:0], {}, "no two of the 0 rows"),
        (ROWS[:, :1], LABELS, {}, "sup_con needs embeddings of at least 2 dimensions"),
        (ROWS, LABELS, {"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        (ROWS, LABELS, {"variant": "outer"}, "unknown variant 'outer'; did you mean 'out'"),
    ],
)
def test_refusals_name_the_rule(rows, labels, settings, words):
    with pytest.raises(TwofoldError, match=words) as refusal:
        sup_con(rows, labels, **({"temperature": 0.5} | settings))
    assert "\n" not in str(refusal.value)
