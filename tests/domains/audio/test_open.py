"""Clips from folders, arrays and files: with their rate, their windows and their labels."""

import csv

import h5py
import numpy as np
import pytest
import torch
from toy_sounds import clip_of, tone, write_sound

from twofold import TwofoldError
from twofold.clips import Clips
from twofold.domains.audio.open import open_data
from twofold.domains.source import Source

RNG = np.random.default_rng(0)
NOISE = RNG.integers(-20_000, 20_000, (30, 400), dtype=np.int16)
STEREO = RNG.uniform(-1, 1, (30, 2, 400)).astype(np.float32)
CLASSES = ["owl", "wren", "robin"] * 10


def whole(data):
    """All clips of both parts by their ids, `(frames, channels)`."""
    return {
        id: clip_of(part.items, number)
        for part in (data.train, data.test)
        for number, id in enumerate(part.ids)
    }


def same(data, expected):
    found = whole(data)
    assert len(found) == len(expected)
    for number, clip in enumerate(expected):
        assert np.array_equal(found[str(number)], clip)


def test_an_array_of_16_bits_is_used_as_it_is():
    data = open_data(NOISE, sample_rate=8000, labels=CLASSES)
    assert data.note == (
        "array: 30 clips of 400 samples at 8 kHz int16, 3 classes; random split 24 + 6 (seed 0)"
    )
    same(data, NOISE[:, :, None])
    assert data.train.domain == "audio"
    assert np.shares_memory(data.train.items.samples, NOISE)
    assert data.train.items.shape == (24, 1, 1, 400)
    assert data.train.labels is not None


@pytest.mark.parametrize("array", [STEREO, torch.from_numpy(STEREO), STEREO.transpose(0, 2, 1)])
def test_channels_may_come_first_or_last(array):
    data = open_data(array, sample_rate=44_100)
    assert ": 30 clips of 2 channels of 400 samples at 44.1 kHz float32, no labels;" in data.note
    same(data, STEREO.transpose(0, 2, 1))
    assert np.array_equal(data.test.items[0][:, 0], STEREO[int(data.test.ids[0])])


@pytest.mark.parametrize("kind", ["float64", "float16", ">f4", ">i2"])
def test_other_types_are_converted_and_told(kind):
    given = (STEREO[:, 0] if "f" in kind else NOISE).astype(kind)
    data = open_data(given, sample_rate=8000)
    assert data.note.endswith(f"converted from {kind} to {data.train.items.dtype}")
    assert data.train.items.dtype == (np.float32 if "f" in kind else np.int16)
    same(data, given.astype(data.train.items.dtype)[:, :, None])


def test_clips_of_a_list_have_their_own_lengths():
    clips = [NOISE[i, : 100 + 10 * i] for i in range(30)]
    ragged = np.empty(30, object)
    ragged[:] = clips
    for given in (clips, ragged, [torch.from_numpy(clip) for clip in clips]):
        data = open_data(given, sample_rate=8000, test_fraction=0.5)
        same(data, [clip[:, None] for clip in clips])
        assert data.train.items.window == data.test.items.window == 245
        assert "windows as long as the median clip, 0.0306 s; shorter than a window" in data.note
    pairs = [STEREO[0], STEREO[1, :, :90].T]
    same(open_data(pairs, sample_rate=8000), [STEREO[0].T, STEREO[1, :, :90].T])
    values = [clip.tolist() for clip in STEREO[:3, 0].astype(np.float64)]
    assert open_data(values, sample_rate=8000).train.items.dtype == np.float32


def write_h5(path, rate=8000, on="file", **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs["domain"] = "audio"
        place = file if on == "file" else file["X"]
        if rate is not None:
            place.attrs["sample_rate"] = rate
    return path


def test_a_file_says_its_sample_rate(tmp_path):
    paths = [
        write_h5(tmp_path / "file.h5", X=NOISE),
        write_h5(tmp_path / "set.h5", X=NOISE, on="X", rate=np.float64(8000)),
        write_h5(tmp_path / "array.h5", X=NOISE, sr=8000, rate=None),
        tmp_path / "notes.npz",
    ]
    np.savez(paths[-1], X=NOISE, sample_rate=np.array([8000]))
    for path in paths:
        data = open_data(path)
        assert data.name == path.stem
        assert data.train.items.sample_rate == 8000
        same(data, NOISE[:, :, None])
    np.save(tmp_path / "plain.npy", NOISE)
    assert "plain: 30 clips" in open_data(tmp_path / "plain.npy", sample_rate=9000).note
    with pytest.raises(TwofoldError, match=r"plain\.npy' does not say how many .* --sample-rate"):
        open_data(tmp_path / "plain.npy")


def test_another_rate_resamples(tmp_path):
    tones = np.stack([tone(frequency=300 + 20 * i)[:, 0] for i in range(10)]).astype(np.float32)
    data = open_data(write_h5(tmp_path / "a.h5", X=tones), sample_rate=4000)
    assert ": 10 clips of 800 samples at 4 kHz float32" in data.note
    assert data.note.endswith("resampled to 4 kHz: 10")
    for id, clip in whole(data).items():
        expected = tone(rate=4000, frequency=300 + 20 * int(id))
        assert np.abs(clip - expected)[50:-50].max() < 2e-3


def test_labels_groups_and_halves_are_found(tmp_path):
    path = tmp_path / "notes.h5"
    with h5py.File(path, "w") as file:
        file.attrs["sample_rate"] = 8000
        for half, rows in (("train", slice(20)), ("test", slice(20, 30))):
            file[f"X_{half}"] = NOISE[rows]
            file[f"family_{half}"] = (np.arange(30) % 3).astype(np.uint8)[rows]
            file[f"family_{half}"].attrs["classes"] = ["reed", "brass", "pipe"]
            file[f"pitch_{half}"] = np.arange(36, 66, dtype=np.float32)[rows]
            file[f"pitch_{half}"].attrs["unit"] = "semitones"
            file[f"player_{half}"] = (np.arange(30) // 5)[rows]
    data = open_data(path, label_key="family_train", group_key="player_train")
    assert "3 classes, 6 groups; given split 20 + 10" in data.note
    assert data.train.label_names == ("reed", "brass", "pipe")
    same_rows = np.arange(20, 30) % 3
    assert data.test.labels.tolist() == same_rows.tolist()
    pitch = open_data(path, label_key="pitch_train")
    assert "labels in semitones" in pitch.note
    assert pitch.train.labels.tolist() == list(range(36, 56))


def test_a_window_is_as_long_as_is_asked(birds):
    assert open_data(birds).train.items.shape == (10, 1, 1, 1600)
    assert open_data(birds, seconds=0.1).train.items.shape == (10, 1, 1, 800)
    longer = open_data(birds, seconds=1)
    assert longer.train.items.shape == (10, 1, 1, 8000)
    assert longer.note.endswith("shorter than a window, followed by silence: 12")


def test_a_test_set_is_read_as_the_other(tmp_path, birds):
    for number in range(3):
        wave = tone(seconds=0.7, rate=16_000, channels=2)
        write_sound(tmp_path / "more" / f"{number}.wav", wave, rate=16_000)
    write_sound(birds / "owl" / "deep.wav", subtype="PCM_24")
    data = open_data(birds, test=tmp_path / "more")
    assert data.train.items.dtype == data.test.items.dtype == np.float32
    assert data.test.items.sample_rate == 8000
    assert data.test.items.shape == (3, 1, 1, 1600)
    assert "test set: resampled to 8 kHz: 3; test set: mixed down to mono: 3" in data.note
    with pytest.raises(
        TwofoldError, match=r"have shape \(1, 1, 5600\), train items \(2, 1, 5600\)"
    ):
        open_data(tmp_path / "more", test=birds, sample_rate=8000)


def test_channels_are_mixed_down_if_asked(tmp_path):
    data = open_data(STEREO, sample_rate=8000, mono=True)
    same(data, STEREO.mean(axis=1)[:, :, None])
    assert data.note.endswith("mixed down to mono: 30")
    for number in range(5):
        write_sound(tmp_path / f"{number}.wav", STEREO[number].T, subtype="FLOAT")
    files = open_data(tmp_path, mono=True)
    assert all(
        np.array_equal(clip[:, 0], STEREO[int(id[0])].mean(0)) for id, clip in whole(files).items()
    )
    assert files.note.endswith("mixed down to mono: 5")


def test_arrays_to_test_on_become_as_those_to_train_on():
    data = open_data(NOISE, sample_rate=8000, test=STEREO[:5, :, :300])
    assert data.train.items.dtype == data.test.items.dtype == np.float32
    assert data.test.items.shape == (5, 1, 1, 400)
    assert np.array_equal(clip_of(data.train.items, 7)[:, 0], NOISE[7] / np.float32(2**15))
    assert np.array_equal(clip_of(data.test.items, 3), STEREO[3, :, :300].mean(0)[:, None])
    assert data.note.endswith(
        "; test set: mixed down to mono: 5; test set: shorter than a window, followed by silence: 5"
    )
    with pytest.raises(TwofoldError, match=r"test items of 'array' have shape \(1, 1, 400\)"):
        open_data(STEREO, sample_rate=8000, test=NOISE)


def test_train_and_test_folders_are_the_parts(tmp_path):
    for half, count in (("train", 6), ("test", 4)):
        for number in range(count):
            write_sound(
                tmp_path / half / f"{number % 2}" / f"{number}.wav", tone(level=0.1 * number)
            )
    data = open_data(tmp_path)
    assert "2 classes; given split 6 + 4; silent clips: 2" in data.note
    assert data.test.ids == ("test/0/0.wav", "test/0/2.wav", "test/1/1.wav", "test/1/3.wav")
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(data.test.items[1], data.train.items[1])


def table(root, rows, names=("path", "song", "speaker", "hour", "energy")):
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def test_a_table_names_labels_groups_and_times(birds):
    files = sorted(path.relative_to(birds).as_posix() for path in birds.rglob("*.wav"))
    rows = [
        (file, ("trill", "call")[i % 2], f"bird {i // 4}", i / 2, i / 10)
        for i, file in enumerate(files)
    ]
    table(birds, rows)
    data = open_data(birds, label_key="song", group_key="speaker", time_key="hour")
    assert "2 classes, 3 groups" in data.note
    for part in (data.train, data.test):
        names = np.array(data.train.label_names)[part.labels]
        for id, name, group, time in zip(part.ids, names, part.groups, part.times, strict=True):
            assert (id, name, group, time) == rows[files.index(id)][:4]
    energy = open_data(birds, label_key="energy")
    assert "numbers as labels" in energy.note
    assert energy.train.labels.dtype == np.float32
    for id, value in zip(energy.train.ids, energy.train.labels, strict=True):
        assert value == np.float32(rows[files.index(id)][4])
    with pytest.raises(TwofoldError, match=r"unknown column of .*'sung'; did you mean 'song'\?"):
        open_data(birds, label_key="sung")


def test_whole_numbers_in_a_table_are_classes(birds):
    files = sorted(path.relative_to(birds).as_posix() for path in birds.rglob("*.wav"))
    table(birds, [(file, (2, 10)[i % 2], "a", 0, 0) for i, file in enumerate(files)])
    data = open_data(birds, label_key="song")
    assert data.train.label_names == ("2", "10")
    assert data.train.labels.dtype == np.int64


def test_a_source_and_data_come_back(birds):
    data = open_data(birds)
    assert open_data(data) is data
    assert len(open_data(data.train).train) == 8
    samples = NOISE.reshape(-1, 1)
    clips = Clips(samples, np.arange(30) * 400, np.full(30, 400), window=400, sample_rate=8000)
    source = Source(name="own", items=clips, ids=tuple(map(str, range(30))), domain="audio")
    same(open_data(source), NOISE[:, :, None])


NAN = STEREO.copy()
NAN[[3, 7], 1, 5] = np.nan


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NOISE[0], r"data has shape \(400,\); clips must be \(n, samples\) or"),
        (NOISE[:, :0], r"data has shape \(30, 0\); .* none of them 0"),
        (np.zeros((3, 200, 400), np.int16), r"shape \(3, 200, 400\); .* up to 16 channels"),
        (np.zeros((3, 2, 2, 400), np.int16), r"shape \(3, 2, 2, 400\)"),
        (NOISE.astype(np.int32), "data has type int32; samples are int16 .* floating point"),
        (NOISE.astype(np.uint8), "data has type uint8"),
        (NOISE.astype(complex), "data has type complex128"),
        (NAN, "data holds NaN or infinite samples in 2 of 30 clips, the first in clip 3; replace"),
        (np.where(np.isnan(NAN), np.inf, NAN), "NaN or infinite samples in 2 of 30 clips"),
        (NAN.astype(np.float64) * 1e300, "NaN or infinite samples in 30 of 30 clips"),
        ([], "the clips of data are none"),
        ([STEREO[0], NOISE[0]], "the clips of data have 1 and 2 channels; they must have the same"),
        ([NOISE[0], np.array(["a"])], "clip 1 of data has type <U1"),
        ([NOISE[0], NOISE[1, :0]], r"clip 1 of data has shape \(1, 0\)"),
        (["a.wav", "b.wav"], "data is a list; recordings come from a path, a numpy array"),
        (7, "data is a int; recordings come from"),
        ("digits", "'digits' holds images, not recordings"),
        ("nowhere.h5", r"'nowhere\.h5' does not exist"),
        (NOISE[:, :10], r"window of 0\.00125 s is 10 samples; it must have 16 to 4,194,304"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(data, message):
    with pytest.raises(TwofoldError, match=message) as error:
        open_data(data, sample_rate=8000)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"sample_rate": 1}, r"sample_rate is 1 Hz; it must be whole and in \[1,000, 768,000\]"),
        ({"sample_rate": 10_000_000}, "sample_rate is 10000000 Hz"),
        ({"seconds": 0}, "seconds is 0; a window must be longer than 0 s"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": 1e-4}, "a window of 0.000125 s is 1 samples|is 1 samples"),
        ({"seconds": 600.0}, r"a window of 600 s is 4,800,000 samples; .* such as --seconds 1"),
        ({"image_size": 32}, "image_size is 32, but recordings have none"),
        ({"key": "X"}, "key is 'X', but only .npz, .h5, .hdf5 files hold arrays by name"),
        ({"labels": ["a"] * 12}, "labels are for arrays; a folder's classes are its subfolders"),
        ({"label_key": "song"}, r"metadata\.csv' does not exist"),
        ({"groups": [1] * 12}, "those of a folder are a column of its metadata.csv"),
        ({"max_bad": 2}, "max_bad is 2; it is a share"),
    ],
)
def test_settings_that_cannot_be_are_refused(birds, how, message):
    with pytest.raises(TwofoldError, match=message):
        open_data(birds, **how)


def test_one_recording_and_files_of_a_wrong_rate_are_refused(birds, tmp_path):
    with pytest.raises(
        TwofoldError, match="is a single recording; give the folder that holds the rec"
    ):
        open_data(birds / "owl" / "1.wav")
    for rate in (1, 8000.5, "fast", np.nan):
        with pytest.raises(TwofoldError, match=f"sample_rate of .* is {rate} Hz; it must be whole"):
            open_data(write_h5(tmp_path / "a.h5", X=NOISE, rate=rate))
    with pytest.raises(TwofoldError, match=r"clip 0 of X of '.*' is too short for .* at 1 kHz"):
        open_data(write_h5(tmp_path / "s.h5", X=NOISE[:, :16], rate=48_000), sample_rate=1000)
    with pytest.raises(TwofoldError, match=r"X of '.*' holds NaN or infinite"):
        open_data(write_h5(tmp_path / "b.h5", X=NAN))
    with pytest.raises(TwofoldError, match=r"holds no clips \(n, samples\) or .* but table"):
        open_data(write_h5(tmp_path / "c.h5", table=np.zeros(9)))
