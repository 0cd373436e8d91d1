"""What augmentations do to states, each against its formula, and what they leave conserved."""

import numpy as np
import pytest
import torch

from twofold import TwofoldError
from twofold.augment import Views
from twofold.domains.trajectory import TRAJECTORY, render
from twofold.domains.trajectory.augmentations import Noise, Stretch

STATES = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 4, 1, 1)).astype(np.float32))
INDEX = np.arange(len(STATES))


def views_of(name, channels=4, **settings):
    kind = {name: settings.pop("kind", TRAJECTORY[name])}
    return Views(kind, {name: "both"}, channels=channels, size=1, renderer=render, **settings)


def expected(name, states, drawn):
    signs = {"mirror": [-1, -1, -1, -1], "reverse": [1, 1, -1, -1]}
    if name == "stretch":
        return states * drawn["factor"][:, None]
    return states * np.where(drawn["applied"][:, None], signs[name], 1)


@pytest.mark.parametrize("name", ["mirror", "reverse", "stretch"])
def test_a_view_is_the_formula_of_what_was_drawn(name):
    views, draws = views_of(name)(STATES, INDEX, epoch=0)
    for view, drawn in zip(views, draws, strict=True):
        there = expected(name, STATES.numpy()[:, :, 0, 0], drawn[name])
        np.testing.assert_allclose(view[:, :, 0, 0], there, rtol=1e-6)
    assert not np.array_equal(*(drawn[name]["applied"] for drawn in draws)) or name == "stretch"


def test_noise_is_normal_of_the_width_drawn_and_the_same_in_any_batch():
    many = STATES.repeat(20, 1, 1, 1)
    index = np.arange(len(many))
    views = views_of("noise", kind=Noise(probability=1.0, sigma=(0.3, 0.3)))
    (first, second), _ = views(many, index, epoch=0)
    added = (first - many).flatten()
    assert added.std().item() == pytest.approx(0.3, rel=0.02)
    assert abs(added.mean().item()) < 0.01
    assert abs(np.corrcoef(added, (second - many).flatten())[0, 1]) < 0.02
    (alone, _), _ = views(many[7:9], index[7:9], epoch=0)
    assert torch.equal(alone, first[7:9])


def test_states_themselves_are_never_changed():
    before = STATES.clone()
    for name in TRAJECTORY:
        views_of(name)(STATES, INDEX, epoch=0)
    assert torch.equal(STATES, before)


def test_a_pendulums_energy_survives_what_reflects_it():
    q, p = STATES[:, 0, 0, 0], STATES[:, 1, 0, 0]
    for name in ("mirror", "reverse"):
        (view, _), _ = views_of(name, channels=2)(STATES[:, :2], INDEX, epoch=0)
        a, b = view[:, 0, 0, 0], view[:, 1, 0, 0]
        assert torch.equal(b**2 / 2 - a.cos(), p**2 / 2 - q.cos())


def test_an_odd_number_of_coordinates_has_no_momenta():
    assert TRAJECTORY["reverse"].for_channels(3) is None
    assert "reverse" not in views_of("reverse", channels=3).augmentations


def test_states_have_no_size():
    with pytest.raises(TwofoldError, match="size is 8, and states have none"):
        render({}, STATES, {}, size=8)


@pytest.mark.parametrize("kind", [lambda: Noise(sigma=(-1.0, 0.1)), lambda: Stretch(factor=(0, 1))])
def test_settings_out_of_range_are_refused(kind):
    with pytest.raises(TwofoldError, match="must be two numbers in"):
        kind()
