"""Images of particles."""

import dataclasses

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.jets import detector
from twofold.simulation.jets.detector import Hits, at_crystals, binned, images, towers, window

SEED = (7,)


def single(toy_jets, identity, charge, pt=50.0, d_eta=0.01, d_phi=0.01, n=1):
    """Jets of one particle each, a little off the axis."""
    jets = toy_jets(n, 0)
    return dataclasses.replace(
        jets,
        count=np.ones(n, np.int64),
        particle_pt=np.full(n, pt, np.float32),
        particle_eta=(jets.eta + d_eta).astype(np.float32),
        particle_phi=(jets.phi + d_phi).astype(np.float32),
        particle_id=np.full(n, identity, np.int16),
        particle_charge=np.full(n, charge, np.int8),
    )


def test_true_images_are_what_a_loop_gives(toy_jets):
    jets, size, radius = toy_jets(6, 5), 20, 0.4
    expected = np.zeros((6, size, size, 3))
    for jet, pt, eta, phi, identity, charge in zip(
        jets.owner,
        jets.particle_pt.astype(float),
        jets.particle_eta.astype(float),
        jets.particle_phi.astype(float),
        np.abs(jets.particle_id),
        jets.particle_charge,
        strict=True,
    ):
        angle = np.angle(np.exp(1j * (phi - jets.phi[jet])))
        row = int(np.floor((eta - jets.eta[jet] + radius) / (2 * radius) * size))
        column = int(np.floor((angle + radius) / (2 * radius) * size))
        if not (0 <= row < size and 0 <= column < size):
            continue
        electromagnetic = identity in (11, 22)
        expected[jet, row, column, 0] += pt * (charge != 0)
        expected[jet, row, column, 1] += pt * electromagnetic
        expected[jet, row, column, 2] += pt * (not electromagnetic and identity != 13)
    found = images(jets, detector="truth", size=size, radius=radius, seed=SEED)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_energy_inside_the_window_is_kept_and_the_rest_left_out():
    rng = np.random.default_rng(1)
    hits = Hits(
        jet=rng.integers(0, 4, 500),
        eta=rng.uniform(-1, 1, 500),
        phi=rng.uniform(-1, 1, 500),
        energy=rng.exponential(1, 500),
    )
    inside = (np.abs(hits.eta) < 0.4) & (np.abs(hits.phi) < 0.4)
    expected = np.bincount(hits.jet[inside], hits.energy[inside])
    found = binned(hits, n=4, side=0.8, size=40)
    np.testing.assert_allclose(found.sum((1, 2)), expected, rtol=1e-5)


def test_towers_keep_energy_and_are_flat():
    energy = np.random.default_rng(2).exponential(1, (3, 40, 40)).astype(np.float32)
    found = towers(energy)
    for row in range(0, 40, 5):
        for column in range(0, 40, 5):
            tower = np.s_[:, row : row + 5, column : column + 5]
            np.testing.assert_allclose(found[tower].sum((1, 2)), energy[tower].sum((1, 2)), 1e-5)
            assert np.ptp(found[tower], axis=(1, 2)).max() == 0


def test_a_charge_turns_with_the_field_and_a_slow_one_never_arrives():
    pt, eta = np.array([2.0, 2.0, 2.0, 0.7]), np.full(4, 0.5)
    charge = np.array([0, 1, -1, 1])
    seen_eta, seen_phi, arrives = at_crystals(pt, eta, np.zeros(4), charge)
    assert arrives.tolist() == [True, True, True, False]
    assert (seen_eta[0], seen_phi[0]) == pytest.approx((0.5, 0.0))
    radius = 2.0 / (0.3 * 3.8)  # metres; walked in small steps until the crystals are met
    place, angle, along, step = np.zeros(2), 0.0, 0.0, 1e-4
    while np.hypot(*place) < 1.29:
        place += step * np.array([np.cos(angle), np.sin(angle)])
        angle -= step / radius
        along += step * np.sinh(0.5)
    assert seen_phi[1] == pytest.approx(np.arctan2(place[1], place[0]), abs=1e-3)
    assert seen_eta[1] == pytest.approx(np.arcsinh(along / 1.29), abs=1e-3)
    assert seen_phi[2] == pytest.approx(-seen_phi[1])


@pytest.mark.parametrize(
    ("identity", "charge", "shares"),
    [
        (22, 0, (0, 1, 0)),
        (11, -1, (0.92, 1, 0)),
        (13, -1, (0.92, 0, 0)),
        (211, 1, (0.92, 0.3, 0.7)),
        (130, 0, (0, 0.3, 0.7)),
    ],
)
def test_what_kinds_of_particles_leave_on_average(toy_jets, identity, charge, shares):
    n = 4000
    jets = single(toy_jets, identity, charge, n=n)
    seen = images(jets, detector="cms", size=40, radius=0.4, seed=SEED).sum((1, 2)) / 50
    error = seen.std(0) / np.sqrt(n) + 1e-4  # of rounding, where nothing is left to chance
    assert np.all(np.abs(seen.mean(0) - shares) < 5 * error)


@pytest.mark.parametrize(("channel", "terms"), [(1, (0.028, 0.003)), (2, (1.10, 0.09))])
def test_calorimeters_resolve_as_they_should(toy_jets, channel, terms):
    jets = single(toy_jets, 22 if channel == 1 else 130, 0, pt=30.0, n=4000)
    seen = images(jets, detector="cms", size=40, radius=0.4, seed=SEED)[..., channel].sum((1, 2))
    part = 30.0 * (1 if channel == 1 else 0.7)
    energy = part * np.cosh(jets.particle_eta)
    pull = (seen / part - 1) / np.sqrt(terms[0] ** 2 / energy + terms[1] ** 2)
    assert pull.std() == pytest.approx(1, abs=0.06)
    assert seen.min() >= 0


def test_a_slow_charge_is_seen_by_the_truth_alone(toy_jets):
    jets = single(toy_jets, 211, 1, pt=0.5)
    shared = {"size": 40, "radius": 0.4, "seed": SEED}
    assert images(jets, detector="cms", **shared).sum() == 0
    assert images(jets, detector="truth", **shared).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["cms", "truth"])
def test_more_jets_change_none_of_the_first_images(toy_jets, name):
    jets, shared = toy_jets(30, 6), {"detector": name, "size": 40, "radius": 0.4}
    whole = images(jets, **shared, seed=SEED)
    np.testing.assert_array_equal(images(jets.head(11), **shared, seed=SEED), whole[:11])
    again = images(jets, **shared, seed=(8,))
    assert np.array_equal(again, whole) == (name == "truth")


def test_windows_hold_the_jet_and_no_cell_of_cms_is_finer_than_a_crystal():
    for size in (20, 40, 125):
        for radius in (0.4, 0.8, 1.2):
            side = window("cms", size, radius)
            assert side >= 2 * radius
            assert side / size >= 0.0174 - 1e-12
            assert window("truth", size, radius) == 2 * radius
            assert detector.reach(radius) >= side / 2


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [("csm", 40, "did you mean 'cms'"), ("cms", 42, "multiple of 5"), ("cms", 130, "20 to 125")],
)
def test_what_cannot_be_seen_is_refused(name, size, words):
    with pytest.raises(TwofoldError, match=words):
        detector.check(name, size)
