"""Observables of jets against closed forms and sums over particles, one by one."""

import math

import numpy as np
import pytest

from twofold.domains.jet import observables
from twofold.errors import TwofoldError

NAMES = ["multiplicity", "energy", "eta", "phi", "girth", "ptd"]


def jets_of(n, channels, height, width, seed=0):
    rng = np.random.default_rng(seed)
    shape = (n, channels, height, width)
    return rng.exponential(5.0, shape) * (rng.random(shape) < 0.05)


@pytest.mark.parametrize("cells", [1, 6, 13])
def test_two_equal_deposits(cells):
    width = cells + 7 + cells % 2  # so that the two lie about the centre
    jet = np.zeros((1, 3, 9, width), np.float32)
    first = (width - 1 - cells) // 2
    jet[0, 0, 4, first] = jet[0, 2, 4, first + cells] = 50.0
    centred = (width - 1 - cells) % 2 == 0
    found = observables(jet, cell=0.02)
    distance = 0.02 * cells
    assert found["multiplicity"] == 2
    assert found["energy"] == 100
    assert found["eta"] == 0
    assert found["ptd"] == pytest.approx(math.sqrt(0.5))
    assert found["mass"] == pytest.approx(math.sqrt(2 * 50**2 * (1 - math.cos(distance))))
    assert found["mass"] == pytest.approx(50 * distance, rel=0.01)
    assert found["girth"] == pytest.approx(distance / 2, abs=1e-12 if centred else 0.01)
    along_eta = observables(jet.transpose(0, 1, 3, 2), cell=0.02)
    assert along_eta["mass"] == pytest.approx(math.sqrt(2 * 50**2 * (math.cosh(distance) - 1)))
    assert along_eta["phi"] == 0


@pytest.mark.parametrize(("channels", "energies"), [(1, [0]), (3, [0, 1, 2]), (8, [0, 3, 4])])
def test_sums_over_particles(channels, energies):
    jets = jets_of(12, channels, 11, 14)
    found = observables(jets, cell=0.1)
    for i, jet in enumerate(jets):
        towers = jet[energies].sum(axis=0)
        total, over, squares, momentum = 0.0, np.zeros(3), 0.0, np.zeros(4)
        for row, column in zip(*np.nonzero(towers), strict=True):
            pt, eta, phi = towers[row, column], (row - 5) * 0.1, (column - 6.5) * 0.1
            total += pt
            over += pt * np.array([eta, phi, math.hypot(eta, phi)])
            squares += pt**2
            momentum += pt * np.array(
                [math.cosh(eta), math.cos(phi), math.sin(phi), math.sinh(eta)]
            )
        mass = math.sqrt(momentum[0] ** 2 - (momentum[1:] ** 2).sum())
        expected = {
            "multiplicity": np.count_nonzero(towers),
            "energy": total,
            "eta": over[0] / total,
            "phi": over[1] / total,
            "girth": over[2] / total,
            "ptd": math.sqrt(squares) / total,
            "mass": mass,
        }
        assert {name: value[i] for name, value in found.items()} == pytest.approx(expected)


def test_lengths_are_in_cells_where_none_has_a_size():
    jets = jets_of(5, 3, 16, 16)
    plain, sized = observables(jets), observables(jets, cell=0.05)
    assert list(plain) == NAMES
    assert list(sized) == [*NAMES, "mass"]
    for name in ("eta", "phi", "girth"):
        np.testing.assert_allclose(sized[name], 0.05 * plain[name])
    for name in ("multiplicity", "energy", "ptd"):
        np.testing.assert_array_equal(sized[name], plain[name])


def test_one_deposit_has_no_mass_and_an_empty_jet_nothing():
    jets = np.zeros((3, 3, 40, 40), np.float32)
    jets[0, 1, 3, 37] = jets[1, 0, 20, 20] = 500.0
    found = observables(jets, cell=0.02)
    np.testing.assert_allclose(found["mass"], 0, atol=1e-4)
    np.testing.assert_array_equal(found["ptd"], [1, 1, 0])
    assert all(value[2] == 0 for value in found.values())
    assert all(value.shape == (0,) for value in observables(jets[:0], cell=0.02).values())


def test_impact_parameters_are_no_energies():
    jets = np.zeros((1, 8, 8, 8))
    jets[0, 1, 2, 2] = -3.0
    jets[0, 6, 2, 2] = 1.0
    assert all(value == 0 for value in observables(jets, cell=0.1).values())


@pytest.mark.parametrize(
    ("shape", "cell", "message"),
    [
        ((3, 8, 8), None, r"jet images have shape \(3, 8, 8\); they must be"),
        ((1, 3, 8, 8), 0.0, "cell is 0.0; it must be the size"),
        ((1, 3, 8, 8), math.nan, "cell is nan"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(shape, cell, message):
    with pytest.raises(TwofoldError, match=message) as error:
        observables(np.zeros(shape), cell=cell)
    assert "\n" not in str(error.value)
