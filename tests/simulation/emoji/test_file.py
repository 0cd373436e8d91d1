"""Files of emoji."""

import json

import h5py
import numpy as np
import pytest

import twofold
from twofold.cli import main
from twofold.errors import TwofoldError
from twofold.simulation import simulate_emoji
from twofold.simulation.emoji import file

pytest.importorskip("resvg_py")


@pytest.fixture
def make(three_sets, tmp_path):
    """Makes a file of the toy sets and returns its path."""

    def make(**settings):
        return simulate_emoji(
            tmp_path / "emoji.h5",
            **{"packages": three_sets, "size": 8, "overwrite": True, "quiet": True, **settings},
        )

    return make


def test_every_picture_is_in_its_row(make):
    with h5py.File(make()) as made:
        rows = {key: made[key].asstr()[:].tolist() for key in made if key != "X"}
        red = (made["X"][:, 0, 4, 4] > made["X"][:, 2, 4, 4]).tolist()
        about, domain = json.loads(made.attrs["sets"]), made.attrs["domain"]
    assert rows == {
        "ids": ["heart/noto", "heart/openmoji", "heart/toy", "star/noto", "star/openmoji"],
        "labels": ["Symbols"] * 3 + ["Nature"] * 2,
        "concept": ["heart"] * 3 + ["star"] * 2,
        "artist": ["noto", "openmoji", "toy", "noto", "openmoji"],
    }
    assert red == [True, True, False, False, False]
    assert about["openmoji"] == {
        "version": "1.0.0",
        "licence": "MIT",
        "author": "openmoji's artist",
    }
    assert domain == "image"


def test_any_number_of_processes_makes_the_same_file(make, monkeypatch):
    monkeypatch.setattr(file, "_SHEET", 2)
    made = []
    for workers in (1, 2):
        with h5py.File(make(workers=workers)) as found:
            made.append(found["X"][:])
    np.testing.assert_array_equal(*made)


def test_concepts_are_held_out_and_artists_are_classes(make):
    opened = twofold.open_data(make(), group_key="concept", test_fraction=0.5)
    assert opened.note.startswith("emoji: 5 images of 3x8x8 uint8, 1 classes, 2 groups")
    assert opened.train.label_names == opened.test.label_names == ("Nature", "Symbols")
    assert not set(opened.train.groups) & set(opened.test.groups)
    artists = twofold.open_data(make(), label_key="artist").train
    assert artists.label_names == ("noto", "openmoji", "toy")


def test_the_first_set_settles_what_there_is(make):
    with h5py.File(make(sets=["noto", "toy"])) as found:
        assert found["concept"].asstr()[:].tolist() == ["heart", "heart"]
    with pytest.raises(TwofoldError, match="no concept is drawn by two of the sets toy, noto"):
        make(sets=["toy", "noto"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, "size is 7; it must be from 8 to 512 pixels"),
        ({"workers": 0}, "workers is 0; it must be >= 1"),
        ({"sets": ["noto", "noto"]}, "sets is noto, noto; name two or more, each once"),
        ({"sets": ["noto"]}, "sets is noto; name two or more"),
        ({"overwrite": False}, "exists; choose another --out"),
    ],
)
def test_settings_that_make_nothing_are_told(make, tmp_path, settings, message):
    (tmp_path / "emoji.h5").write_text("mine")
    with pytest.raises(TwofoldError, match=message):
        make(**settings)
    assert (tmp_path / "emoji.h5").read_text() == "mine"


def test_the_command_says_what_it_made(three_sets, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = f"simulate emoji --packages {three_sets} --out e.h5 --figure e.png --size 8"
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["5 pictures of 2 concepts by 3 artists", "Nature 2, Symbols 3"]
    assert shown[3] == "openmoji  2 drawings: 1.0.0, openmoji's artist, MIT"
    assert shown[-2:] == ["e.png", "e.h5"]
