"""The physics of each system, beside other integrators and closed forms."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ellipk
from scipy.stats import spearmanr

from twofold.errors import TwofoldError
from twofold.simulation.trajectories import SYSTEMS, follow_orbits
from twofold.simulation.trajectories.integrate import integrate


def pendulum(t, state):
    q, p = state
    return [p, -np.sin(q)]


def spring(t, state):
    q, p = state
    return [p, -q]


def kepler(t, state):
    x, y, vx, vy = state
    cube = np.hypot(x, y) ** 3
    return [vx, vy, -x / cube, -y / cube]


def double_pendulum(t, state):
    """As most textbooks solve Lagrange's equations for the accelerations."""
    q1, q2, w1, w2 = state
    below = 3 - np.cos(2 * q1 - 2 * q2)
    twist = w2**2 + w1**2 * np.cos(q1 - q2)
    a1 = -3 * np.sin(q1) - np.sin(q1 - 2 * q2) - 2 * np.sin(q1 - q2) * twist
    a2 = 2 * w1**2 + 2 * np.cos(q1) + w2**2 * np.cos(q1 - q2)
    return [w1, w2, a1 / below, 2 * np.sin(q1 - q2) * a2 / below]


def lotka_volterra(t, state):
    x, y = state
    return [x * (1 - y), y * (x - 1)]


RATES = {
    "pendulum": pendulum,
    "double-pendulum": double_pendulum,
    "kepler": kepler,
    "spring": spring,
    "lotka-volterra": lotka_volterra,
}

every_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)


def some(system, n, seed=0):
    """Values from the whole range of a system, its ends with them."""
    inside = np.random.default_rng(seed).uniform(*system.range, n - 2)
    return np.concatenate([system.range, inside])


@every_system
def test_what_is_conserved_stays_what_it_was(system):
    times = np.linspace(0, 1000 if system.closed else 60, 600)
    states = follow_orbits(system.name, some(system, 40), times)
    for name, found in system.conserved(states[2:]).items():  # at rest a direction is none
        off = np.abs(found - found[:, :1])
        if name == "direction":
            off = np.minimum(off, 2 * np.pi - off)
        assert off.max() < (1e-10 if system.closed else 1e-8), name


@every_system
def test_orbits_have_the_values_that_are_asked_for(system):
    values = some(system, 20)
    found = system.conserved(follow_orbits(system.name, values, [3.0]))[system.drawn]
    np.testing.assert_allclose(found[:, 0], values, atol=2e-9)


@every_system
def test_states_are_those_of_another_integrator(system):
    times = np.array([0.0, 0.7, 2.0, 9.5])
    states = follow_orbits(system.name, some(system, 7)[2:], times)
    for orbit in states:
        solved = solve_ivp(
            RATES[system.name], (0, 9.5), orbit[0], t_eval=times, rtol=1e-11, atol=1e-12
        )
        apart = orbit - solved.y.T
        if system.name == "double-pendulum":  # angles are told within one turn
            apart[:, :2] = np.remainder(apart[:, :2] + np.pi, 2 * np.pi) - np.pi
        np.testing.assert_allclose(apart, 0, atol=1e-7)


def test_the_pendulum_swings_with_its_period_and_amplitude():
    m = np.array([1e-6, 0.2, 0.7, 0.99])
    period = 4 * ellipk(m)
    times = period[:, None] * np.array([0.0, 0.25, 0.5, 1.0, 7.0])
    angle, momentum = np.moveaxis(follow_orbits("pendulum", m, times), -1, 0)
    np.testing.assert_allclose(angle[:, 1], 2 * np.arcsin(np.sqrt(m)), rtol=1e-9)
    np.testing.assert_allclose(angle[:, [0, 2, 3, 4]], 0, atol=1e-9)
    np.testing.assert_allclose(momentum[:, 0], 2 * np.sqrt(m))
    np.testing.assert_allclose(momentum[:, 2], -momentum[:, 0])
    np.testing.assert_allclose(momentum[:, 4], momentum[:, 0])


@pytest.mark.parametrize("m", [0, 1e-15, 1 - 1e-8, 1 - 1e-10, 1 - 1e-12, 1 - 1e-16, 1])
def test_the_pendulum_is_exact_at_the_ends_of_its_range(m):
    states = follow_orbits("pendulum", [m], np.linspace(0, 300, 4001))
    found = SYSTEMS["pendulum"].conserved(states)
    assert np.isfinite(states).all()
    np.testing.assert_allclose(found["m"], found["m"][0, 0], atol=1e-12)
    np.testing.assert_allclose(found["m"], m, atol=2e-9)


def test_what_reads_the_energy_badly_reads_it_as_badly_as_published():
    rng = np.random.default_rng(0)
    m, times = rng.uniform(0, 1, 40_000), rng.uniform(0, 200, (40_000, 1))
    angle, momentum = np.moveaxis(follow_orbits("pendulum", m, times)[:, 0], -1, 0)
    for reading, published in (
        (np.abs(angle), 0.653),
        (np.abs(momentum), 0.373),
        (angle**2 + momentum**2, 0.985),
    ):
        assert spearmanr(reading, m).statistic == pytest.approx(published, abs=0.008)


def test_the_planet_goes_round_in_its_period_and_is_nearest_at_first():
    energy = np.array([-2.0, -0.5, -0.1])
    axis = -0.5 / energy
    period = 2 * np.pi * axis**1.5
    states = follow_orbits("kepler", energy, period[:, None] * np.linspace(0, 5, 101))
    np.testing.assert_allclose(states[:, 0], states[:, -1], atol=1e-9)
    distance = np.hypot(states[..., 0], states[..., 1])
    np.testing.assert_allclose(distance.min(axis=1), distance[:, 0])
    np.testing.assert_allclose(distance[:, 0] + distance[:, 10], 2 * axis)
    found = SYSTEMS["kepler"].conserved(states[:, 0])
    eccentricity = distance[:, 10] / axis - 1
    np.testing.assert_allclose(found["angular_momentum"] ** 2, axis * (1 - eccentricity**2))
    nearest = np.arctan2(states[:, 0, 1], states[:, 0, 0])
    np.testing.assert_allclose(found["direction"], nearest)


def test_two_pendulums_swing_with_two_frequencies_if_they_swing_little():
    times = np.linspace(0, 20, 81)
    first = follow_orbits("double-pendulum", np.full(5, 1e-8), times)[..., 0]
    slow, fast = np.sqrt(2 - np.sqrt(2)), np.sqrt(2 + np.sqrt(2))
    waves = np.stack([np.sin(slow * times), np.sin(fast * times)])
    rest = first.T - waves.T @ np.linalg.lstsq(waves.T, first.T, rcond=None)[0]
    assert np.abs(first).max() > 1e-5
    assert np.abs(rest).max() < 1e-9


def test_few_predators_and_prey_go_round_in_one_turn():
    states = follow_orbits("lotka-volterra", [1e-8], [0.0, np.pi, 2 * np.pi])[0] - 1
    np.testing.assert_allclose(states[[0, 2]], [[0, np.sqrt(2e-8)]] * 2, atol=1e-7)
    np.testing.assert_allclose(states[1], [0, -np.sqrt(2e-8)], atol=1e-7)


def test_times_may_come_in_any_order_and_twice():
    start = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    times = np.array([[3.0, 0.0, 1.0], [2.0, 2.0, 5.0], [0.0, 0.0, 0.0]])
    found = integrate(lambda y: np.stack([y[1], -y[0]]), start, times)
    expected = np.stack(
        [
            start[0][:, None] * np.cos(times) + start[1][:, None] * np.sin(times),
            start[1][:, None] * np.cos(times) - start[0][:, None] * np.sin(times),
        ],
        axis=-1,
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)
    at_first = integrate(lambda y: y, start, np.zeros((3, 2)))
    np.testing.assert_array_equal(at_first[:, 1], start.T)


def test_orbits_without_an_end_are_told():
    with pytest.raises(TwofoldError, match="cannot be followed beyond t = "):
        integrate(lambda y: y**2, np.ones((1, 1)), np.full((1, 1), 2.0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pendulums", [0.5], [1.0]), "unknown system 'pendulums'; did you mean 'pendulum'"),
        (("pendulum", [0.5, 1.5], [1.0]), "range is 0.5 1.5, of m; it must be from 0 to 1, since"),
        (("kepler", [0.1], [1.0]), "from 0 on a planet never returns"),
        (("spring", [-1.0], [1.0]), "range is -1 -1, of energy"),
        (("pendulum", [np.nan], [1.0]), "values of m hold NaN or infinity"),
        (("pendulum", [0.5], [np.inf]), "times hold NaN or infinity"),
        (("pendulum", 0.5, [1.0]), r"values of m have shape \(\); they must be \(orbits,\)"),
        (("pendulum", [], [1.0]), r"shape \(0,\)"),
        (("pendulum", [0.5], np.ones((1, 1, 1))), "times have shape"),
        (("pendulum", [0.5], np.ones((2, 3))), "times are of 2 orbits, values of 1"),
        (("pendulum", [0.5], [-1.0]), "times go down to -1"),
    ],
)
def test_mistakes_are_told(arguments, words):
    with pytest.raises(TwofoldError, match=words):
        follow_orbits(*arguments)
