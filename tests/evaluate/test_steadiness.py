"""What moves along orbits and what stays: known motions, and the axis that has none of them."""

import numpy as np
import pytest

from twofold import TwofoldError
from twofold.evaluate.conservation import over_orbits
from twofold.evaluate.steadiness import drift, drift_figure, least_drift

RNG = np.random.default_rng(0)
ORBITS, TIMES = 30, 100
ORBIT = np.repeat(np.arange(ORBITS), TIMES)


def test_what_rests_does_not_drift_and_errors_drift_as_told():
    time = RNG.uniform(0, 200, len(ORBIT))
    value = RNG.random(ORBITS)[ORBIT]
    assert drift(value, ORBIT, time) == pytest.approx(0, abs=1e-12)
    error = 0.05
    noisy = value + error * RNG.normal(size=len(ORBIT))
    assert drift(noisy, ORBIT, time) == pytest.approx(
        error * np.sqrt(12 / TIMES) / noisy.std(), rel=0.35
    )
    climbing = value + 0.3 * time / np.ptp(time)
    assert drift(climbing, ORBIT, time) == pytest.approx(0.3 / climbing.std())


def test_orbits_seen_once_cannot_drift():
    with pytest.raises(TwofoldError, match="seen at two times"):
        drift(np.arange(3.0), np.arange(3), np.arange(3.0))


def seen(span, *, orbits=800, samples=12, noise=0.2):
    """Energy and phase of orbits seen for some time, each with its noise, and the truth."""
    rng = np.random.default_rng(1)
    orbit = np.repeat(np.arange(orbits), samples)
    time = rng.uniform(0, 200, orbits)[orbit] + rng.uniform(0, span, len(orbit))
    energy = rng.normal(size=orbits)[orbit]
    phase = np.sqrt(2) * np.sin(rng.uniform(0, 2 * np.pi, orbits)[orbit] + time)
    measured = energy + noise * rng.normal(size=len(orbit))
    return np.stack([measured, phase], axis=1), orbit, time


def share(direction):
    """Of the first of two axes, whose units are alike."""
    return abs(direction[0]) / np.linalg.norm(direction)


def test_slow_motion_is_told_from_what_stays_where_variance_alone_is_misled():
    states, orbit, time = seen(0.25)
    means = np.array([states[orbit == one].mean(axis=0) for one in range(800)])
    within = (states - means[orbit]).var(axis=0)
    assert within[1] < within[0] / 4  # by what differs within orbits, the phase stays
    assert share(least_drift(states, orbit, time)) > 0.99


@pytest.mark.parametrize("span", [0.5, 1.0, 200.0])
def test_it_is_found_at_every_distance_in_time(span):
    assert share(least_drift(*seen(span))) > 0.99


def test_the_direction_follows_any_linear_map_and_has_deviation_one():
    states, orbit, time = seen(0.25)
    mixing = np.array([[3.0, 1.0, 0.5], [-1.0, 2.0, 0.2]])  # a third column that depends on them
    found = states @ mixing @ least_drift(states @ mixing, orbit, time)
    plain = states @ least_drift(states, orbit, time)
    assert found.std() == pytest.approx(1)
    assert abs(np.corrcoef(found, plain)[0, 1]) == pytest.approx(1, abs=1e-6)
    shuffled = np.random.default_rng(2).permutation(len(orbit))
    again = least_drift(states[shuffled], orbit[shuffled], time[shuffled])
    assert abs(np.corrcoef(states @ again, plain)[0, 1]) == pytest.approx(1, abs=1e-9)


def test_one_dimension_is_its_own_direction():
    states, orbit, time = seen(0.25)
    assert abs(least_drift(states[:, :1], orbit, time)[0]) == pytest.approx(1 / states[:, 0].std())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: drift(np.ones(3), np.ones(3), np.ones(2)), r"shape \(2,\) for 3 states"),
        (lambda: least_drift(np.ones((4, 2)), np.arange(4) % 2, np.arange(4)), "all the same"),
        (lambda: least_drift(np.eye(4), np.arange(4) % 2, np.zeros(4)), "needs lags"),
        (lambda: least_drift(np.eye(4), np.arange(4), np.arange(4)), "needs lags"),
    ],
)
def test_what_has_no_direction_is_refused(call, words):
    with pytest.raises(TwofoldError, match=words):
        call()


def test_the_figure_of_drift_is_that_of_all_states_with_orbits_drawn_again():
    states, orbit, time = seen(3.0, orbits=60)
    found = drift_figure(states, orbit, time, seed=3)
    assert found["value"] == pytest.approx(drift(states, orbit, time))
    by_hand = over_orbits(lambda rows, one: drift(states[rows], one, time[rows]), orbit, seed=3)
    np.testing.assert_allclose(found["ci95"], by_hand["ci95"], rtol=1e-2)  # spans differ a little
    assert found["n"] == 60
