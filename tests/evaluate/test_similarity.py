import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from twofold.errors import TwofoldError
from twofold.evaluate import similarity, whiten, wilson


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def features():
    """Correlated features away from the origin, of 300 items."""
    return 5 + normal(300, 10) @ normal(10, 10, seed=1)


def ridged(reference):
    """Mean and covariance with the ridge, by numpy."""
    covariance = np.cov(reference.double().numpy(), rowvar=False)
    level = np.trace(covariance) / len(covariance)
    return reference.double().numpy().mean(0), covariance + 1e-3 * level * np.eye(len(covariance))


def test_squared_length_of_whitened_features_is_mahalanobis(features):
    mean, covariance = ridged(features)
    inverse = np.linalg.inv(covariance)
    found = whiten(features[:20], features)
    assert found.dtype == torch.float64
    for whitened, row in zip(found, features[:20].double().numpy(), strict=True):
        assert float(whitened.norm()) == pytest.approx(mahalanobis(row, mean, inverse), rel=1e-9)


def test_whitened_reference_is_white_but_for_the_ridge(features):
    reference = features / features.std(0)
    covariance = np.cov(whiten(reference, reference).numpy(), rowvar=False)
    assert (np.linalg.eigvalsh(covariance) <= 1).all()
    isotropic = normal(20_000, 4)
    covariance = np.cov(whiten(isotropic, isotropic).numpy(), rowvar=False)
    assert covariance == pytest.approx(np.eye(4) / 1.001, abs=1e-3)


def test_equals_plain_loops(features):
    clean, changed = features[:40], features[:40] + normal(40, 10, seed=2)
    mean, covariance = ridged(features)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    first, second = ((part.double().numpy() - mean) @ root for part in (clean, changed))
    cosines = np.array(
        [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a in first] for b in second]
    )
    own = np.diag(cosines)
    margin = 1.96 * own.std(ddof=1) / math.sqrt(40)
    found = similarity(clean, changed, features)
    assert found["value"] == pytest.approx(own.mean(), abs=1e-10)
    assert found["ci95"] == pytest.approx([own.mean() - margin, own.mean() + margin], abs=1e-10)
    assert found["n"] == 40
    assert found["random"] == pytest.approx((cosines.sum() - own.sum()) / (40 * 39), abs=1e-10)
    nearest = int((cosines.argmax(axis=1) == np.arange(40)).sum())
    assert 0 < nearest < 40
    assert found["nearest"] == {"value": nearest / 40, "ci95": list(wilson(nearest, 40)), "n": 40}


def test_identical_features_are_entirely_alike(features):
    found = similarity(features, features, features)
    assert found["value"] == pytest.approx(1, abs=1e-12)
    assert found["ci95"] == pytest.approx([1, 1], abs=1e-12)
    assert found["nearest"]["value"] == 1
    # Centred: all pairs sum to about nothing, so the other ones to minus the own.
    assert found["random"] == pytest.approx(-1 / 299, abs=1e-2)


def test_independent_features_are_as_alike_as_different_items():
    reference, clean, changed = normal(2000, 16), normal(1000, 16, seed=1), normal(1000, 16, seed=2)
    found = similarity(clean, changed, reference)
    # A cosine of independent directions has deviation 1/√dim.
    low, high = found["ci95"]
    assert low < 0 < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(16 * 1000), rel=0.1)
    assert found["random"] == pytest.approx(0, abs=2e-3)
    assert found["nearest"]["ci95"][0] <= 1 / 1000 <= found["nearest"]["ci95"][1]


def test_opposite_features_are_minus_one(features):
    mirrored = 2 * features.mean(0) - features
    assert similarity(features, mirrored, features)["value"] == pytest.approx(-1, abs=1e-6)


def test_no_direction_counts_for_more_than_another(features):
    """A change along the one direction that varies most leaves the nine others alike."""
    reference = normal(5000, 10) * torch.tensor([10.0] + [1.0] * 9)
    clean = normal(2000, 10, seed=1) * torch.tensor([10.0] + [1.0] * 9)
    changed = clean * torch.tensor([-1.0] + [1.0] * 9)
    # Directions of features are uniform: 1 - 2 E[cos² to an axis] = 1 - 2/10.
    assert similarity(clean, changed, reference)["value"] == pytest.approx(0.8, abs=0.02)


def test_rotation_scale_and_offset_of_the_space_do_not_matter(features):
    rotation, _ = torch.linalg.qr(normal(10, 10, seed=3).double())
    clean, changed = features.double(), features.double() + normal(300, 10, seed=2)
    parts = (clean, changed, clean)
    found = similarity(*parts)
    moved = similarity(*(100 * part @ rotation - 7 for part in parts))
    for name in ("value", "random"):
        assert moved[name] == pytest.approx(found[name], abs=1e-9)
    assert moved["nearest"] == found["nearest"]


@pytest.mark.parametrize(
    "reference",
    [
        normal(20, 64),
        torch.cat([normal(200, 32), torch.full((200, 32), 0.1)], 1),
        normal(200, 3) @ normal(3, 64, seed=1),
    ],
    ids=["more dimensions than items", "constant dimensions", "low rank"],
)
def test_rank_deficient_features_stay_finite(reference):
    clean, changed = reference[:20], reference[:20] + 0.01 * normal(20, 64, seed=2)
    found = similarity(clean, changed, reference)
    numbers = [found["value"], found["random"], *found["ci95"]]
    assert all(math.isfinite(number) for number in numbers)
    assert similarity(clean, clean, reference)["value"] == pytest.approx(1, abs=1e-9)


def test_without_a_ridge_rounding_would_decide():
    """Two dimensions carry the item, the others rounding: the first ones must prevail."""
    spread = torch.tensor([1.0, 1.0] + [1e-5] * 30)
    reference, clean = normal(500, 32) * spread, normal(100, 32, seed=1) * spread
    changed = torch.cat([clean[:, :2], normal(100, 30, seed=2) * 1e-5], 1)
    assert similarity(clean, changed, reference)["value"] > 0.99


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (4, 2), (9, 3)), r"\(4, 3\) and \(4, 2\)"),
        (((1, 3), (1, 3), (9, 3)), "n >= 2"),
        (((4,), (4,), (9, 3)), r"\(4,\)"),
        (((4, 3), (4, 3), (9, 2)), r"features and reference have shapes \(8, 3\) and \(9, 2\)"),
        (((4, 3), (4, 3), (1, 3)), "the 1 reference features do not vary"),
    ],
)
def test_mistakes_are_told(shapes, message):
    with pytest.raises(TwofoldError, match=message):
        similarity(*(normal(*shape) for shape in shapes))


def test_a_collapsed_encoder_is_named():
    with pytest.raises(TwofoldError, match="collapsed"):
        similarity(normal(4, 3), normal(4, 3), torch.full((9, 3), 0.1))
