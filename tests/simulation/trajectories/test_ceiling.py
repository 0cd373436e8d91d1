"""The most that can be read off a picture."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.trajectories import Conditions, rendering_ceiling


@pytest.mark.parametrize(
    ("settings", "pairs", "expected"),
    [
        ({}, 200_000, 0.9937),
        ({"size": 64}, 400_000, 0.9988),
        ({"step": 1.0}, 200_000, 0.998),
        ({"noise": 0.05}, 200_000, 0.973),
        ({"noise": 0.25}, 200_000, 0.76),
        ({"times": (0.0, 0.25)}, 100_000, 0.9885),
        ({"times": (8.0, 8.25)}, 100_000, 0.99895),
    ],
)
def test_ceilings_are_those_that_are_known(settings, pairs, expected):
    found = rendering_ceiling("pendulum", Conditions(render="images", **settings), pairs=pairs)
    assert found == pytest.approx(expected, abs=0.005 if "noise" in settings else 8e-4)


@pytest.mark.parametrize(
    ("crop", "supervised"), [(0.9, 0.996), (0.75, 0.888), (0.6, 0.760), (0.5, 0.657), (0.45, 0.588)]
)
def test_supervised_networks_reach_the_ceilings_of_crops(crop, supervised):
    """Published figures, tested on times from 0 to 10."""
    conditions = Conditions(render="images", crop=crop, times=(0.0, 10.0))
    assert rendering_ceiling("pendulum", conditions, pairs=200_000) == pytest.approx(
        supervised, abs=0.006
    )


def test_pictures_that_tell_nothing_have_no_ceiling():
    blank = Conditions(render="images", noise=1e3)
    assert abs(rendering_ceiling("pendulum", blank, pairs=20_000)) < 0.05


def test_gaps_and_evenness_are_heeded_and_ignored():
    exact = Conditions(render="images", range=(0.0, 1.0), gaps=(1, 0.99), seed=3)
    even = Conditions(render="images", gaps=(1, 0.99), even=True, samples=1, pixel_noise=0.3)
    found = [rendering_ceiling("pendulum", one, pairs=20_000) for one in (exact, even)]
    assert found[0] == found[1]
    assert np.isfinite(found[0])


@pytest.mark.parametrize(
    ("name", "pairs", "words"),
    [
        ("pendulum", 1000, "pairs is 1000; it must be >= 1024"),
        ("lotka-volterra", 2000, "nothing to draw"),
        ("springs", 2000, "did you mean 'spring'"),
    ],
)
def test_mistakes_are_told(name, pairs, words):
    with pytest.raises(TwofoldError, match=words):
        rendering_ceiling(name, pairs=pairs)
