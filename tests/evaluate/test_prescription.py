"""Evidence of what encoders keep, on encoders that do it by construction, and its verdicts."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from twofold.augment import IMAGE, Views
from twofold.augment.spatial import Flip
from twofold.evaluate import blinded, judge, observe
from twofold.evaluate.prescription import encode_unchanged
from twofold.networks import build_encoder
from twofold.preprocess import measure
from twofold.reading import Readings

ROTATE = ("rotate", IMAGE["rotate"])


def items_of(count, seed):
    """Noise under a light that falls from the top, so that a turn shows."""
    generator = np.random.default_rng(seed)
    light = np.linspace(255, 0, 8)[:, None]
    noise = generator.integers(0, 256, (count, 1, 8, 8))
    return ((light + noise) / 2).astype(np.uint8)


TRAIN, TEST = items_of(400, 0), items_of(200, 1)
PREPROCESS = measure(TRAIN)


class Told(nn.Module):
    """Which side the light comes from, as one of four, and a trace of the item."""

    num_features = 5

    def forward(self, images):
        sides = [images[..., 0, :], images[..., 0], images[..., -1, :], images[..., -1]]
        side = torch.stack([side.mean((1, 2)) for side in sides], dim=1).argmax(dim=1)
        return torch.cat([F.one_hot(side, 4), images.mean((1, 2, 3))[:, None]], dim=1)


class Unmoved(nn.Module):
    """The pixels in order of brightness: no turn changes them."""

    num_features = 16

    def forward(self, images):
        return images.flatten(1).sort(dim=1).values[:, ::4]


class Partly(nn.Module):
    """The same, beside how bright it is above and below, which tells two turns of four."""

    num_features = 17

    def forward(self, images):
        tilt = images[:, 0, :2].mean((1, 2)) - images[:, 0, -2:].mean((1, 2))
        return torch.cat([Unmoved()(images), tilt[:, None]], dim=1)


def observed(network, augmentation=ROTATE, **settings):
    found = observe(Readings(network), augmentation, TRAIN, TEST, PREPROCESS, **settings)
    assert list(found) == ["features"]
    return found["features"]


def test_what_tells_the_turn_keeps_it():
    found = observed(Told())
    verdict = judge(found, "sensitive")
    assert found["decoded"]["metric"] == "accuracy"
    assert found["decoded"]["n"] == 200
    assert verdict["share"] == pytest.approx(1, abs=0.02)
    assert found["decoded_mlp"]["value"] == pytest.approx(1, abs=0.02)
    assert (verdict["does"], verdict["achieved"]) == ("kept", True)
    assert not judge(found, "invariant")["achieved"]


def test_embeddings_of_unchanged_items_may_be_handed_over():
    readings = Readings(Partly())
    unchanged = encode_unchanged(readings, TRAIN, TEST, PREPROCESS)
    assert observed(Partly(), unchanged=unchanged) == observed(Partly())


def test_what_no_turn_changes_ignores_it():
    found = observed(Unmoved())
    verdict = judge(found, "blind")
    assert verdict["share"] < 0.1
    assert verdict["alike"] == pytest.approx(1, abs=1e-5)
    assert found["similarity"]["nearest"]["value"] == 1.0
    assert (verdict["does"], verdict["achieved"]) == ("ignored", True)
    assert judge(found, "invariant")["achieved"]
    assert not judge(found, "both")["achieved"]


def test_in_between_it_is_partly_kept():
    verdict = judge(observed(Partly()), "sensitive")
    assert 0.2 < verdict["share"] < 0.8
    assert 0.2 < verdict["alike"] < 0.99
    assert (verdict["does"], verdict["achieved"]) == ("partly kept", False)


def test_a_binary_augmentation_is_noticed_in_half_and_compared_in_all():
    """However seldom training applies it."""
    seldom = ("flip", Flip(probability=0.01))
    found = observed(Unmoved(), seldom)
    assert found["decoded"]["metric"] == "AUC"
    assert found["decoded"]["chance"] == 0.5
    assert found["decoded"]["value"] == pytest.approx(0.5, abs=0.1)
    assert found["similarity"]["value"] == pytest.approx(1, abs=1e-5)
    pixels = observed(nn.Flatten(), seldom)
    assert pixels["similarity"]["nearest"]["value"] < 0.2  # nearly all were changed


def test_the_same_call_gives_the_same_evidence():
    torch.manual_seed(0)
    network = build_encoder("resnet-small", channels=1, image_size=8, width=0.25)
    assert network.training
    first = observed(network, seed=3)
    assert network.training
    assert observed(network, seed=3) == first
    assert observed(network, seed=4) != first
    assert observed(network, seed=3, batch_size=64)["decoded"]["value"] == pytest.approx(
        first["decoded"]["value"], abs=0.02
    )


@pytest.mark.parametrize(
    ("value", "ceiling", "share", "does"),
    [
        (1.0, 1.0, 1.0, "kept"),
        (0.91, 1.0, 0.88, "partly kept"),
        (0.93, 1.0, 0.9067, "kept"),
        (0.33, 1.0, 0.1067, "partly kept"),
        (0.32, 1.0, 0.0933, "ignored"),
        (0.2, 1.0, -0.0667, "ignored"),
        (0.7, 0.74, 0.9184, "kept"),
        (0.3, 0.74, 0.102, "partly kept"),
    ],
)
def test_shares_are_of_the_way_from_chance_to_the_ceiling(value, ceiling, share, does):
    evidence = {
        "similarity": {"value": 0.5, "random": 0.0},
        "decoded": {"value": value, "chance": 0.25},
    }
    verdict = judge(evidence, ceiling=ceiling)
    assert verdict["share"] == pytest.approx(share, abs=1e-4)
    assert verdict["does"] == does
    expected = {
        "sensitive": does == "kept",
        "both": does == "kept",
        "blind": does == "ignored",
        "off": None,
        None: None,
    }
    for word, achieved in expected.items():
        assert judge(evidence, word, ceiling=ceiling)["achieved"] is achieved


@pytest.mark.parametrize(
    ("value", "random", "alike"), [(0.5, 0.0, 0.5), (0.49, 0.0, 0.49), (0.6, 0.2, 0.5), (1, 0.9, 1)]
)
def test_alike_is_the_way_from_another_item_to_the_same(value, random, alike):
    evidence = {
        "similarity": {"value": value, "random": random},
        "decoded": {"value": 1.0, "chance": 0.25},
    }
    verdict = judge(evidence, "invariant")
    assert verdict["alike"] == pytest.approx(alike)
    assert verdict["achieved"] == (verdict["alike"] >= 0.5)


def test_blinded_features_tell_no_linear_probe_of_a_turn():
    """Neither that of `observe` nor another one on draws of its own."""
    readings = Readings(nn.Flatten())
    train = items_of(3000, 2)
    erasers = blinded(readings, dict([ROTATE]), train, PREPROCESS)
    assert set(erasers) == {"features"}
    assert erasers["features"].left.shape == (64, 3)
    before = observe(readings, ROTATE, train, TEST, PREPROCESS)["features"]
    blind = Readings(readings.backbone, erasers=erasers)
    after = observe(blind, ROTATE, train, TEST, PREPROCESS)["features"]
    assert judge(before, "blind")["does"] == "kept"
    assert judge(after, "blind")["achieved"]
    views = Views(dict([ROTATE]), {"rotate": "both"}, channels=1, size=8, num_views=1)
    (turned,), (drawn,) = views(PREPROCESS.unit(train), np.arange(3000), 9)
    features = blind(PREPROCESS.standardize(turned))["features"]
    turns = drawn["rotate"]["turns"]
    probe = LogisticRegression(max_iter=200).fit(features[:2000], turns[:2000])
    assert probe.score(features[2000:], turns[2000:]) == pytest.approx(0.25, abs=0.04)


def test_without_augmentations_nothing_is_erased():
    assert blinded(Readings(Told()), {}, TRAIN, PREPROCESS) == {}
