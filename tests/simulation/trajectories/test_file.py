"""Files of orbits."""

import json

import h5py
import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import SYSTEMS, Conditions, file
from twofold.simulation.trajectories.block import SIZE
from twofold.simulation.trajectories.camera import Camera


@pytest.fixture
def make(tmp_path):
    """Makes a file of orbits and reads all of it, the attributes as `about`."""

    def make(system="pendulum", **settings):
        settings = {"samples": 3, "times": (0.0, 5.0), **settings}
        out = tmp_path / "orbits.h5"
        simulate_trajectories(out, system, Conditions(**settings), overwrite=True, quiet=True)
        with h5py.File(out) as made:
            return {key: made[key][:] for key in made} | {"about": dict(made.attrs)}

    return make


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_vectors_are_states_of_their_orbits(make, system):
    found = make(system.name, orbits=7)
    assert found["X"].shape == (21, len(system.coordinates))
    assert found["X"].dtype == np.float32
    np.testing.assert_array_equal(found["X"], found["state"].astype(np.float32))
    np.testing.assert_array_equal(found["orbit"], np.repeat(np.arange(7), 3))
    assert ((found["t"] >= 0) & (found["t"] <= 5)).all()
    for name, values in system.conserved(found["state"]).items():
        np.testing.assert_allclose(found[name], values, atol=1e-7)
        assert len(np.unique(found[name])) == 7
    assert found["about"]["drift"] < (1e-10 if system.closed else 1e-8)
    assert list(found["about"]["conserved"]) == list(system.conserved(found["state"]))


@pytest.mark.parametrize("system", ["pendulum", "double-pendulum", "kepler", "spring"])
def test_pictures_show_both_moments(make, system):
    found, kind = make(system, orbits=4, render="images", step=0.25, samples=50), SYSTEMS[system]
    assert (found["X"].shape, found["X"].dtype) == ((200, 3, 32, 32), np.uint8)
    assert found["visible"].all()
    first = Camera(32).pixels(kind.bobs(found["state"], kind.range[1]))
    for picture, bobs in zip(found["X"], first, strict=True):
        dark = np.full((32, 32), 255)
        for row, column in bobs:
            dark[row - 1 : row + 2, column - 1 : column + 2] = 0
        np.testing.assert_array_equal(picture[0], dark)
        np.testing.assert_array_equal(picture[1], np.minimum(picture[0], picture[2]))
    assert (found["X"][:, 0] != found["X"][:, 2]).any()


@pytest.mark.parametrize("settings", [{}, {"render": "images", "pixel_noise": 0.1, "noise": 0.1}])
def test_more_orbits_begin_with_fewer(make, settings):
    few, many = make(orbits=5, **settings), make(orbits=SIZE + 9, samples=3, **settings)
    for key in few.keys() - {"about"}:
        np.testing.assert_array_equal(few[key], many[key][: len(few[key])])
    assert (many["orbit"] == np.repeat(np.arange(SIZE + 9), 3)).all()
    assert len(np.unique(many["m"])) == SIZE + 9


def test_integrated_orbits_are_the_same_whatever_their_number(make):
    few, many = make("lotka-volterra", orbits=3), make("lotka-volterra", orbits=60)
    np.testing.assert_array_equal(few["state"], many["state"][:9])


def test_a_seed_stands_for_its_file(make):
    settings = {"orbits": 6, "render": "images", "pixel_noise": 0.2, "spread": 1.0}
    one, again, other = make(**settings), make(**settings), make(seed=1, **settings)
    for key in one.keys() - {"about"}:
        np.testing.assert_array_equal(one[key], again[key])
    assert (one["X"] != other["X"]).any()
    assert (one["m"] != other["m"]).all()


def test_noise_changes_what_is_seen_alone(make):
    clean, noisy = make(orbits=200), make(orbits=200, noise=0.1)
    for key in ("state", "t", "m", "energy"):
        np.testing.assert_array_equal(clean[key], noisy[key])
    apart = noisy["X"] - clean["X"]
    np.testing.assert_allclose(apart.std(axis=0), 0.1, rtol=0.1)


def test_pixels_have_noise_and_shifts(make):
    settings = {"orbits": 100, "render": "images"}
    clean, noisy = make(**settings), make(pixel_noise=0.2, **settings)
    np.testing.assert_array_equal(clean["state"], noisy["state"])
    shifted = [
        (tidy[[0, 2]] != (rough[[0, 2]] > 127) * 255).any()
        for tidy, rough in zip(clean["X"], noisy["X"], strict=True)
    ]
    assert np.mean(shifted) == pytest.approx(1 - 0.6**2, abs=0.08)


def test_crops_hide_bobs(make):
    found = make(orbits=200, render="images", crop=0.5, times=(0.0, 200.0))
    both = (found["X"][:, [0, 2]] == 0).sum(axis=(2, 3)).min(axis=1)
    np.testing.assert_array_equal(found["visible"], both == 9)
    assert found["visible"].mean() == pytest.approx(0.27, abs=0.06)


def test_one_sample_of_even_values_is_a_test_set(make):
    found = make(orbits=SIZE + 5, samples=1, even=True)
    np.testing.assert_allclose(found["m"], np.linspace(0, 1, SIZE + 5), atol=2e-9)


def test_it_says_what_it_holds(make, tmp_path):
    about = make(orbits=2, range=(0.2, 0.4), gaps=(2, 0.5), seed=5)["about"]
    assert (about["domain"], about["system"]) == ("trajectory", "pendulum")
    settings = json.loads(about["settings"])
    assert (settings["gaps"], settings["range"], settings["seed"]) == ([2, 0.5], [0.2, 0.4], 5)
    assert {"numpy", "scipy", "twofold"} <= about.keys()
    assert json.loads(make("kepler", orbits=2)["about"]["settings"])["range"] == [-1, -0.25]
    with h5py.File(tmp_path / "orbits.h5") as made:
        assert made["energy"].attrs["unit"] == "G M/r"
        assert made["t"].attrs["unit"] == "sqrt(r^3/(G M))"
        assert list(made["X"].attrs["columns"]) == ["x", "y", "vx", "vy"]
    assert make(orbits=2, render="images")["about"]["domain"] == "image"


def test_conditions_are_read_back(make, tmp_path):
    asked = {"orbits": 4, "render": "images", "gaps": (1, 0.2), "range": (0.1, 0.6), "crop": 0.8}
    make(**asked, samples=2, times=(1.0, 2.0))
    with h5py.File(tmp_path / "orbits.h5") as made:
        read = file.conditions_in(made)
    assert read == Conditions(**asked, samples=2, times=(1.0, 2.0))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(make, tmp_path, monkeypatch):
    before = make(orbits=2)

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(file, "_write_rows", fail)
    with pytest.raises(OSError, match="no space"):
        make(orbits=3)
    assert [path.name for path in tmp_path.iterdir()] == ["orbits.h5"]
    with h5py.File(tmp_path / "orbits.h5") as made:
        np.testing.assert_array_equal(made["X"][:], before["X"])


@pytest.mark.parametrize(
    ("name", "system", "settings", "words"),
    [
        ("a.npz", "pendulum", {}, "must end in .h5 or .hdf5"),
        ("nowhere/a.h5", "pendulum", {}, "the folder .*nowhere does not exist"),
        ("a.h5", "pendulums", {}, "did you mean 'pendulum'"),
        ("a.h5", "pendulum", {"range": (0.5, 2.0)}, "goes round and round"),
        ("a.h5", "lotka-volterra", {"render": "images"}, "nothing to draw"),
        ("old.h5", "pendulum", {}, "old.h5 exists; choose another --out"),
    ],
)
def test_mistakes_leave_nothing(name, system, settings, words, tmp_path):
    (tmp_path / "old.h5").write_bytes(b"mine")
    with pytest.raises(TwofoldError, match=words):
        simulate_trajectories(tmp_path / name, system, Conditions(**settings))
    assert [path.name for path in tmp_path.iterdir()] == ["old.h5"]
    assert (tmp_path / "old.h5").read_bytes() == b"mine"
