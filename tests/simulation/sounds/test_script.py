"""What is drawn: balanced, by seeds, and again where nothing is heard."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.sounds.script import check_settings, digest, load, pairs, render


def test_any_head_is_balanced(tones):
    found = pairs(tones(), range(600))
    assert [set(turn[:, 0]) for turn in found.reshape(-1, 2, 2)] == [{0, 1}] * 300
    for cycle in found.reshape(-1, 6, 2):
        assert len({tuple(pair) for pair in cycle.tolist()}) == 6
    assert len({cycle.tobytes() for cycle in found.reshape(-1, 6, 2)}) > 10


@pytest.mark.parametrize("rows", [range(5), range(6, 12), range(5, 7), range(17, 300)])
def test_a_sound_does_not_depend_on_what_is_made_beside_it(tones, rows):
    script = tones(mute=(0,))
    whole, part = render(script, range(300)), render(script, rows)
    for name, values in vars(part).items():
        np.testing.assert_array_equal(values, getattr(whole, name)[rows.start : rows.stop])
    assert not np.array_equal(whole.known, render(tones(seed=1, mute=(0,)), range(300)).known)


def test_what_nobody_hears_is_drawn_again_and_counted(tones):
    heard, all_of_them = render(tones(mute=(0, 1)), range(200)), render(tones(), range(200))
    assert set(heard.known[:, 2]) == {2, 3}
    np.testing.assert_array_equal(heard.redrawn == 0, all_of_them.known[:, 2] > 1)
    np.testing.assert_array_equal(heard.known[:, :2], all_of_them.known[:, :2])
    assert all_of_them.redrawn.sum() == 0
    with pytest.raises(TwofoldError, match=r"^shape (sine|square), room .: 50 draws are all"):
        render(tones(mute=(0, 1, 2, 3)), range(1))


def test_full_scale_is_1_and_what_is_louder_is_clipped_and_counted(tones):
    script = tones()
    sounds = render(script, range(20))
    for samples, known in zip(sounds.samples, sounds.known.tolist(), strict=True):
        np.testing.assert_allclose(samples / 32767, script.play(known), atol=2e-5)
    loud = render(tones(loud=2.0), range(20))
    assert loud.clipped.all()
    assert not sounds.clipped.any()
    assert (loud.samples.min(), loud.samples.max()) == (-32767, 32767)


def test_what_is_saved_is_read_and_what_is_damaged_is_not(tones, tmp_path):
    sounds, path = render(tones(), range(5)), tmp_path / "kept.npz"
    assert load(path) is None
    sounds.save(path)
    np.testing.assert_array_equal(load(path).samples, sounds.samples)
    assert len(load(path).head(2)) == 2
    path.write_bytes(path.read_bytes()[:100])
    assert load(path) is None


def test_scripts_are_told_apart(tones):
    assert digest(tones()) == digest(tones())
    assert len({digest(one) for one in (tones(), tones(seed=1), tones(loud=0.4))}) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((0.01, 16_000, 0), r"seconds is 0.01; it must be from 0.1 to 60"),
        ((float("nan"), 16_000, 0), r"seconds is nan"),
        ((1.0, 4000, 0), r"sample_rate is 4000; it must be from 8000 to 96000"),
        ((1.0, 16_000, -1), r"seed is -1; it must be >= 0"),
    ],
)
def test_settings_that_make_no_sounds_are_refused(settings, words):
    with pytest.raises(TwofoldError, match=words):
        check_settings(*settings)
