import math

import pytest
import torch

from twofold.errors import TwofoldError
from twofold.losses import nce, nce_normaliser

ITEMS = 50


def brute_force(positive, noise, items, normaliser):
    """The published formula, score by score."""
    m = len(noise[0])
    total = 0.0
    for own, others in zip(positive, noise, strict=True):
        h, *wrong = (
            (p := math.exp(score) / normaliser) / (p + m / items) for score in [own, *others]
        )
        total -= math.log(h) + sum(math.log(1 - other) for other in wrong)
    return total / len(positive)


def scores(batch=6, m=5, seed=0):
    drawn = torch.randn(
        batch, 1 + m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return drawn[:, 0], drawn[:, 1:]


@pytest.mark.parametrize("m", [1, 5, 200])
@pytest.mark.parametrize("normaliser", [0.1, 80.0, 1e6])
def test_equals_the_published_formula(m, normaliser):
    positive, noise = scores(m=m)
    expected = brute_force(positive.tolist(), noise.tolist(), ITEMS, normaliser)
    for constant in (normaliser, torch.tensor(normaliser, dtype=torch.float64)):
        loss = nce(positive, noise, items=ITEMS, normaliser=constant)
        assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("m", [1, 4, 4096])
def test_where_item_and_noise_cannot_be_told_apart(m):
    """P = m / items everywhere, by way of the score or of the normaliser."""
    nothing = torch.zeros(3, 1 + m, dtype=torch.float64)
    for score, normaliser in [(0.0, ITEMS / m), (2.0, math.exp(2) * ITEMS / m)]:
        positive, *_ = columns = (nothing + score).split([1, m], dim=1)
        loss = nce(positive.squeeze(1), columns[1], items=ITEMS, normaliser=normaliser)
        assert loss.item() == pytest.approx((1 + m) * math.log(2), rel=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_scores_far_from_zero_stay_finite(scale):
    positive, noise = (part.float().requires_grad_() for part in scores())
    loss = nce(positive * scale, noise * scale, items=ITEMS, normaliser=1e6)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(positive.grad).all()
    assert torch.isfinite(noise.grad).all()


def test_gradient_is_what_h_gets_wrong():
    positive, noise = (part.requires_grad_() for part in scores())
    m = noise.shape[1]
    nce(positive, noise, items=ITEMS, normaliser=80.0).backward()
    with torch.no_grad():
        h_positive, h_noise = (
            (s.exp() / 80) / (s.exp() / 80 + m / ITEMS) for s in (positive, noise)
        )
    torch.testing.assert_close(positive.grad, (h_positive - 1) / len(positive))
    torch.testing.assert_close(noise.grad, h_noise / len(positive))


def test_the_normaliser_is_a_constant():
    positive, noise = (part.requires_grad_() for part in scores())
    normaliser = nce_normaliser(noise, items=ITEMS)
    assert not normaliser.requires_grad
    learned = torch.tensor(80.0, requires_grad=True)
    nce(positive, noise, items=ITEMS, normaliser=learned).backward()
    assert learned.grad is None


def test_the_normaliser_is_items_times_the_mean_of_exp():
    _, noise = scores()
    mean = sum(math.exp(score) for score in noise.flatten().tolist()) / noise.numel()
    assert nce_normaliser(noise, items=ITEMS).item() == pytest.approx(ITEMS * mean, rel=1e-12)


def test_the_normaliser_makes_probabilities_of_the_scores_of_all_items():
    _, every = scores(batch=1, m=ITEMS)
    probability = every.exp() / nce_normaliser(every, items=ITEMS)
    assert probability.sum().item() == pytest.approx(1, rel=1e-12)


def test_the_normaliser_is_computed_in_float32_whatever_the_autocast():
    score = torch.full((4,), 1 / 0.07, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        normaliser = nce_normaliser(score, items=ITEMS)
    assert normaliser.dtype == torch.float32
    assert normaliser.item() == pytest.approx(ITEMS * math.exp(score[0].item()), rel=1e-6)


POSITIVE, NOISE = torch.ones(4), torch.ones(4, 3)


@pytest.mark.parametrize(
    ("positive", "noise", "settings", "words"),
    [
        (NOISE, NOISE, {}, r"\(batch,\) and \(batch, m\); they have \(4, 3\) and \(4, 3\)"),
        (POSITIVE[:2], NOISE, {}, r"they have \(2,\) and \(4, 3\)"),
        (POSITIVE[:0], NOISE[:0], {}, r"they have \(0,\) and \(0, 3\)"),
        (POSITIVE, NOISE[:, :0], {}, "m = 0; use info_nce against all items"),
        (POSITIVE, NOISE, {"items": 0}, "items is 0; it must be at least 1"),
        (POSITIVE, NOISE, {"normaliser": 0.0}, "normaliser is 0.0; it must be positive"),
        (POSITIVE, NOISE, {"normaliser": torch.tensor(math.inf)}, "normaliser is inf; .* overflow"),
        (POSITIVE, NOISE, {"normaliser": math.nan}, "normaliser is nan"),
        (POSITIVE, NOISE, {"normaliser": torch.ones(4)}, "normaliser has 4 numbers"),
    ],
)
def test_refusals_name_the_rule(positive, noise, settings, words):
    with pytest.raises(TwofoldError, match=words) as refusal:
        nce(positive, noise, **({"items": 8, "normaliser": 2.0} | settings))
    assert "\n" not in str(refusal.value)


def test_a_normaliser_needs_scores_and_items():
    with pytest.raises(TwofoldError, match="scores is empty"):
        nce_normaliser(NOISE[:0], items=8)
    with pytest.raises(TwofoldError, match="items is 0"):
        nce_normaliser(NOISE, items=0)
