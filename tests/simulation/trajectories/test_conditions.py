"""Which values and times are drawn."""

import numpy as np
import pytest
from scipy.stats import kstest

from twofold.errors import TwofoldError
from twofold.simulation.trajectories import SYSTEMS, Conditions
from twofold.simulation.trajectories.conditions import draw_times, draw_values

PENDULUM = SYSTEMS["pendulum"]


def draw(n=20_000, system=PENDULUM, **settings):
    """Values drawn under some conditions."""
    return draw_values(Conditions(**settings), system, n, np.random.default_rng(0))


def test_values_are_uniform_in_the_range():
    assert kstest(draw(), "uniform").pvalue > 0.01
    assert kstest(draw(range=(0.3, 0.7)), "uniform", (0.3, 0.4)).pvalue > 0.01
    assert kstest(draw(system=SYSTEMS["kepler"]), "uniform", (-1, 0.75)).pvalue > 0.01


@pytest.mark.parametrize("range_", [(0.0, 1.0), (0.2, 0.6)])
@pytest.mark.parametrize(("count", "share"), [(1, 0.4), (3, 0.5), (16, 0.8), (1, 0.95)])
def test_gaps_are_empty_and_the_rest_is_uniform(count, share, range_):
    low, high = range_
    place = (draw(gaps=(count, share), range=range_) - low) / (high - low)
    piece, gap = (1 - share) / (count + 1), share / count
    number, within = np.divmod(place, piece + gap)
    assert within.max() <= piece + 1e-12
    assert set(number) == set(range(count + 1))
    assert kstest(number * piece + within, "uniform", (0, 1 - share)).pvalue > 0.01


def test_gaps_are_set_as_published():
    share, count = 0.5, 3
    place = np.random.default_rng(0).uniform(0, 1 - share, 50)
    expected = [u + np.floor(u * (count + 1) / (1 - share)) * share / count for u in place]
    np.testing.assert_allclose(draw(50, gaps=(count, share)), expected)


def test_even_values_are_evenly_spaced():
    conditions = Conditions(even=True, samples=1, range=(0.2, 0.8))
    np.testing.assert_allclose(draw_values(conditions, PENDULUM, 4, None), [0.2, 0.4, 0.6, 0.8])
    gapped = draw_values(Conditions(even=True, gaps=(1, 0.5)), PENDULUM, 4, None)
    np.testing.assert_allclose(gapped, [0, 0.125, 0.75, 0.875])


def test_times_fill_the_window():
    times = draw_times(Conditions(times=(8.0, 8.25)), 2000, np.random.default_rng(0))
    assert times.shape == (2000, 20)
    assert kstest(times.ravel(), "uniform", (8, 0.25)).pvalue > 0.01


def test_times_of_an_orbit_lie_within_the_spread():
    times = draw_times(Conditions(spread=0.5), 2000, np.random.default_rng(0))
    assert 0.4 < np.ptp(times, axis=1).max() <= 0.5
    assert kstest(times[:, 0] - 0.25, "uniform", (0, 200)).pvalue > 0.01


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"orbits": 0}, "orbits is 0; it must be >= 1"),
        ({"samples": 0}, "samples is 0; it must be >= 1"),
        ({"samples": 1}, "samples is 1; an orbit needs two rows to be a group"),
        ({"times": (3.0, 3.0)}, "times is 3 3; give the start first"),
        ({"times": (-1.0, 3.0)}, "times is -1 3"),
        ({"times": (0.0, np.inf)}, "times is 0 inf; it must be finite"),
        ({"spread": 0.0}, "spread is 0; it must be > 0"),
        ({"range": (0.6, 0.4)}, "range is 0.6 0.4; low end first"),
        ({"range": (0.1, np.nan)}, "range is 0.1 nan; it must be finite"),
        ({"gaps": (0, 0.5)}, "gaps is 0 0.5; give how many"),
        ({"gaps": (1, 1.0)}, "gaps is 1 1"),
        ({"gaps": (1.5, 0.5)}, "gaps is 1.5 0.5; give how many, from 1 to 999"),
        ({"range": (0.5,)}, "range is 0.5; give two numbers"),
        ({"render": "image"}, "unknown render 'image'; did you mean 'images'"),
        ({"noise": -0.1}, "noise is -0.1; it must be >= 0"),
        ({"noise": np.float32("nan")}, "noise is nan"),
        ({"step": 0.0, "render": "images"}, "step is 0; it must be > 0"),
        ({"size": 8, "render": "images"}, "size is 8; it must be from 16 to 512"),
        ({"crop": 0.01, "render": "images"}, "crop is 0.01"),
        ({"pixel_noise": 0.5, "render": "images"}, r"pixel_noise is 0.5; it must be in \[0, 0.5\)"),
        ({"seed": -1}, "seed is -1"),
        ({"size": 64}, "size is 64, but vectors are no pictures"),
        ({"crop": 0.5}, "crop is 0.5, but vectors are no pictures"),
    ],
)
def test_mistakes_are_told(settings, words):
    with pytest.raises(TwofoldError, match=words):
        Conditions(**settings)


@pytest.mark.parametrize(
    ("system", "settings", "words"),
    [
        ("pendulum", {"range": (0.5, 1.1)}, "above 1 a pendulum goes round and round"),
        ("kepler", {"range": (-1.0, 0.0)}, "it must be from -100 to -0.01"),
        ("lotka-volterra", {"render": "images"}, "lotka-volterra has nothing to draw"),
        ("spring", {"render": "images", "range": (0.0, 0.0)}, "needs something that moves"),
    ],
)
def test_what_a_system_lacks_is_told(system, settings, words):
    with pytest.raises(TwofoldError, match=words):
        Conditions(**settings).range_of(SYSTEMS[system])
