"""Words that espeak-ng speaks."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.sounds.espeak import Utterance, every_voice, speak
from twofold.simulation.sounds.speech import ACCENTS, WORDS, Speech

pytest.importorskip("espeakng_loader")
pytest.importorskip("soxr")

SETTINGS = {"seconds": 1.0, "sample_rate": 16_000, "seed": 0}


def say(word="seven", accent="en-us", voice="f3", pitch=50, speed=170, sample_rate=16_000):
    return speak(Utterance(word, accent, voice, pitch, speed), sample_rate=sample_rate)


def test_a_word_sounds_the_same_whatever_was_said_before():
    alone = [say(voice=voice) for voice in ("caleb", "whisper", "m3")]
    say("backward", "en-gb-scotland", "klatt", 70, 120)
    for before, voice in zip(alone, ("caleb", "whisper", "m3"), strict=True):
        np.testing.assert_array_equal(say(voice=voice), before)


def test_accents_voices_and_words_all_sound_different():
    said = {b"".join(say(word, accent).tobytes() for word in WORDS[-8:]) for accent in ACCENTS}
    assert len(said) == len(ACCENTS) == 8
    voices = every_voice()
    assert len(voices) > 60
    assert len({say(voice=voice).tobytes() for voice in voices[::8]}) == len(voices[::8])
    assert len({say(word).tobytes() for word in WORDS}) == len(WORDS) == 35


def test_speed_and_rate_are_what_they_say():
    slow, fast = (len(say(speed=speed)) for speed in (120, 200))
    assert slow > 1.3 * fast
    assert len(say(sample_rate=8000)) == pytest.approx(len(say()) / 2, rel=0.05)


def test_a_higher_pitch_is_higher():
    periods = []
    for pitch in (20, 79):
        vowel = say("no", voice="m1", pitch=pitch)[2000:4000]
        echo = np.correlate(vowel, vowel, "full")[len(vowel) - 1 :]
        periods.append(50 + echo[50:250].argmax())  # between 64 and 320 Hz
    assert periods[0] > 1.3 * periods[1]


def test_a_word_lies_in_the_middle_of_its_clip():
    script = Speech.of(["cat"], ["en-us"], ["f3"], **SETTINGS)
    clip, word = script.play((0, 0, 0, 50, 170)), say("cat")
    before = (16_000 - len(word)) // 2
    assert clip.shape == (16_000,)
    np.testing.assert_array_equal(clip[before : before + len(word)], word)
    assert np.count_nonzero(clip) <= len(word)
    short = Speech.of(["backward"], seconds=0.2, sample_rate=16_000, seed=0)
    assert short.play((0, 0, 0, 50, 120)) is None


def test_no_voice_is_clipped_by_espeak():
    for voice in ("Demonic", "paul", "AnxiousAndy"):
        assert np.abs(say(voice=voice, pitch=79)).max() < 0.9


def test_names_are_taken_as_they_are_given():
    assert Speech.of(**SETTINGS).words == WORDS
    named = Speech.of(["zebra", "cat"], ["en-us"], ["f3", "m1"], **SETTINGS)
    assert named.words == ("zebra", "cat")
    assert named.columns["voice"].classes == ("f3", "m1")
    assert named.draw(1, 0, np.random.default_rng(0))[:2] == (1, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"accents": ["en-uk"]}, r"unknown accent 'en-uk'; did you mean 'en-us'\?"),
        ({"voices": ["F33"]}, r"unknown voice 'F33'; did you mean"),
        ({"words": ["cat", "cat"]}, r"words are cat, cat; name each once"),
    ],
)
def test_names_that_do_not_serve_are_refused(given, words):
    with pytest.raises(TwofoldError, match=words):
        Speech.of(**given, **SETTINGS)
    with pytest.raises(TwofoldError, match=r"espeak-ng has no accent 'xx-nowhere'"):
        say(accent="xx-nowhere")
