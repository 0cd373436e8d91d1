"""Files of jets."""

import h5py
import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation import simulate_jets
from twofold.simulation.jets import blocks, file
from twofold.simulation.jets.blocks import SIZE, labels
from twofold.simulation.jets.detector import images
from twofold.simulation.jets.tasks import Sample


@pytest.fixture
def make(collisions, tmp_path):
    """Makes a file of toy jets and reads all of it."""

    def make(n, name="jets.h5", **settings):
        settings = {"cache": tmp_path / "cache", "overwrite": True, "quiet": True, **settings}
        with h5py.File(simulate_jets(tmp_path / name, n=n, **settings)) as made:
            return {key: made[key][:] for key in made}

    return make


def test_every_jet_is_in_its_row(make, tmp_path):
    n = 2 * SIZE + 31
    found = make(n, seed=2, size=20)
    sample, classes = Sample.of("quark-gluon", seed=2), labels(n, 2)
    np.testing.assert_array_equal(found["y"], classes)
    seen = [0, 0]
    pairs = blocks.blocks(sample, n, tmp_path / "cache")
    kept = [[pair[label].read() for pair in pairs] for label in (0, 1)]
    pictures = [
        [
            images(jets, detector="cms", size=20, radius=0.4, seed=(pair[label].seed,))
            for jets, pair in zip(kept[label], pairs, strict=True)
        ]
        for label in (0, 1)
    ]
    for row, label in enumerate(classes):
        number, place = divmod(seen[label], SIZE)
        jets = kept[label][number]
        assert found["m0"][row] == np.float32(jets.mass[place])
        assert found["pt"][row] == np.float32(jets.pt[place])
        assert found["multiplicity"][row] == jets.multiplicity[place]
        np.testing.assert_array_equal(found["X_jets"][row], pictures[label][number][place])
        seen[label] += 1


def test_a_longer_file_begins_with_a_shorter_one(make):
    short, long = make(41), make(3 * SIZE)
    for key, values in short.items():
        np.testing.assert_array_equal(values, long[key][:41])


def test_a_file_after_a_stop_is_the_same(make, collisions, tmp_path):
    whole = make(5 * SIZE, cache=tmp_path / "other")
    collisions.clear()
    collisions.limit = 2
    with pytest.raises(KeyboardInterrupt):
        make(5 * SIZE, name="again.h5")
    assert not (tmp_path / "again.h5").exists()
    collisions.limit = None
    again = make(5 * SIZE, name="again.h5")
    for key, values in whole.items():
        np.testing.assert_array_equal(values, again[key])


def test_another_detector_and_size_need_no_new_collision(make, collisions):
    make(60)
    made = len(collisions)
    assert make(60, detector="truth", size=125)["X_jets"].shape == (60, 125, 125, 3)
    assert len(collisions) == made
    make(60, pt=(400, 600))
    assert len(collisions) == 2 * made


def test_it_says_what_it_holds(make, tmp_path):
    make(20, task="top-qcd", size=20)
    with h5py.File(tmp_path / "jets.h5") as made:
        assert list(made["y"].attrs["classes"]) == ["qcd", "top"]
        assert [made[key].attrs["unit"] for key in ("X_jets", "m0", "pt")] == ["GeV"] * 3
        assert list(made["X_jets"].attrs["channels"]) == ["tracks", "ECAL", "HCAL"]
        assert made["X_jets"].dtype == np.float32
        assert made["X_jets"].compression == "gzip"
        said = dict(made.attrs)
    assert said["domain"] == "jet"
    assert (said["task"], said["detector"], said["seed"]) == ("top-qcd", "cms", 0)
    assert said["window"] == pytest.approx(1.6)
    assert said["pt_range"].tolist() == [400, 600]
    assert "toy detector" in said["note"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(make, tmp_path, monkeypatch):
    before = make(20)

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(file, "_write_rows", fail)
    with pytest.raises(OSError, match="no space"):
        make(30)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "jets.h5"]
    with h5py.File(tmp_path / "jets.h5") as made:
        np.testing.assert_array_equal(made["pt"][:], before["pt"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 1}, "n is 1; it must be >= 2"),
        ({"workers": 0}, "workers is 0; it must be >= 1"),
        ({"name": "jets.npz"}, "must end in .h5 or .hdf5"),
        ({"name": "nowhere/jets.h5"}, "the folder .*nowhere does not exist"),
        ({"task": "topqcd"}, "did you mean 'top-qcd'"),
        ({"detector": "atlas"}, "unknown detector 'atlas'"),
        ({"size": 41}, "size is 41"),
        ({"pt": (600, 400)}, "give the lower end first"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(make, collisions, settings, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        make(**{"n": 20, **settings})
    assert "\n" not in str(caught.value)
    assert not collisions


def test_a_file_is_not_replaced_unasked(make, collisions, tmp_path):
    (tmp_path / "jets.h5").write_text("mine")
    with pytest.raises(TwofoldError, match="exists; choose another --out, or replace it"):
        make(20, overwrite=False)
    (tmp_path / "b.h5").mkdir()
    with pytest.raises(TwofoldError, match="a folder; name a file"):
        make(20, name="b.h5")
    assert not collisions
    assert (tmp_path / "jets.h5").read_text() == "mine"
