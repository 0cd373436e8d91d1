"""Folders of recordings: decoded without a loss, or listed with the reason."""

import os
import struct
import sys

import numpy as np
import pytest
import soundfile
import soxr
from toy_sounds import clip_of, tone, write_sound

from twofold.clips import Clips
from twofold.domains.audio import recordings as recordings_module
from twofold.domains.audio.recordings import open_folder
from twofold.domains.audio.windows import Reading
from twofold.domains.folders import FolderOptions
from twofold.errors import TwofoldError

RNG = np.random.default_rng(0)


def opened(root, *, max_bad=0.5, reading=None, **options):
    return open_folder(root, reading or Reading(), FolderOptions(max_bad=max_bad, **options))


def only(root, **options):
    (source,), _ = opened(root, **options)
    return source


def read(source, id):
    return clip_of(source.items, source.ids.index(id))


def test_files_of_16_bits_are_kept_as_they_are(birds):
    source = only(birds)
    assert isinstance(source.items, Clips)
    assert isinstance(source.items.samples, np.memmap)
    assert source.items.samples.dtype == np.int16
    assert not source.items.samples.flags.writeable
    assert source.domain == "audio"
    assert source.label_names == ("owl", "wren")
    assert list(source.ids) == sorted(f"{'owl' if n % 2 else 'wren'}/{n}.wav" for n in range(12))
    for id in source.ids:
        assert np.array_equal(
            read(source, id), soundfile.read(birds / id, dtype="int16")[0][:, None]
        )


@pytest.mark.parametrize(
    ("name", "subtype", "kind"),
    [
        ("a.wav", "PCM_U8", np.int16),
        ("a.wav", "PCM_24", np.float32),
        ("a.wav", "FLOAT", np.float32),
        ("a.wav", "DOUBLE", np.float32),
        ("a.flac", "PCM_16", np.int16),
        ("a.flac", "PCM_24", np.float32),
        ("a.aiff", "PCM_16", np.int16),
        ("A.OGG", "VORBIS", np.float32),
        ("a.mp3", "MPEG_LAYER_III", np.float32),
    ],
)
def test_every_kind_of_file_is_decoded(tmp_path, name, subtype, kind):
    written = write_sound(tmp_path / name, tone(channels=2), subtype=subtype)
    samples = read(only(tmp_path), name)
    assert samples.dtype == kind
    expected, _ = soundfile.read(tmp_path / name, dtype=np.dtype(kind).name)
    # A decoder of MP3 rounds otherwise in blocks of another length.
    np.testing.assert_allclose(samples, expected, atol=1e-6 if name.endswith("mp3") else 0)
    full_scale = 2**15 if kind == np.int16 else 1
    assert np.abs(samples / full_scale - written).max() < (0.05 if kind == np.float32 else 0.01)


def test_8_bits_and_24_bits_lose_nothing(tmp_path):
    eight, deep = np.arange(-128, 128), np.arange(-(2**23), 2**23, 2**15 + 1)
    write_sound(tmp_path / "a" / "8.wav", (eight << 8).astype(np.int16), subtype="PCM_U8")
    write_sound(tmp_path / "b" / "24.wav", (deep << 8).astype(np.int32), subtype="PCM_24")
    assert np.array_equal(read(only(tmp_path / "a"), "8.wav")[:, 0], eight << 8)
    assert np.array_equal(read(only(tmp_path / "b"), "24.wav")[:, 0] * 2.0**23, deep)


def test_clips_of_every_length_lie_one_after_another(tmp_path):
    lengths = [100, 2001, 37, 350_000]
    waves = [RNG.uniform(-1, 1, (n, 2)).astype(np.float32) for n in lengths]
    for number, wave in enumerate(waves):
        write_sound(tmp_path / f"{number}.wav", wave, subtype="FLOAT")
    source, notes = opened(tmp_path)[0][0], opened(tmp_path).notes
    assert source.items.lengths.tolist() == lengths
    assert all(np.array_equal(read(source, f"{n}.wav"), wave) for n, wave in enumerate(waves))
    assert source.items.window == 1050
    assert notes == (
        "windows as long as the median clip, 0.131 s",
        "shorter than a window, followed by silence: 2",
    )


def test_other_rates_are_resampled_to_that_of_most(tmp_path):
    for number in range(3):
        write_sound(tmp_path / f"{number}.wav")
    wave = write_sound(tmp_path / "other.wav", tone(rate=44_100), rate=44_100, subtype="FLOAT")
    (source,), notes = opened(tmp_path)
    assert source.items.sample_rate == 8000
    assert source.items.dtype == np.float32
    assert notes == ("resampled to 8 kHz: 1",)
    resampled = read(source, "other.wav")
    assert np.array_equal(resampled, soxr.resample(wave.astype(np.float32), 44_100, 8000))
    middle = slice(100, -100)
    assert np.abs(resampled - tone())[middle].max() < 1e-3  # the same tone, at its new rate
    assert np.array_equal(
        read(source, "0.wav"), soundfile.read(tmp_path / "0.wav", dtype="float32")[0][:, None]
    )


def test_all_can_be_resampled_and_the_cache_keeps_each_rate(birds):
    halved = only(birds, reading=Reading(sample_rate=4000))
    assert halved.items.sample_rate == 4000
    assert halved.items.shape == (12, 1, 1, 800)
    assert only(birds).items.shape == (12, 1, 1, 1600)


def test_mono_and_stereo_are_mixed_down(tmp_path):
    both = np.concatenate([tone(level=0.8), tone(level=0.2)], axis=1)
    write_sound(tmp_path / "mono.wav", tone(level=0.3), subtype="FLOAT")
    write_sound(tmp_path / "stereo.wav", both, subtype="FLOAT")
    (source,), notes = opened(tmp_path)
    assert source.channels == 1
    assert notes == ("mixed down to mono: 1",)
    np.testing.assert_allclose(read(source, "stereo.wav"), tone(level=0.5), atol=1e-7)


def test_all_channels_are_kept_if_all_have_as_many(tmp_path):
    for number in range(2):
        write_sound(tmp_path / f"{number}.wav", tone(channels=16))
    assert only(tmp_path).items.shape == (2, 16, 1, 1600)


def test_what_is_silent_or_beyond_full_scale_is_kept_and_counted(tmp_path):
    write_sound(tmp_path / "quiet.wav", np.zeros((1600, 1)), subtype="FLOAT")
    wave = write_sound(tmp_path / "loud.wav", tone(level=40), subtype="FLOAT")
    (source,), notes = opened(tmp_path)
    assert np.array_equal(read(source, "loud.wav"), wave.astype(np.float32))
    assert notes == ("silent clips: 1", "clips beyond full scale, kept as they are: 1")


def test_a_folder_is_decoded_once(birds, monkeypatch):
    first = only(birds)
    monkeypatch.setattr(recordings_module, "decode", None)
    monkeypatch.setattr(recordings_module, "read_header", None)
    again = only(birds)
    assert np.array_equal(again.items.samples, first.items.samples)
    assert again.ids == first.ids
    other = only(birds, reading=Reading(seconds=0.1))  # windows are no matter of decoding
    assert other.items.window == 800
    write_sound(birds / "owl" / "1.wav", tone(seconds=0.3))
    with pytest.raises(TwofoldError, match="not callable"):
        only(birds)


def test_a_cache_that_was_cut_is_told(birds, cache):
    only(birds)
    (stored,) = cache.glob("clips-*")
    os.truncate(stored / "samples", 100)
    with pytest.raises(TwofoldError, match=r"the cache '.*' is damaged"):
        only(birds)


def wav(path, *, rate=8000, channels=1, size=None, body=b"\1\2" * 1600):
    """A WAV file of 16 bits with any header."""
    size = len(body) if size is None else size
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2, 2, 16)
    head = (
        b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVEfmt " + struct.pack("<I", 16)
    )
    path.write_bytes(head + form + b"data" + struct.pack("<I", size) + body)


def cut(share):
    def write(path):
        how = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        write_sound(path, RNG.normal(scale=0.1, size=(60_000, 1)), **how)
        os.truncate(path, int(path.stat().st_size * share))

    return write


def promise(frames):
    """A FLAC file whose header says another length."""

    def write(path):
        write_sound(path)
        data = bytearray(path.read_bytes())
        data[22:26] = struct.pack(">I", frames)
        path.write_bytes(data)

    return write


def with_value(value):
    def write(path):
        wave = tone(channels=2)
        wave[700] = value, -value
        write_sound(path, wave, subtype="FLOAT")

    return write


MALFORMED = {
    "empty.wav": (lambda path: path.touch(), "the file is empty"),
    "text.wav": (lambda path: path.write_text("a letter " * 99), "not a recording"),
    "text.mp3": (lambda path: path.write_text("a letter " * 999), "not a recording"),
    "noise.flac": (lambda path: path.write_bytes(RNG.bytes(5000)), "not a recording"),
    "cut.wav": (cut(0.5), "it ends before its samples do (truncated)"),
    "cut.aiff": (cut(0.5), "it ends before its samples do (truncated)"),
    "cut.flac": (cut(0.5), "damaged (flac decoder lost sync)"),
    "cut.ogg": (cut(0.5), "it ends before its samples do (truncated)"),
    "cut.opus": (cut(0.5), "it ends before its samples do (truncated)"),
    "cut.mp3": (cut(0.5), "it ends after "),
    "header.wav": (cut(44 / 120_044), "it ends before its samples do (truncated)"),
    "header.flac": (cut(0.001), ("damaged", "not a recording")),
    "header.ogg": (cut(0.001), ("damaged", "not a recording")),
    "header.mp3": (cut(0.01), ("damaged", "not a recording")),
    "none.wav": (lambda path: write_sound(path, np.zeros((0, 1))), "it holds no samples"),
    "huge.flac": (promise(2**31), "its header promises 2,147,483,648 samples; "),
    "long.flac": (promise(2**28), "damaged "),
    "unsaid.flac": (promise(0), "its header does not say how long it is; "),
    "nan.wav": (with_value(np.nan), "it holds NaN or infinite samples"),
    "infinite.wav": (with_value(-np.inf), "it holds NaN or infinite samples"),
    "channels.wav": (lambda path: wav(path, channels=200), "200 channels; 16 at most are read"),
    "mute.wav": (lambda path: wav(path, channels=0), "damaged (Channel count is zero)"),
    "still.wav": (lambda path: wav(path, rate=0), "damaged "),
    "slow.wav": (lambda path: wav(path, rate=1), "its sample rate is 1 Hz; it must be "),
    "fast.wav": (lambda path: wav(path, rate=10_000_000), "its sample rate is 10000000 Hz; "),
    "phone.m4a": (lambda path: path.write_bytes(b"ftyp" * 99), "this format is not decoded; "),
    "dangling.wav": (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read_is_listed_and_the_rest_is_read(tmp_path, name):
    spoil, reason = MALFORMED[name]
    write_sound(tmp_path / "good.wav")
    spoil(tmp_path / name)
    source = only(tmp_path)
    assert source.ids == ("good.wav",)
    ((skipped, found),) = source.skipped
    assert skipped == name
    assert len(found.splitlines()) == 1
    assert found.startswith(reason)
    only(tmp_path)  # from the cache, the same
    with pytest.raises(
        TwofoldError, match=r"1 of 2 clips in .* cannot be read, more than max_bad=0\.05"
    ):
        opened(tmp_path, max_bad=0.05)
    (tmp_path / "good.wav").unlink()
    with pytest.raises(TwofoldError, match=r"no clip in folder .* can be read: ") as error:
        only(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_several_are_listed_in_order_and_counted(birds):
    for name in ("wren/z.wav", "owl/a.wav"):
        (birds / name).write_text("not a sound")
    source = only(birds)
    assert source.skipped == (("owl/a.wav", "not a recording"), ("wren/z.wav", "not a recording"))
    assert len(source) == 12


def test_streams_whose_header_guesses_their_size_are_read(tmp_path):
    for number, size in enumerate((2**32 - 1, 2**31 - 1)):
        wav(tmp_path / f"{number}.wav", size=size)
    assert only(tmp_path).items.lengths.tolist() == [1600, 1600]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_any_name_will_do(tmp_path):
    names = ["vögel 鳥.wav", "two\nlines.wav", os.fsdecode(b"caf\xe9.wav")]
    write_sound(tmp_path / "a.wav")
    for name in names:
        (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
    source = only(tmp_path)
    assert sorted(source.ids) == sorted([*names, "a.wav"])
    assert only(tmp_path).ids == source.ids


def test_loops_folders_and_other_files_do_no_harm(birds):
    (birds / "owl" / "again").symlink_to(birds)
    (birds / "wren" / "folder.wav").mkdir()
    (birds / "wren" / "notes.txt").write_text("loud at night")
    (birds / "._0.wav").write_bytes(b"hidden")
    source = only(birds)
    assert len(source) == 12
    assert source.skipped == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do all")
def test_what_may_not_be_read_is_listed(birds):
    (birds / "owl" / "1.wav").chmod(0)
    assert only(birds).skipped == (("owl/1.wav", "Permission denied"),)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(TwofoldError, match=r"holds no \.wav, \.flac, .* files; it is empty"):
        opened(tmp_path)


def test_long_recordings_are_decoded_a_few_at_a_time(birds, monkeypatch):
    """In flight are at most as many samples as are allowed, of which one file may have more."""
    asked = []
    read_all = recordings_module.read_all

    def counted(*given, **how):
        asked.append(how.get("ahead"))
        return read_all(*given, **how)

    monkeypatch.setattr(recordings_module, "read_all", counted)
    monkeypatch.setattr(recordings_module, "_HELD_SAMPLES", 1600 * 3)
    assert len(only(birds)) == 12
    assert asked == [None, 3]


@pytest.mark.parametrize("library", ["soundfile", "soxr"])
def test_a_library_that_is_missing_is_named(birds, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    message = rf"need {library}, which is not installed: pip install 'twofold\[audio\]'"
    with pytest.raises(TwofoldError, match=message):
        opened(birds, reading=Reading(sample_rate=4000))
