"""Files of sounds: what they hold, and what is made again."""

import json
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.sounds import file, simulate_notes, summary, write_figure
from twofold.simulation.sounds.blocks import SIZE
from twofold.simulation.sounds.script import render


@pytest.fixture
def simulate(rendered, tmp_path):
    """Makes a file of tones: `simulate(script, n)`."""

    def simulate(script, n, name="tones.h5"):
        place = {"workers": 1, "cache": tmp_path / "cache", "quiet": True}
        return file._simulate(tmp_path / name, script, n, **place)

    return simulate


def test_the_file_holds_every_sound_and_what_is_known_of_it(simulate, tones):
    script, n = tones(mute=(3,)), SIZE + 20
    made = render(script, range(n))
    with h5py.File(simulate(script, n)) as found:
        np.testing.assert_array_equal(found["X"][:], made.samples)
        for name, values in zip(script.columns, made.known.T, strict=True):
            np.testing.assert_array_equal(found[name][:], values)
        assert found["labels"] == found["shape"]
        assert list(found["labels"].attrs["classes"]) == ["sine", "square"]
        assert found["pitch"].attrs["unit"] == "semitones"
        assert found["pitch"].dtype == np.float32
        ids = found["ids"].asstr()[:].tolist()
        assert len(set(ids)) == n
        shape, room = made.known[-1, :2]
        assert ids[-1] == f"{n - 1}/{('sine', 'square')[shape]}/{'abc'[room]}"
        about = dict(found.attrs)
        assert (about["domain"], about["sample_rate"]) == ("audio", 8000)
        assert about["redrawn"] == made.redrawn.sum() > 0
        assert about["clipped"] == 0
        assert json.loads(about["settings"])["mute"] == [3]


def test_what_was_stopped_goes_on_and_more_sounds_keep_the_first(simulate, rendered, tones):
    rendered.limit = 2
    with pytest.raises(KeyboardInterrupt):
        simulate(tones(), 4 * SIZE)
    rendered.limit = None
    simulate(tones(), 4 * SIZE)
    assert [rows.start // SIZE for rows in rendered] == [0, 1, 2, 3]
    with h5py.File(simulate(tones(), 4 * SIZE + 10, "more.h5")) as more:
        assert [len(rows) for rows in rendered[4:]] == [10]
        assert len(simulate(tones(), 300, "fewer.h5").read_bytes())
        assert len(rendered) == 5
        with h5py.File(simulate(tones(), 300, "fewer.h5")) as fewer:
            np.testing.assert_array_equal(fewer["X"][:], more["X"][:300])


def test_nothing_is_left_where_a_file_is_refused(rendered, tmp_path):
    out = tmp_path / "notes.h5"
    out.touch()
    with pytest.raises(TwofoldError, match=r"notes.h5 exists"):
        simulate_notes(out, n=10)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.h5"]


@pytest.mark.parametrize(
    ("n", "workers", "words"), [(0, 1, "n is 0; it must be >= 1"), (1, 0, "workers is 0")]
)
def test_numbers_that_make_nothing_are_refused(n, workers, words, tones, tmp_path):
    with pytest.raises(TwofoldError, match=words):
        file._simulate(tmp_path / "a.h5", tones(), n, workers=workers, cache=tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_file_is_told_of_in_words(simulate, tones):
    lines = summary(simulate(tones(mute=(0,), loud=1.5), 60))
    assert lines[0] == "60 tones of 0.1 s, 8,000 samples a second"
    assert lines[1:4] == [
        "shape  sine 30, square 30",
        "room   a 20, b 20, c 20",
        "voice  1 to 3",
    ]
    assert lines[4].endswith(" semitones")
    assert lines[-2].endswith("were silent or too long, and drawn again")
    assert lines[-1] == "60 are louder than full scale, and clipped"


def test_the_figure_shows_every_pair_there_is(simulate, tones, tmp_path):
    out = Path(tmp_path, "tones.png")
    bright = []
    for n in (1, 6):
        write_figure(simulate(tones(), n, f"{n}.h5"), out)
        picture = matplotlib.image.imread(out)[..., :3]
        bright.append((picture.std(axis=-1) > 0.1).sum())
    assert bright[1] > 4 * bright[0] > 0
