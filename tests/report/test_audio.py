import base64
import io
import re
import wave

import numpy as np
import pytest
from fabricated_run import NAMES, fabricate

from twofold.augment import Views
from twofold.clips import clips_of
from twofold.domains import Data, Source
from twofold.domains.audio import AUDIO, render
from twofold.report import write
from twofold.report.contact_sheet import preview
from twofold.report.gallery import view_sheet
from twofold.report.hit_sheet import hit_sheet
from twofold.report.pictures import displayable, scale_of
from twofold.report.sound import coloured, sound_uri, spectrograms

RATE, SAMPLES = 16_000, 4_000


def tones(hertz, *, samples=SAMPLES, level=0.5, channels=1):
    """Waveforms `(n, channels, 1, samples)` of int16, a tone each."""
    turns = np.arange(samples) * np.asarray(hertz)[:, None] / RATE
    waves = np.rint(32767 * level * np.sin(2 * np.pi * turns)).astype(np.int16)
    return np.repeat(waves[:, None, None], channels, axis=1)


def source(name, count, *, samples=SAMPLES):
    labels = np.arange(count, dtype=np.int64) % len(NAMES)
    waves = tones(300.0 * (1 + labels) + np.arange(count), samples=samples)
    return Source(
        name=name,
        items=clips_of(waves, 1, window=samples, sample_rate=RATE),
        ids=[f"{name}/{i}.wav" for i in range(count)],
        labels=labels,
        label_names=NAMES,
        domain="audio",
    )


def make(**options):
    train, test = source("train", 60, **options), source("test", 40, **options)
    words = {"noise": "invariant", "time_shift": "sensitive"}
    size = train.items.window
    views = Views(AUDIO, words, channels=1, size=size, signals=True, renderer=render)
    return Data(name="tones", train=train, test=test, note=""), views


def samples_of(uri):
    kind, content = uri.split(",")
    assert kind == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(content))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def test_time_is_to_the_right_and_pitch_upwards():
    low, high = tones([300.0, 3000.0])
    low[..., : SAMPLES // 2] = 0
    items = np.stack([low, high])
    scale = scale_of(items, domain="audio")
    pictures = displayable(items, scale).astype(int).sum(axis=-1)
    rows = pictures.max(axis=2).argmax(axis=1)
    assert rows[1] < rows[0]
    assert pictures[0][:, :30].max() == pictures.min()
    assert pictures[0][:, 50:].max() > 300


@pytest.mark.parametrize("samples", [1, 50, 1_000, 16_000, 80_000, 480_000])
def test_pictures_of_any_length_are_as_small(samples):
    items = tones([440.0], samples=samples)
    height, width, colours = displayable(items, scale_of(items, domain="audio"))[0].shape
    assert (height, colours) == (84, 3)
    assert width <= 84
    assert width >= 60 or samples < 1_000


def test_the_scale_is_of_the_loudest_and_types_mean_the_same():
    loud, quiet = tones([440.0]), tones([440.0], level=0.005)  # 40 dB below
    scale = scale_of(np.concatenate([loud, quiet]), domain="audio")
    assert scale.high - scale.low == 70
    assert "70 dB" in scale.note
    pictures = displayable(np.concatenate([loud, quiet]), scale)
    brightest = pictures[..., 1].reshape(2, -1).max(axis=1)  # green grows all the way
    assert np.array_equal(brightest, coloured(np.array([1.0, 30 / 70]))[:, 1])
    assert np.array_equal(displayable((loud / 32768).astype(np.float32), scale), pictures[:1])


def test_several_channels_are_the_mean_of_their_powers():
    items = tones([440.0], channels=2)
    items[:, 1] = 0
    one, both = spectrograms(items[:, :1]), spectrograms(items)
    assert both.max() == pytest.approx(one.max() + 10 * np.log10(0.5), abs=1e-3)
    assert "(the mean power of 2 channels)" in scale_of(items, domain="audio").note


def test_silence_can_be_shown():
    items = np.zeros((2, 1, 1, SAMPLES), np.int16)
    assert displayable(items, scale_of(items, domain="audio")).shape == (2, 84, 82, 3)


def test_colours_become_lighter_and_end_at_the_ends():
    colours = coloured(np.linspace(-0.2, 1.2, 100)).astype(float)
    lightness = colours @ [0.21, 0.72, 0.07]
    assert (np.diff(lightness) > -0.5).all()
    assert np.array_equal(colours[0], coloured(np.zeros(1))[0])
    assert np.array_equal(colours[-1], coloured(np.ones(1))[0])


def test_a_sound_holds_its_samples():
    items = tones([440.0], channels=2)
    items[:, 1] = 0
    heard, rate = samples_of(sound_uri(items[0], 44_100))
    assert rate == 44_100
    assert abs(heard - items[0, 0, 0] / 2).max() <= 1
    loud, _ = samples_of(sound_uri(np.array([[[0.0, 2.0, -2.0]]], np.float32), RATE))
    assert loud.tolist() == [0, 32767, -32767]


def test_a_query_of_another_type_is_shown_as_loud():
    stored = tones([400.0, 800.0, 1600.0])
    words = [["a", "b", "c"]]
    show = {"names": ["q"], "title": "Hits", "domain": "audio"}
    of_integers = hit_sheet(stored[:1], stored[None], words, **show)
    clips = clips_of(
        (stored[:1, 0] / 32768).astype(np.float32), 1, window=SAMPLES, sample_rate=RATE
    )
    of_floats = hit_sheet(clips, stored[None], words, **show)
    assert np.array_equal(np.asarray(of_integers), np.asarray(of_floats))


def test_the_page_can_be_listened_to(tmp_path):
    data, views = make()
    page = write(fabricate(tmp_path / "run", data), data, views).read_text()
    sounds = re.findall(r'<audio [^>]*src="([^"]+)"', page)
    assert len(sounds) == 12
    assert sum(map(len, sounds)) < 1_000_000
    assert len(page) < 3_000_000
    heard, rate = samples_of(sounds[0])
    assert rate == RATE
    off = [abs(heard - waveform[0, 0].astype(int)).max() for waveform in data.train.items[:]]
    assert min(off) <= 1  # by rounding
    assert "media-src data:;" in page
    assert page.count("Pictures are spectrograms") == 3  # views, neighbours, map
    assert "can be heard" not in page


def test_of_long_clips_the_beginning_is_heard():
    data, views = make(samples=40_000)
    sheet = view_sheet(data, views, None)
    sounds = [shown.sound for row in sheet.rows for shown in row if shown.sound]
    assert {len(samples_of(sound)[0]) for sound in sounds} == {24_000}
    assert sum(map(len, sounds)) < 1_000_000
    assert sheet.note.endswith("Of each clip the first 1.5 s can be heard.")


def test_images_have_no_sound(run_dir, data):
    assert "<audio" not in write(run_dir, data).read_text()


def test_a_preview_is_of_spectrograms(tmp_path):
    from PIL import Image

    data, views = make()
    with Image.open(preview(data, views, tmp_path / "preview.png", rows=2)) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    coloured_pixels = (pixels.max(axis=2) - pixels.min(axis=2)) > 60
    assert coloured_pixels.mean() > 0.01
