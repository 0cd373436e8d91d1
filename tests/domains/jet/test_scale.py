"""How energies are read: the published way, and each option against a loop over cells."""

import math

import numpy as np
import pytest
import torch
from toy_jets import make_jets

from twofold import TwofoldError
from twofold.domains.jet import measure
from twofold.domains.jet.domain import JetInput


def by_hand(jets, *, zero_below=1e-3, unit=100.0, gains=(1, 1, 25), clip=math.inf, log=False):
    """What the encoder reads, cell by cell."""
    read = np.zeros(jets.shape)
    for place, energy in np.ndenumerate(jets):
        amount = 0.0 if abs(energy) < zero_below else float(energy) * gains[place[1]]
        amount = min(amount, clip)
        read[place] = math.copysign(math.log1p(abs(amount)), amount) if log else amount / unit
    return read


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, {}),
        ({"zero_below": 2.0}, {"zero_below": 2.0}),
        ({"gains": (2.0, 1.0, 0.5), "unit": 10.0}, {"gains": (2, 1, 0.5), "unit": 10}),
        ({"clip": 30.0}, {"clip": 30}),
        ({"scale": "log"}, {"log": True}),
        ({"scale": "log", "clip": 30.0}, {"log": True, "clip": 30}),
    ],
    ids=str,
)
def test_energies_are_read_as_the_options_say(settings, changes):
    jets, _, _ = make_jets(6, 8)
    jets[0, 0, 0, :3] = 5e-4, 1e-3, -7.0
    scale = measure(jets, JetInput(**settings))
    np.testing.assert_allclose(scale(jets).numpy(), by_hand(jets, **changes), rtol=1e-5, atol=1e-7)


def test_the_published_way_follows_from_no_jet():
    few, many = make_jets(4, 16, seed=1)[0], make_jets(50, 16, seed=2)[0]
    assert measure(few) == measure(many)
    assert measure(few).gains == (1.0, 1.0, 25.0)
    assert measure(make_jets(4, 16, channels=8)[0]).gains == ()


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_channels_are_standardised_if_asked_to(scale):
    jets, _, _ = make_jets(40, 16)
    read = measure(jets, JetInput(standardize=True, scale=scale))(jets)
    assert read.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (read.std(dim=(0, 2, 3), unbiased=False) - 1).abs().max() < 1e-4


def test_views_are_read_on_from_energies():
    jets, _, _ = make_jets(6, 8)
    scale = measure(jets, JetInput(scale="log", clip=100.0))
    views = scale.unit(jets)
    assert torch.equal(scale.of_views(views), scale(jets))
    assert torch.equal(scale.standardize(views.clone()), scale(jets))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zero_below": -1.0}, r"input.zero_below is -1.0; it must be >= 0"),
        ({"unit": 0.0}, r"input.unit is 0.0; it must be a finite number > 0"),
        ({"clip": 0.0}, r"input.clip is 0.0; it must be > 0"),
        ({"gains": (1.0, -2.0, 1.0)}, r"input.gains is .*; it must be numbers > 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(TwofoldError, match=message):
        JetInput(**settings)


def test_gains_are_one_for_each_channel():
    with pytest.raises(TwofoldError, match="gains has 2 numbers and the jets have 3 channels"):
        measure(make_jets(2, 8)[0], JetInput(gains=(1.0, 2.0)))


def test_jets_of_another_size_are_not_resized():
    scale = measure(make_jets(2, 8)[0])
    with pytest.raises(TwofoldError, match="items are 16x16, but this encoder reads 8x8"):
        scale(make_jets(2, 16)[0])
