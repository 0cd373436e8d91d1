"""What augmentations do to waveforms, each against its formula or another way to compute it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from twofold import TwofoldError
from twofold.augment import Views
from twofold.domains.audio.augmentations import (
    AUDIO,
    Fade,
    Filter,
    FrequencyMask,
    Gain,
    Noise,
    PitchShift,
    TimeMask,
    TimeShift,
    TimeStretch,
)
from twofold.domains.audio.noises import coloured, shares
from twofold.domains.audio.rendering import render

SAMPLES = 4000
CLIPS = torch.from_numpy(
    np.random.default_rng(0).normal(scale=0.1, size=(12, 2, 1, SAMPLES)).astype(np.float32)
)
INDEX = np.arange(len(CLIPS))


def seen(name, clips=CLIPS, epoch=0, **settings):
    """A view of every clip under one augmentation, always applied, and what was drawn."""
    kind = {name: replace(AUDIO[name], probability=1.0, **settings)}
    _, channels, _, samples = clips.shape
    views = Views(kind, {name: "both"}, channels=channels, size=samples, renderer=render)
    (view, _), (drawn, _) = views(clips, np.arange(len(clips)), epoch)
    return view.numpy(), drawn[name]


def rms(wave):
    return np.sqrt(np.mean(np.square(wave.astype(np.float64))))


def test_polarity_changes_the_sign():
    np.testing.assert_array_equal(seen("polarity")[0], -CLIPS)


def test_gain_is_in_decibels():
    view, drawn = seen("gain")
    factor = 10 ** (drawn["gain"] / 20)
    np.testing.assert_allclose(view, CLIPS.numpy() * factor[:, None, None, None], rtol=1e-5)
    assert drawn["gain"].min() < 0 < drawn["gain"].max()


def test_a_time_shift_rolls():
    view, drawn = seen("time_shift")
    for found, clip, shift in zip(view, CLIPS.numpy(), drawn["shift"], strict=True):
        np.testing.assert_array_equal(found, np.roll(clip, round(shift * SAMPLES), axis=-1))


@pytest.mark.parametrize(
    ("shape", "curve"),
    [
        (0, lambda way: way),
        (1, lambda way: 1 + np.log10(0.1 + 0.9 * way)),
        (2, lambda way: way * 2 ** (way - 1)),
    ],
)
def test_fades_follow_their_curves(shape, curve):
    view, drawn = seen("fade", torch.ones(30, 1, 1, SAMPLES))
    rows = np.flatnonzero(drawn["shape"] == shape)
    assert len(rows)
    number = np.arange(1, SAMPLES + 1)
    for row in rows:
        first = np.minimum(number / (drawn["fade_in"][row] * SAMPLES), 1)
        last = np.minimum(number[::-1] / (drawn["fade_out"][row] * SAMPLES), 1)
        np.testing.assert_allclose(view[row, 0, 0], curve(first) * curve(last), atol=1e-5)


def test_a_fade_of_no_length_changes_nothing():
    np.testing.assert_array_equal(seen("fade", length=(0.0, 0.0))[0], CLIPS)


def test_a_time_mask_is_as_long_as_drawn_and_touches_nothing_else():
    view, drawn = seen("time_mask")
    for found, clip, start, width in zip(
        view, CLIPS.numpy(), drawn["start"], drawn["width"], strict=True
    ):
        first, stop = round(start * SAMPLES), round((start + width) * SAMPLES)
        assert not found[..., first:stop].any()
        np.testing.assert_array_equal(found[..., :first], clip[..., :first])
        np.testing.assert_array_equal(found[..., stop:], clip[..., stop:])
    assert 0 < drawn["width"].max() <= 0.125


@pytest.mark.parametrize("name", ["noise", "mixed_noise"])
def test_noise_has_the_ratio_drawn_and_is_the_same_in_all_channels(name):
    view, drawn = seen(name)
    added = view - CLIPS.numpy()
    np.testing.assert_allclose(added[:, 0], added[:, 1], atol=1e-7)
    found = [20 * np.log10(rms(c) / rms(a)) for c, a in zip(CLIPS.numpy(), added, strict=True)]
    np.testing.assert_allclose(found, drawn["snr"], atol=0.01)
    assert drawn["snr"].min() >= 3
    assert drawn["snr"].max() <= 30


@pytest.mark.parametrize("decay", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_noise_has_the_colour_drawn(decay):
    samples = 16_000
    noise = coloured(torch.arange(2), torch.full((2,), decay), samples).numpy()
    amplitude = np.abs(np.fft.rfft(noise.astype(np.float64)))
    pitch = np.linspace(1, np.sqrt(samples / 2), samples // 2 + 1)
    inner = slice(1, -1)  # of the highest frequency only the real part exists
    there = np.broadcast_to(pitch[inner] ** -decay, amplitude[:, inner].shape)
    np.testing.assert_allclose(amplitude[:, inner], there, rtol=0.02, atol=2e-3)
    assert abs(np.corrcoef(noise)[0, 1]) < 0.1
    if decay == 0:
        standard = noise[0] / noise[0].std()
        assert abs(np.mean(standard**4) - 3) < 0.2  # normal, as the sum of many waves is


def test_shares_are_uniform_and_differ_from_key_to_key():
    numbers = shares(torch.tensor([1, 2]), 80_000).numpy()
    np.testing.assert_allclose(
        np.histogram(numbers, 16, (0, 1))[0] / numbers.size, 1 / 16, rtol=0.05
    )
    assert abs(np.corrcoef(numbers)[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers[0, :-1], numbers[0, 1:])[0, 1]) < 0.01


def test_a_frequency_mask_takes_out_its_band_and_leaves_the_rest():
    view, drawn = seen("frequency_mask")
    before, after = (np.fft.rfft(np.asarray(x, np.float64)) for x in (CLIPS, view))
    octave = np.log2(np.maximum(np.fft.rfftfreq(SAMPLES) * 2, 1e-9))
    for was, found, centre, width in zip(
        before, after, drawn["centre"], drawn["width"], strict=True
    ):
        off = np.abs(octave - centre)
        inside, outside = off < width / 2 - 0.06, off > width / 2 + 0.01
        assert np.abs(found[..., inside]).max(initial=0) < 1e-4 * np.abs(was).max()
        np.testing.assert_allclose(found[..., outside], was[..., outside], atol=1e-4)


def test_a_room_keeps_the_sound_and_adds_echoes_of_the_energy_drawn():
    clips = torch.zeros(8, 1, 1, SAMPLES)
    clips[..., 100] = 1
    view, drawn = seen("filter", clips)
    np.testing.assert_allclose(view[..., 100], 1, atol=1e-5)
    echoes = np.roll(view, -100, axis=-1)[:, 0, 0, 1:]
    np.testing.assert_allclose([np.linalg.norm(e) for e in echoes], drawn["wet"], rtol=1e-3)
    for echo, decay in zip(echoes, drawn["decay"], strict=True):
        length = round(decay * SAMPLES)
        whole, rest = (np.linalg.norm(echo[start:]) for start in (0, length // 3))
        assert 20 * np.log10(rest / whole) == pytest.approx(-20, abs=3)  # a third of 60 dB


@pytest.mark.parametrize("name", list(AUDIO))
def test_silence_stays_silence(name):
    view, _ = seen(name, torch.zeros(4, 1, 1, 1000))
    assert not view.any()


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 100, 997])
@pytest.mark.parametrize("name", list(AUDIO))
def test_short_clips_are_changed_too(name, samples):
    clips = CLIPS[..., :samples]
    view, _ = seen(name, clips)
    assert view.shape == clips.shape
    assert np.isfinite(view).all()
    assert np.abs(view).max() < 100


def test_captions_say_what_was_done():
    words = {
        name: augmentation.caption(
            dict.fromkeys(augmentation.neutral, 0.5) | {"applied": True, "snr": 12.3}
        )
        for name, augmentation in AUDIO.items()
    }
    assert words["pitch_shift"] == "pitch +0.5"
    assert words["noise"] == "noise 12 dB"
    assert words["time_stretch"] == "tempo ×0.50"
    band = {"width": 1.0, "centre": -1.5}
    assert AUDIO["frequency_mask"].caption(band) == "without 25% to 50%"


@pytest.mark.parametrize("name", list(AUDIO))
def test_there_is_something_to_recover_of_each(name):
    views = Views(AUDIO, {name: "both"}, channels=1, size=8, renderer=render)
    target = views.target(name)
    assert target.kind == ("binary" if name == "polarity" else "continuous")
    drawn = views.draw(np.arange(200), epoch=0, view=0)[name]
    values = target.values(drawn)
    assert np.isfinite(values).all()
    assert len(np.unique(values[~drawn["applied"]], axis=0)) == 1


@pytest.mark.parametrize(
    "kind",
    [
        lambda: PitchShift(semitones=30),
        lambda: TimeStretch(rate=(0.1, 1.0)),
        lambda: TimeShift(share=0.6),
        lambda: Fade(length=(0.0, 1.5)),
        lambda: Gain(gain=(3.0, -3.0)),
        lambda: Noise(snr=(3.0, 1000.0)),
        lambda: Noise(decay=(-9.0, 0.0)),
        lambda: TimeMask(width=(0.0, 2.0)),
        lambda: FrequencyMask(width=(-1.0, 1.0)),
        lambda: FrequencyMask(width=(1.0, 8.0)),
        lambda: FrequencyMask(reach=99),
        lambda: Filter(decay=(0.0, 0.1)),
        lambda: Filter(wet=(0.0, 20.0)),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(kind):
    with pytest.raises(TwofoldError, match=r"must be") as refused:
        kind()
    assert "\n" not in str(refused.value)
