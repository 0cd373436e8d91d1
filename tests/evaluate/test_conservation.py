"""Figures of conserved quantities: known orbits of known dimension, and loops over orbits."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from twofold import TwofoldError
from twofold.evaluate.conservation import (
    count_conserved,
    in_one_dimension,
    monotone_fit,
    monotone_r2,
    orbit_dimension,
    over_orbits,
    quantity_figures,
    residual_iqr,
    spearman_abs,
    within_across,
    within_figure,
)
from twofold.simulation.trajectories import follow_orbits

RNG = np.random.default_rng(0)
ORBITS, TIMES = 30, 100
ORBIT = np.repeat(np.arange(ORBITS), TIMES)


def turns(count):
    return 2 * np.pi * RNG.random((ORBITS, TIMES, count))


def circles():
    angle = turns(1)
    return (1 + RNG.random((ORBITS, 1, 1))) * np.concatenate([np.cos(angle), np.sin(angle)], axis=2)


def tori():
    angle = turns(2)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=2)


def spheres():
    points = RNG.normal(size=(ORBITS, TIMES, 3))
    return points / np.linalg.norm(points, axis=2, keepdims=True)


def followed(name, values):
    times = RNG.uniform(0, 500, (ORBITS, TIMES))
    states = follow_orbits(name, values, times)
    return states / states.std(axis=(0, 1))


def random_walks(dim):
    return np.cumsum(RNG.normal(size=(ORBITS, TIMES, dim)), axis=1)


@pytest.mark.parametrize(
    ("states", "conserved"),
    [
        (circles, 1),
        (tori, 2),
        (spheres, 1),
        (lambda: followed("spring", RNG.uniform(0.1, 1, ORBITS)), 1),
        (lambda: followed("pendulum", RNG.uniform(0.05, 0.95, ORBITS)), 1),
        (lambda: followed("kepler", RNG.uniform(-1, -0.25, ORBITS)), 3),
        (lambda: random_walks(2), 0),
    ],
)
def test_conserved_quantities_are_what_orbits_leave_of_phase_space(states, conserved):
    rows = states().reshape(ORBITS * TIMES, -1)
    found = count_conserved(rows, ORBIT)
    assert found["value"] == pytest.approx(conserved, abs=0.35)
    low, high = found["ci95"]
    assert low < found["value"] < high
    assert found["n"] == ORBITS
    dimension = orbit_dimension(rows, ORBIT)
    assert found["value"] == pytest.approx(rows.shape[1] - dimension)


def test_the_dimension_knows_no_units_and_no_order():
    rows = circles().reshape(-1, 2)
    mixed = RNG.permutation(len(rows))
    expected = orbit_dimension(rows, ORBIT)
    assert orbit_dimension(1e3 * rows[mixed] + 7, ORBIT[mixed]) == pytest.approx(expected)
    assert orbit_dimension(np.repeat(rows, 2, axis=0), np.repeat(ORBIT, 2)) == expected


def test_orbits_of_few_states_have_no_dimension():
    with pytest.raises(TwofoldError, match="no orbit has 6 different states"):
        orbit_dimension(np.repeat(np.eye(2), 10, axis=0), np.repeat([0, 1], 10))
    with pytest.raises(TwofoldError, match="k is 1"):
        orbit_dimension(np.eye(2), np.zeros(2), k=1)


def test_rank_correlation_has_no_sign_and_is_that_of_scipy():
    z, m = RNG.integers(0, 9, 200), RNG.random(200)
    assert spearman_abs(z, m) == pytest.approx(abs(spearmanr(z, m).statistic))
    assert spearman_abs(-np.exp(m), m) == pytest.approx(1)
    assert spearman_abs(np.zeros(200), m) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_monotone_function_is_fitted_whichever_way_it_runs(sign):
    z = RNG.random(400)
    m = np.exp(3 * z) + 0.01 * RNG.normal(size=400)
    train, test = slice(300), slice(300, None)
    found = monotone_r2(sign * z[train], m[train], sign * z[test], m[test])
    assert found > 0.999
    fitted = monotone_fit(sign * z[train], m[train], sign * z[test])
    assert found == pytest.approx(r2_score(m[test], fitted))
    order = np.argsort(z[test])
    assert (np.diff(fitted[order]) >= 0).all()
    assert residual_iqr(m[test], fitted) < 0.01


def test_what_is_no_function_of_the_embedding_is_not_fitted():
    z = np.linspace(-1, 1, 400)
    assert monotone_r2(z[::2], z[::2] ** 2, z[1::2], z[1::2] ** 2) < 0.6


def test_the_variance_within_is_a_loop_over_orbits():
    z = RNG.normal(size=(ORBITS * TIMES, 3)) + ORBIT[:, None] / 9
    own = [z[orbit == ORBIT] for orbit in range(ORBITS)]
    within = sum(((rows - rows.mean(axis=0)) ** 2).sum() for rows in own)
    expected = within / ((z - z.mean(axis=0)) ** 2).sum()
    assert within_across(z, ORBIT) == pytest.approx(expected)
    assert within_across(np.ones(4), np.array([0, 0, 1, 1])) == 1


def test_intervals_are_over_orbits_not_over_states():
    value = RNG.normal(size=ORBITS)[ORBIT]
    found = over_orbits(lambda rows, _: value[rows].mean(), ORBIT)
    width = found["ci95"][1] - found["ci95"][0]
    assert found["n"] == ORBITS
    assert width == pytest.approx(2 * 1.96 * value.std() / np.sqrt(ORBITS), rel=0.25)


def test_a_resampled_orbit_comes_whole_and_its_copies_apart():
    mixed = RNG.permutation(len(ORBIT))
    groups = ORBIT[mixed]

    def check(rows, copy):
        for one in np.unique(copy):
            own = rows[copy == one]
            assert len(set(groups[own])) == 1
            assert len(set(own)) == len(own) == TIMES
        return 0.0

    over_orbits(check, groups)


def test_one_dimension_follows_a_bent_curve():
    m = np.sort(RNG.random(600))
    curve = np.stack([np.cos(4 * m), np.sin(4 * m), m**2], axis=1)
    known, asked = in_one_dimension(curve[::2], curve[1::2])
    assert spearman_abs(known, m[::2]) > 0.99
    found = quantity_figures((known, m[::2]), (asked, m[1::2]), np.arange(300))
    assert found["spearman"]["value"] > 0.99
    assert found["r2_monotone"]["value"] > 0.98
    (same,) = in_one_dimension(m[:, None])
    assert np.array_equal(same, m)


def test_one_dimension_follows_a_curve_whose_places_are_taken_many_times():
    """As by pictures, many of which are alike; and over a gap that neighbours do not cross."""
    m = np.linspace(0, 1, 100)
    m = np.repeat(m[(m < 0.4) | (m > 0.6)], 40)
    curve = np.stack([np.cos(4 * m), np.sin(4 * m)], axis=1)
    assert spearman_abs(in_one_dimension(curve)[0], m) > 0.999


@pytest.mark.parametrize("different", [1, 2, 3])
def test_one_dimension_of_few_different_rows(different):
    rows = np.repeat(np.eye(3)[:different], 5, axis=0)
    (places,) = in_one_dimension(rows)
    assert places.shape == (5 * different,)
    assert np.isfinite(places).all()
    assert len(np.unique(places)) >= min(different, 2)


def test_two_different_rows_have_two_places_whatever_sets_them_apart():
    (places,) = in_one_dimension(np.array([[1.0, 0.0], [1.0, 5.0], [1.0, 0.0]]))
    assert places[0] == places[2] != places[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spearman_abs(np.ones((3, 2)), np.ones(3)), "with in_one_dimension"),
        (lambda: within_across(np.ones(3), np.ones(2)), "3 embeddings and 2 groups"),
    ],
)
def test_mistakes_are_told(call, message):
    with pytest.raises(TwofoldError, match=message):
        call()


def test_the_figure_of_variance_within_is_that_of_orbits_drawn_again():
    states = RNG.normal(size=(len(ORBIT), 3)) + RNG.normal(size=(ORBITS, 3))[ORBIT]
    uneven = np.arange(len(ORBIT)) % 7 > ORBIT % 3
    states, orbit = states[uneven] + 50, ORBIT[uneven]
    found = within_figure(states, orbit, seed=4)
    by_hand = over_orbits(lambda rows, one: within_across(states[rows], one), orbit, seed=4)
    assert found["value"] == pytest.approx(by_hand["value"])
    np.testing.assert_allclose(found["ci95"], by_hand["ci95"])
    assert found["n"] == by_hand["n"] == ORBITS
