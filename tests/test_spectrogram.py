import re

import numpy as np
import pytest
import torch
from torch import nn

import twofold.spectrogram
from twofold import TwofoldError
from twofold.interchange.graphs import Onnx, Program
from twofold.spectrogram import Spectrogram

RNG = np.random.default_rng(0)


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def triangle(frequency, left, centre, right):
    if not left < frequency < right:
        return 0.0
    near = frequency - left if frequency <= centre else right - frequency
    return near / (centre - left if frequency <= centre else right - centre)


def by_hand(wave, *, sample_rate, n_fft, hop, mels, low_hz=0.0, high_hz=None):
    """The three planes of one waveform, one window and one filter after the other."""
    high_hz = high_hz or sample_rate / 2
    evenly = np.linspace(mel(low_hz), mel(high_hz), mels + 2)
    edges = 700 * (10 ** (evenly / 2595) - 1)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    filters = np.array([[triangle(f, *edges[m : m + 3]) for f in bins] for m in range(mels)])
    taper = [0.5 - 0.5 * np.cos(2 * np.pi * n / n_fft) for n in range(n_fft)]
    padded = np.concatenate([np.zeros(n_fft // 2), wave, np.zeros(n_fft)])
    starts = range(0, len(wave) + 1, hop)
    spectra = np.stack([np.fft.rfft(taper * padded[t : t + n_fft]) for t in starts], axis=1)
    power, magnitude = filters @ abs(spectra) ** 2, filters @ abs(spectra)
    phase = np.angle(filters @ spectra)
    return np.stack([10 * np.log10(power + 1e-6), 10 * np.log10(magnitude + 1e-3), phase])


@pytest.mark.parametrize("samples", [1, 100, 999, 4000])
@pytest.mark.parametrize(
    "settings",
    [
        {"sample_rate": 16_000, "n_fft": 512, "hop": 160, "mels": 40},
        {"sample_rate": 8_000, "n_fft": 256, "hop": 256, "mels": 12, "low_hz": 300.0},
        {"sample_rate": 44_100, "n_fft": 1023, "hop": 200, "mels": 20, "high_hz": 11_000.0},
    ],
    ids=["usual", "low_hz", "odd window and high_hz"],
)
def test_the_three_planes_by_hand(settings, samples):
    waves = RNG.normal(0, 0.1, (2, 2, 1, samples)).astype(np.float32)
    spectrogram = Spectrogram(**settings, phase=True)
    found = spectrogram(torch.from_numpy(waves)).numpy()
    assert found.shape == (2, 6, *spectrogram.shape(samples))
    for item in range(2):
        for channel in range(2):
            expected = by_hand(waves[item, channel, 0].astype(np.float64), **settings)
            planes = found[item, 3 * channel : 3 * channel + 3]
            assert np.allclose(planes[:2], expected[:2], atol=1e-3)
            turn = np.exp(1j * planes[2]) - np.exp(1j * expected[2])  # π is -π
            assert np.quantile(abs(turn), 0.95) < 1e-3  # of a sum near 0 it is anything
    plain = Spectrogram(**settings)(torch.from_numpy(waves)).numpy()
    assert np.array_equal(plain, found[:, ::3])


def test_windows_are_those_of_torch():
    wave = torch.from_numpy(RNG.normal(0, 0.1, 3000).astype(np.float32))
    settings = Spectrogram(sample_rate=16_000)
    taper = torch.hann_window(1024)
    stft = torch.stft(wave, 1024, 256, window=taper, pad_mode="constant", return_complex=True)
    filters = torch.from_numpy(settings._filters()).float()
    expected = 10 * (filters @ stft.abs() ** 2 + 1e-6).log10()
    assert torch.allclose(settings(wave.view(1, 1, 1, -1))[0, 0], expected, atol=1e-3)


def test_filters_of_128_mels_all_hear():
    """As many as MT-SLVR's, each as torchaudio's: HTK's scale, height 1, no area normalised."""
    filters = Spectrogram(sample_rate=16_000, mels=128)._filters()
    assert filters.shape == (128, 513)
    assert (filters.max(axis=1) > 0).all()
    assert filters.max() <= 1
    # neighbours share what lies between their centres
    between = slice(np.argmax(filters[0]) + 1, np.argmax(filters[-1]))
    assert np.allclose(filters.sum(axis=0)[between], 1)


def test_silence_is_a_constant():
    spectrogram = Spectrogram(sample_rate=16_000)
    assert spectrogram(torch.zeros(2, 1, 1, 500)).unique().tolist() == [-60.0]


@pytest.mark.parametrize("phase", [False, True])
def test_an_item_is_the_same_in_any_batch(phase):
    torch.manual_seed(0)
    spectrogram = Spectrogram(sample_rate=16_000, phase=phase)
    waves = 0.1 * torch.randn(40, 2, 1, 16_000)
    whole = spectrogram(waves)
    for size in (1, 7, 13):
        assert torch.equal(torch.cat([spectrogram(part) for part in waves.split(size)]), whole)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(spectrogram(waves), whole)


def test_no_gradient_is_kept():
    waves = torch.randn(1, 1, 1, 2000, requires_grad=True)
    assert not Spectrogram(sample_rate=16_000)(waves).requires_grad


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sample_rate": 0}, "sample_rate is 0; it must be > 0"),
        ({"n_fft": 8, "hop": 4}, "n_fft is 8; it must be >= 16"),
        ({"hop": 2000}, "hop is 2000; it must be from 1 to n_fft, 1024"),
        ({"mels": 0}, "mels is 0; it must be > 0"),
        ({"high_hz": 9000.0}, "high_hz is 9000.0; it must be at most half the sample rate, 8000"),
        ({"low_hz": 8000.0}, "low_hz is 8000.0; it must be >= 0 and below high_hz, 8000"),
        ({"n_fft": 256}, "62.5 Hz apart, and some filters are narrower; say mels 57, or a larger"),
        ({"low_hz": 5.0, "high_hz": 6.0}, "say a larger n_fft"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(settings, told):
    with pytest.raises(TwofoldError, match=told) as refused:
        Spectrogram(**({"sample_rate": 16_000} | settings))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("rate", "n_fft"), [(16_000, 256), (44_100, 1024), (8_000, 100)])
def test_the_number_of_filters_that_is_named_is_the_most_that_work(rate, n_fft):
    with pytest.raises(TwofoldError) as refused:
        Spectrogram(sample_rate=rate, n_fft=n_fft, hop=1, mels=100_000)
    most = int(re.search(r"say mels (\d+),", str(refused.value))[1])
    filters = Spectrogram(sample_rate=rate, n_fft=n_fft, hop=1, mels=most)._filters()
    assert filters.any(axis=1).all()
    with pytest.raises(TwofoldError, match=f"say mels {most}, or a larger n_fft"):
        Spectrogram(sample_rate=rate, n_fft=n_fft, hop=1, mels=most + 1)


class Heard(nn.Module):
    def forward(self, waves):
        return Spectrogram(sample_rate=16_000, phase=True)(waves).mean(dim=(2, 3))


@pytest.mark.parametrize("library", [Onnx, Program])
@pytest.mark.parametrize("used", [False, True])
def test_graphs_hold_it(library, used):
    pytest.importorskip("onnxruntime")
    twofold.spectrogram._kept_constants.cache_clear()
    torch.manual_seed(0)
    waves = 0.1 * torch.randn(5, 1, 1, 4000)
    if used:
        Heard()(waves)
    form = library(Heard(), (1, 1, 4000), "waveforms")
    read = form.read(form.write({}))
    for batch in (waves[:1], waves):
        assert torch.allclose(read(batch), Heard()(batch), atol=1e-3)


def test_it_compiles():
    waves = torch.randn(2, 1, 1, 2000)
    spectrogram = Spectrogram(sample_rate=16_000)
    compiled = torch.compile(spectrogram, backend="eager")
    assert torch.allclose(compiled(waves), spectrogram(waves), atol=1e-5)
