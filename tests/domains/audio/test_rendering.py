"""Views of waveforms: pitch and tempo against tones, and what holds for all augmentations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twofold import TwofoldError
from twofold.augment import Views
from twofold.domains.audio.augmentations import AUDIO
from twofold.domains.audio.rendering import render
from twofold.domains.audio.vocoder import warp

RATE = 16_000
CLIPS = torch.from_numpy(
    np.random.default_rng(0).normal(scale=0.1, size=(11, 1, 1, 5001)).astype(np.float32)
)
INDEX = np.arange(len(CLIPS))


def all_of_them(channels=1, samples=CLIPS.shape[-1], **changes):
    table = {name: replace(kind, **changes) for name, kind in AUDIO.items()}
    prescription = dict.fromkeys(table, "both")
    return Views(table, prescription, channels=channels, size=samples, renderer=render)


def tone(frequency, phase=0.3):
    wave = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE + phase)
    return torch.from_numpy(wave.astype(np.float32)).view(1, 1, 1, -1)


def spectrum(wave, padded=2**19):
    """Frequencies in hertz and amplitudes of the middle of a sound, finely sampled."""
    middle = wave[2000:-2000].double().numpy()
    amplitude = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), n=padded))
    return np.fft.rfftfreq(padded, 1 / RATE), amplitude


def warped(clips, semitones=0.0, rate=1.0):
    pitch = np.full(len(clips), 2 ** (semitones / 12))
    return warp(clips, pitch, np.full(len(clips), rate))


@pytest.mark.parametrize("semitones", [-15, -7.3, -0.6, 0.4, 4.1, 12, 15])
@pytest.mark.parametrize("frequency", [220, 987.6, 2600])
def test_pitch_shift_moves_a_tone_and_adds_no_other(frequency, semitones):
    found = warped(tone(frequency), semitones)[0, 0, 0]
    frequencies, amplitude = spectrum(found)
    peak = frequencies[amplitude.argmax()]
    wanted = frequency * 2 ** (semitones / 12)
    assert abs(1200 * np.log2(peak / wanted)) < 2.5
    others = amplitude[np.abs(frequencies - peak) > 40]
    assert 20 * np.log10(others.max() / amplitude.max()) < -40
    assert found[2000:-2000].square().mean().item() == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize("rate", [0.5, 0.83, 1.2, 1.5])
def test_time_stretch_keeps_the_pitch_of_a_tone(rate):
    found = warped(tone(440), rate=rate)[0, 0, 0, : int(RATE / max(1, rate))]
    frequencies, amplitude = spectrum(found)
    assert frequencies[amplitude.argmax()] == pytest.approx(440, abs=0.3)
    assert found[2000:-2000].square().mean().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("semitones", [0.0, 9.0, -9.0])
@pytest.mark.parametrize("rate", [0.5, 0.8, 1.0, 1.4])
def test_time_stretch_moves_events_and_pitch_shift_does_not(rate, semitones):
    burst = tone(700) * torch.exp(-(((torch.arange(RATE) - 6000) / 800.0) ** 2))
    energy = warped(burst, semitones, rate)[0, 0, 0].square()[: int(RATE / max(1, rate))]
    centre = (energy * torch.arange(len(energy))).sum() / energy.sum()
    assert centre.item() == pytest.approx(6000 / rate, abs=250)  # an eighth of a window


def test_what_is_too_short_starts_again_from_the_beginning():
    burst = tone(700) * torch.exp(-(((torch.arange(RATE) - 3000) / 800.0) ** 2))
    energy = warped(burst, rate=1.5)[0, 0, 0].square()[RATE * 2 // 3 :]
    centre = (energy * torch.arange(len(energy))).sum() / energy.sum()
    assert centre.item() == pytest.approx(3000 / 1.5, abs=300)


@pytest.mark.parametrize("samples", [300, 2048, 5001, 16_000])
def test_the_vocoder_gives_a_sound_back_where_nothing_changes(samples):
    clips = torch.randn(2, 2, 1, samples, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warped(clips), clips, atol=2e-5, rtol=0)


def test_pitch_and_tempo_change_in_one_go():
    table = {
        name: replace(AUDIO[name], probability=1.0) for name in ("pitch_shift", "time_stretch")
    }
    views = Views(table, dict.fromkeys(table, "both"), channels=1, size=5001, renderer=render)
    (view, _), (drawn, _) = views(CLIPS, INDEX, epoch=0)
    pitch = 2 ** (drawn["pitch_shift"]["semitones"] / 12)
    assert torch.equal(view, warp(CLIPS, pitch, drawn["time_stretch"]["rate"]))


def test_filters_multiply():
    table = {name: replace(AUDIO[name], probability=1.0) for name in ("frequency_mask", "filter")}
    views = Views(table, dict.fromkeys(table, "both"), channels=1, size=5001, renderer=render)
    drawn = views.draw(INDEX, epoch=0, view=0)
    both = views.render(CLIPS, drawn)
    one_by_one = CLIPS
    for name, kind in table.items():
        one_by_one = render({name: kind}, one_by_one, drawn, size=5001)
    torch.testing.assert_close(both, one_by_one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_a_view_is_the_same_in_any_batch(probability):
    views = all_of_them(probability=probability)
    whole, _ = views(CLIPS, INDEX, epoch=3)
    for some in (slice(0, 1), slice(4, 6), slice(3, 11)):
        part, _ = views(CLIPS[some], INDEX[some], epoch=3)
        for found, there in zip(part, whole, strict=True):
            assert torch.equal(found, there[some])


@pytest.mark.parametrize("name", list(AUDIO))
def test_each_is_the_same_in_any_batch(name):
    clips = torch.randn(7, 2, 1, 22_050, generator=torch.Generator().manual_seed(1))
    table = {name: replace(AUDIO[name], probability=1.0)}
    views = Views(table, {name: "both"}, channels=2, size=22_050, renderer=render)
    (whole, _), _ = views(clips, np.arange(7), epoch=0)
    for row in (0, 6):
        (alone, _), _ = views(clips[row : row + 1], np.array([row]), epoch=0)
        assert torch.equal(alone[0], whole[row])


def test_where_nothing_is_applied_the_view_is_the_clip():
    views = all_of_them(probability=0.1)
    found, draws = views(CLIPS, INDEX, epoch=0)
    some = 0
    for view, drawn in zip(found, draws, strict=True):
        untouched = ~np.any([drawn[name]["applied"] for name in AUDIO], axis=0)
        some += untouched.sum()
        assert torch.equal(view[torch.from_numpy(untouched)], CLIPS[torch.from_numpy(untouched)])
        for name, kind in AUDIO.items():
            for parameter, neutral in kind.neutral.items():
                assert (drawn[name][parameter][~drawn[name]["applied"]] == neutral).all()
    assert some


def test_clips_themselves_are_never_changed():
    before = CLIPS.clone()
    all_of_them(probability=1.0)(CLIPS, INDEX, epoch=0)
    assert torch.equal(CLIPS, before)


def test_both_channels_get_the_same():
    clips = CLIPS.repeat(1, 2, 1, 1)
    for view in all_of_them(channels=2)(clips, INDEX, epoch=0)[0]:
        assert torch.equal(view[:, 0], view[:, 1])


def test_views_are_as_long_as_clips():
    with pytest.raises(TwofoldError, match="size is 8, and the clips have 5001 samples"):
        render({}, CLIPS, {}, size=8)
