"""Notes: what is drawn of them, and how soundfonts sound."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.sounds import soundfonts
from twofold.simulation.sounds.notes import FAMILIES, Notes
from twofold.simulation.sounds.soundfonts import PACKAGES, Note, Soundfont, find_soundfonts


def test_programs_are_of_their_family_and_pitch_classes_of_their_pitch():
    fonts = (Soundfont("a", "a.sf2", ""), Soundfont("b", "b.sf2", ""))
    script = Notes(soundfonts=fonts, seconds=1.0, sample_rate=16_000, seed=0)
    rng = np.random.default_rng(0)
    drawn = np.array([script.draw(7, 1, rng) for _ in range(3000)])
    family, soundfont, program, pitch, pitch_class, velocity = drawn.T
    assert (set(family), set(soundfont)) == ({7}, {1})
    assert FAMILIES[7] == "Brass"
    assert set(program) == set(range(56, 64))  # trumpet to synth brass, of General MIDI
    assert set(pitch) == set(range(36, 84))
    assert set(velocity) == set(range(60, 120))
    assert script.columns["pitch_class"].classes[(60 % 12)] == "C"
    np.testing.assert_array_equal(pitch_class, pitch % 12)


def test_soundfonts_that_are_missing_are_named_by_their_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(soundfonts, "_FOLDERS", (tmp_path,))
    (tmp_path / "TimGM6mb.sf2").write_bytes(b"RIFF    sfbk")
    with pytest.raises(TwofoldError, match="apt-get install fluid-soundfont-gm csound-soundfont,"):
        find_soundfonts()
    for name in PACKAGES:
        (tmp_path / name).write_bytes(b"RIFF    sfbk" + name.encode())
    found = find_soundfonts()
    assert [one.name for one in found] == ["FluidR3_GM", "TimGM6mb", "sf_GMbank"]
    assert len({one.sha256 for one in found}) == 3


def test_soundfonts_that_are_none_are_refused(tmp_path):
    path = tmp_path / "a.sf2"
    with pytest.raises(TwofoldError, match=r"a.sf2: No such file"):
        find_soundfonts([path])
    path.write_bytes(b"RIFF    WAVE")
    with pytest.raises(TwofoldError, match=r"a.sf2 is no soundfont"):
        find_soundfonts([path])
    with pytest.raises(TwofoldError, match=r"soundfonts are a, a; each needs a name of its own"):
        find_soundfonts([path, tmp_path / "folder" / "a.sf2"])


@pytest.fixture(scope="module")
def small():
    """A soundfont that is installed, where FluidSynth is."""
    try:
        soundfonts.versions()
        return Notes.of([soundfonts._installed()[1]], seconds=1.0, sample_rate=16_000, seed=0)
    except TwofoldError as error:
        pytest.skip(str(error))


def play(script, pitch=69, *, program=0, velocity=100, samples=16_000):
    note = Note(script.soundfonts[0].path, program, pitch, velocity)
    return soundfonts.play_note(note, samples=samples, sample_rate=16_000)


@pytest.mark.parametrize("pitch", [57, 69, 81])
def test_a_note_sounds_at_its_pitch(small, pitch):
    ocarina = play(small, pitch, program=79)[4000:12_000]
    power = np.abs(np.fft.rfft(ocarina * np.hanning(len(ocarina)), 2**17))
    hertz = power.argmax() * 16_000 / 2**17
    assert 12 * np.log2(hertz / 440) + 69 == pytest.approx(pitch, abs=0.2)


def test_a_note_sounds_the_same_whatever_was_played_before(small):
    alone = play(small)
    for pitch in (40, 80):
        play(small, pitch, program=40)
    np.testing.assert_array_equal(play(small), alone)


def test_keys_are_held_for_three_quarters_and_velocity_is_loudness(small):
    organ = np.abs(play(small, program=16))
    assert organ[15_000:].max() < 0.1 * organ[8000:12_000].max()
    soft, hard = (np.square(play(small, velocity=v)).mean() for v in (60, 119))
    assert hard > 2 * soft
    assert play(small, samples=12_345).shape == (12_345,)


def test_what_cannot_be_read_is_told(small, tmp_path):
    path = tmp_path / "broken.sf2"
    path.write_bytes(b"RIFF    sfbk" + bytes(100))
    with pytest.raises(TwofoldError, match=r"FluidSynth cannot read the soundfont .*broken.sf2"):
        soundfonts.play_note(Note(str(path), 0, 60, 100), samples=100, sample_rate=16_000)
