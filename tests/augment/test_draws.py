"""Counter-based numbers: the published vectors, and independence of everything but their key."""

import numpy as np
import pytest
import torch
from scipy import stats

from twofold.augment.draws import permutation, philox, subset, uniforms
from twofold.errors import TwofoldError

PUBLISHED = {
    ("00000000 00000000 00000000 00000000", "00000000 00000000"): (
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8"
    ),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff"): (
        "408f276d 41c83b0e a20bc7c6 6d5451fd"
    ),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0"): (
        "d16cfe09 94fdcceb 5001e420 24126ea1"
    ),
}


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("inputs", "expected"), PUBLISHED.items())
@pytest.mark.parametrize("array", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_philox_gives_the_published_words(inputs, expected, array):
    counter, key = map(words, inputs)
    result = philox(tuple(array([word]) for word in counter), tuple(key))
    assert [int(word[0]) for word in result] == words(expected)


def numbers(index, count=5, **changed):
    settings = {"seed": 7, "epoch": 3, "view": 1} | changed
    stream = settings.pop("stream", "crop"), settings.pop("shared", False)
    return uniforms({stream: count}, index=np.asarray(index), **settings)[stream]


def test_uniforms_do_not_depend_on_the_batch():
    index = np.array([9, 0, 4_000_000_000, 17, 3])
    together = numbers(index)
    for row, sample in enumerate(index):
        np.testing.assert_array_equal(together[row], numbers([sample])[0])


def test_asking_for_more_numbers_appends():
    np.testing.assert_array_equal(numbers(range(6), 11)[:, :3], numbers(range(6), 3))


@pytest.mark.parametrize(
    "changed", [{"seed": 8}, {"epoch": 4}, {"view": 0}, {"stream": "flip"}], ids=str
)
def test_every_argument_matters(changed):
    assert not np.isin(numbers(range(50)), numbers(range(50), **changed)).any()


def test_uniforms_are_uniform_and_uncorrelated():
    sample = numbers(range(20_000), 4)
    assert sample.min() >= 0
    assert sample.max() < 1
    assert stats.kstest(sample.ravel(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(sample.T) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(20_000)
    neighbours = np.corrcoef(sample[:-1, 0], sample[1:, 0])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(20_000)


def test_permutation_is_a_fresh_reproducible_order():
    first, again, other = (permutation(1000, seed=1, epoch=epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.sort(first), np.arange(1000))
    assert (first == other).mean() < 0.02
    assert (first == np.arange(1000)).mean() < 0.02


def test_permutation_of_nothing_and_of_one():
    assert permutation(0, seed=0, epoch=0).tolist() == []
    assert permutation(1, seed=0, epoch=0).tolist() == [0]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_does_not_fit_is_refused(seed):
    with pytest.raises(TwofoldError, match=r"seed is -?\d+; it must be in \[0, 2\^32\)"):
        numbers([0], seed=seed)


def test_streams_and_views_together_are_the_same_alone():
    streams = {("crop", False): 7, ("flip", True): 1, ("jitter", True): 4, ("crop", True): 9}
    index, view = np.array([3, 10**6, 0, 3]), np.array([0, 1, 2, 1])
    together = uniforms(streams, seed=5, epoch=2, index=index, view=view)
    assert together.keys() == streams.keys()
    for stream, count in streams.items():
        for row, (item, which) in enumerate(zip(index, view, strict=True)):
            alone = {"seed": 5, "epoch": 2, "view": which, "stream": stream[0]}
            drawn = numbers([item], count, shared=stream[1], **alone)
            np.testing.assert_array_equal(together[stream][row], drawn[0])


def test_a_shared_stream_is_that_of_the_first_view():
    shared = numbers(range(9), view=3, shared=True)
    np.testing.assert_array_equal(shared, numbers(range(9), view=0))
    assert not np.isin(shared, numbers(range(9), view=3)).any()


def test_a_view_has_the_numbers_of_the_view_its_stream_names():
    sources, count = (0, 1, 0, 3, 1), 6
    index, view = np.arange(40), np.arange(40) % 5
    streams = {("crop", sources): count, ("flip", False): 2, ("hue", True): 5}
    drawn = uniforms(streams, seed=7, epoch=3, index=index, view=view)
    for row in range(40):
        alone = numbers([row], count, view=sources[view[row]])
        np.testing.assert_array_equal(drawn["crop", sources][row], alone[0])
    np.testing.assert_array_equal(
        numbers(index, count, view=2, shared=sources), numbers(index, count, view=0)
    )
    np.testing.assert_array_equal(drawn["flip", False], numbers(index, 2, stream="flip", view=view))


def test_a_subset_has_any_size_and_any_members_alike():
    rng = np.random.default_rng(0)
    chosen = subset(rng.random(60_000), rng.random((4, 60_000)))
    sizes, counts = np.unique(chosen.sum(axis=0), return_counts=True)
    assert sizes.tolist() == [1, 2, 3, 4]
    assert stats.chisquare(counts).pvalue > 1e-3
    for size, kinds in ((1, 4), (2, 6), (3, 4)):
        _, counts = np.unique(chosen[:, chosen.sum(axis=0) == size], axis=1, return_counts=True)
        assert len(counts) == kinds
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_subset_of_nothing_is_nothing():
    assert subset(np.array([0.2, 0.9]), np.empty((0, 2))).shape == (0, 2)
