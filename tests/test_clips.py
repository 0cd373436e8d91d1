"""Windows of recordings: against loops over every sample."""

import numpy as np
import pytest

from twofold.clips import Clips
from twofold.domains.source import Source, split
from twofold.items import Items, Selectable

RNG = np.random.default_rng(0)
LENGTHS = np.array([7, 3, 4, 1, 23, 8])
WINDOW = 4


@pytest.fixture(params=[1, 2])
def recordings(request):
    """The clips as they are, `(frames, channels)` each."""
    return [RNG.integers(1, 99, (length, request.param)).astype(np.int16) for length in LENGTHS]


@pytest.fixture
def clips(recordings):
    samples = np.concatenate(recordings)
    starts = np.cumsum(LENGTHS) - LENGTHS
    return Clips(samples, starts, LENGTHS, window=WINDOW, sample_rate=16_000)


def window_at(recording, start):
    """Sample by sample, and silence after the last."""
    frames, channels = recording.shape
    found = np.zeros((channels, 1, WINDOW), recording.dtype)
    for channel in range(channels):
        for place in range(WINDOW):
            if start + place < frames:
                found[channel, 0, place] = recording[start + place, channel]
    return found


def middle(recording):
    return window_at(recording, max(len(recording) - WINDOW, 0) // 2)


def test_clips_are_items(clips, recordings):
    assert isinstance(clips, Items)
    assert isinstance(clips, Selectable)
    assert clips.shape == (6, recordings[0].shape[1], 1, WINDOW)
    assert len(clips) == 6
    assert clips.ndim == 4
    assert clips.dtype == np.int16
    assert clips.itemsize == 2


def test_an_index_gives_middle_windows(clips, recordings):
    middles = np.stack([middle(one) for one in recordings])
    assert np.array_equal(clips[:], middles)
    for index in (slice(1, 5, 2), slice(0, 0), np.array([5, 0, 0]), np.array([], dtype=np.int64)):
        assert np.array_equal(clips[index], middles[index])
    for number in (0, 3, -1, np.int64(4)):
        assert np.array_equal(clips[number], middles[number])
    with pytest.raises(IndexError):
        clips[6]


def test_drawn_windows_begin_anywhere_and_no_further(clips, recordings):
    index = np.array([0, 1, 4, 4])
    for share in (0.0, 0.3, 0.999):
        drawn = clips.drawn(index, np.full(4, share))
        for number, window in zip(index, drawn, strict=True):
            room = max(len(recordings[number]) - WINDOW, 0)
            assert np.array_equal(window, window_at(recordings[number], int(share * (room + 1))))


def test_every_beginning_is_drawn_as_often(clips, recordings):
    count = 20_000
    drawn = clips.drawn(np.full(count, 0), np.random.default_rng(0).uniform(size=count))
    expected = [window_at(recordings[0], start) for start in range(4)]
    often = [(drawn == window).all(axis=(1, 2, 3)).mean() for window in expected]
    np.testing.assert_allclose(often, 0.25, atol=0.02)


def test_windows_hold_every_sample_of_their_clip_and_none_of_others(clips, recordings):
    windows, owners = clips.windows()
    assert owners.tolist() == [0] * 2 + [1] + [2] + [3] + [4] * 6 + [5] * 2
    for number, recording in enumerate(recordings):
        own = windows[owners == number]
        starts = [
            next(s for s in range(len(recording)) if np.array_equal(window_at(recording, s), one))
            for one in own
        ]
        covered = {start + place for start in starts for place in range(WINDOW)}
        assert covered >= set(range(len(recording)))
        assert starts[0] == 0
        gaps = np.diff(starts)
        assert not len(gaps) or gaps.max() - gaps.min() <= 1  # evenly spread
    again, same = windows.windows()  # windows of windows are themselves
    assert np.array_equal(again[:], windows[:])
    assert same.tolist() == list(range(len(owners)))


def test_a_selection_shares_the_samples(clips, recordings):
    some = clips.select(np.array([4, 1]))
    assert some.samples is clips.samples
    assert (some.window, some.sample_rate) == (WINDOW, 16_000)
    assert np.array_equal(some[:], np.stack([middle(recordings[4]), middle(recordings[1])]))


def test_a_split_copies_no_samples(clips):
    source = Source(name="toy", items=clips, ids=tuple("abcdef"))
    train, test = split(source, test_fraction=0.5)
    assert train.items.samples is test.items.samples is clips.samples
    assert sorted(train.ids + test.ids) == list("abcdef")
    assert train.fingerprint() != test.fingerprint()
    for part in (train, test):
        for id, item in zip(part.ids, part.items, strict=True):
            assert np.array_equal(item, clips["abcdef".index(id)])


def test_memory_maps_of_floats_are_read_as_they_lie(tmp_path):
    samples = RNG.normal(size=(40, 3)).astype(np.float32)
    samples.tofile(tmp_path / "samples")
    mapped = np.memmap(tmp_path / "samples", np.float32, mode="r", shape=(40, 3))
    clips = Clips(mapped, np.array([0, 10]), np.array([10, 30]), window=8, sample_rate=8000)
    assert clips.dtype == np.float32
    assert np.array_equal(clips[0], samples[1:9].T[:, None])
    assert clips[:].flags.writeable
