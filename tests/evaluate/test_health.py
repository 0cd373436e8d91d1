import json
import math
from importlib import import_module

import pytest
import torch
from torch.nn import functional as F

from twofold.errors import TwofoldError
from twofold.evaluate import alignment, health, rankme, uniformity


def gaussian(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def with_spectrum(singular, n):
    """A centred `(n, len(singular))` matrix with the given singular values."""
    k = len(singular)
    directions = gaussian(n, k).double()
    left, _ = torch.linalg.qr(directions - directions.mean(0))
    right, _ = torch.linalg.qr(gaussian(k, k, seed=1).double())
    return left @ torch.diag(torch.tensor(singular, dtype=torch.float64)) @ right


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("n", [4, 5, 200])
def test_rankme_oracle_two_one_one(n, centred):
    assert rankme(with_spectrum([2, 1, 1], n), centred=centred) == pytest.approx(2**1.5, abs=1e-6)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (20, 20)])
def test_rankme_equals_the_formula_over_an_svd(shape):
    x = gaussian(*shape).double() + 3
    for centred in (True, False):
        singular = torch.linalg.svdvals(x - x.mean(0) if centred else x)
        p = singular / singular.sum()
        p = p[p > 1e-12]
        expected = math.exp(-float((p * p.log()).sum()))
        assert rankme(x, centred=centred) == pytest.approx(expected, rel=1e-5)


def test_rankme_of_orthonormal_columns_is_their_number():
    assert rankme(with_spectrum([1.0] * 7, 40)) == pytest.approx(7, abs=1e-6)
    assert rankme(torch.eye(7), centred=False) == pytest.approx(7, abs=1e-6)


def test_rankme_of_few_items_is_at_most_n_minus_1():
    """Centred, n items in a space of many more dimensions span n - 1 directions, not n."""
    assert rankme(torch.eye(10)) == pytest.approx(9, abs=1e-6)
    assert health(torch.eye(10)).rank_fraction == pytest.approx(1)
    few = health(gaussian(32, 512))
    assert few.rankme <= 31
    assert few.verdict == "healthy"


@pytest.mark.parametrize("n", [2, 16, 64, 5000])
@pytest.mark.parametrize("value", [0.0, 1e-12, 0.1, 1234.567])
def test_a_constant_embedding_is_never_healthy(n, value):
    """Nor for fewer items than dimensions, where a floor of 1/n could pass for a rank."""
    found = health(value * torch.linspace(1, 2, 64).expand(n, 64))
    assert found.verdict == "constant"
    assert found.rankme == found.rank_fraction == 0
    assert found.std_ratio == pytest.approx(0, abs=1e-6)
    assert found.uniformity == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("noise", [1e-7, 1e-4, 1e-2, 5e-2])
def test_a_constant_with_noise_of_full_rank_is_still_constant(noise):
    found = health(1 + noise * gaussian(500, 64))
    assert found.verdict == "constant"
    assert found.mean_cosine > 0.99


def test_one_direction_for_all_is_constant_whatever_the_lengths():
    assert health(gaussian(300, 1).abs() * gaussian(1, 64, seed=1)).verdict == "constant"


@pytest.mark.parametrize("axis", [F.one_hot(torch.tensor([5]), 64).float(), gaussian(1, 64, 1)])
def test_a_line_is_dimensional_collapse(axis):
    found = health(gaussian(500, 1) * axis)
    assert found.rankme == pytest.approx(1, abs=1e-3)
    assert found.rank_fraction == pytest.approx(1 / 64, abs=1e-3)
    assert found.verdict == "dimensional collapse"


def test_few_directions_of_many_are_dimensional_collapse():
    flat = gaussian(1000, 8) @ gaussian(8, 256, seed=1) + 0.001 * gaussian(1000, 256, seed=2)
    found = health(flat)
    assert found.rankme < 12
    assert found.verdict == "dimensional collapse"
    assert health(flat, pair=flat + 2 * gaussian(1000, 256, seed=3)).verdict == found.verdict


@pytest.mark.parametrize("shape", [(2000, 1), (2000, 2), (2000, 128), (100, 512)])
def test_a_gaussian_is_healthy(shape):
    x = gaussian(*shape)
    found = health(x, pair=x + 0.3 * gaussian(*shape, seed=1))
    assert found.verdict == "healthy"
    assert found.advice == "Nothing to change."


def test_positive_features_with_a_common_mean_are_healthy():
    """As ReLU and pooling leave them: the mean must not hide the directions around it."""
    found = health((gaussian(1000, 128) + 2).relu())
    assert found.mean_cosine > 0.75
    assert found.rank_fraction > 0.9
    assert found.verdict == "healthy"


def test_views_that_agree_through_few_directions_are_a_suspected_shortcut():
    cue = gaussian(1000, 8) @ gaussian(8, 64, seed=1)
    noise = 0.02 * gaussian(1000, 64, seed=2)
    assert health(cue, pair=cue + noise).verdict == "shortcut suspected"
    assert health(cue, pair=cue + 50 * noise).verdict != "shortcut suspected"
    assert health(cue).verdict != "shortcut suspected"


def test_views_that_agree_through_many_directions_are_healthy():
    x = gaussian(1000, 64)
    assert health(x, pair=x).verdict == "healthy"


def test_std_ratio_is_one_on_the_sphere():
    assert health(gaussian(4000, 128)).std_ratio == pytest.approx(1, abs=0.01)


def test_mean_cosine_equals_all_pairs_in_plain_loops():
    x = gaussian(9, 4) + 0.5
    cosines = [
        float(F.cosine_similarity(x[i], x[j], dim=0)) for i in range(9) for j in range(9) if i != j
    ]
    assert health(x).mean_cosine == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)


def test_rotation_scale_and_order_do_not_matter():
    x = gaussian(200, 16) @ torch.diag(torch.linspace(0.1, 3, 16))
    rotation, _ = torch.linalg.qr(gaussian(16, 16, seed=1))
    first, second = health(x), health(100 * x.flip(0) @ rotation)
    for name in ("rankme", "rank_fraction", "mean_cosine", "uniformity"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-4)


def test_alignment_oracles():
    x = gaussian(20, 6)
    assert alignment(x, 5 * x) == pytest.approx(0, abs=1e-12)
    assert alignment(x, -x) == pytest.approx(4)
    assert alignment(torch.eye(4), torch.eye(4).roll(1, 0)) == pytest.approx(2)
    other = gaussian(20, 6, seed=1)
    assert alignment(x, other) == pytest.approx(
        2 - 2 * float(F.cosine_similarity(x, other).mean()), abs=1e-5
    )


def test_uniformity_oracles():
    antipodal = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(antipodal) == pytest.approx(-8)
    assert uniformity(torch.eye(30)) == pytest.approx(-4)
    assert uniformity(torch.ones(30, 3)) == pytest.approx(0, abs=1e-9)
    assert uniformity(gaussian(3000, 128)) == pytest.approx(-4 + 8 / 128, abs=0.01)


def test_uniformity_equals_all_pairs_in_blocks_or_whole(monkeypatch):
    x = gaussian(37, 5)
    expected = torch.pdist(F.normalize(x.double())).square().mul(-2).exp().mean().log()
    assert uniformity(x) == pytest.approx(float(expected), abs=1e-9)
    monkeypatch.setattr(import_module("twofold.evaluate.health"), "_SIMILARITIES", 100)
    assert uniformity(x) == pytest.approx(float(expected), abs=1e-9)


def test_is_ready_for_json_and_names_its_figures():
    x = gaussian(100, 8)
    record = json.loads(json.dumps(vars(health(x, pair=x))))
    assert record["alignment"] == 0
    assert f"{record['rankme']:.1f} of 8" in record["sentence"]
    assert vars(health(x))["alignment"] is None


@pytest.mark.parametrize(
    ("x", "pair", "message"),
    [
        (torch.ones(1, 3), None, "1 items to compare; give at least 2"),
        (torch.ones(3), None, r"shape \(3,\)"),
        (torch.full((4, 2), math.nan), None, "diverged"),
        (gaussian(4, 2), gaussian(3, 2), "must be the same item"),
    ],
)
def test_mistakes_are_told(x, pair, message):
    with pytest.raises(TwofoldError, match=message):
        health(x, pair=pair)
