"""Blocks of jets: what is made, what is kept."""

import numpy as np
import pytest

from twofold.simulation.jets import blocks
from twofold.simulation.jets.blocks import SIZE, labels
from twofold.simulation.jets.tasks import Sample

SAMPLE = Sample.of("quark-gluon", seed=5)


def flat(n, folder):
    """The blocks of `n` jets, one after the other."""
    return [block for pair in blocks.blocks(SAMPLE, n, folder) for block in pair]


def test_any_head_is_balanced_whatever_the_length():
    whole = labels(10_001, seed=3)
    for n in (1, 2, 3, 500, 501, 10_000):
        head = labels(n, seed=3)
        np.testing.assert_array_equal(head, whole[:n])
        assert abs((head == 0).sum() - (head == 1).sum()) <= 1
    assert whole[::2].mean() == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(whole, labels(10_001, seed=4))


@pytest.mark.parametrize("n", [2, 3, 499, 500, 501, 2501])
def test_blocks_hold_as_many_as_there_are_labels(n, tmp_path):
    pairs = blocks.blocks(SAMPLE, n, tmp_path)
    counts = np.bincount(labels(n, SAMPLE.seed), minlength=2)
    for label in (0, 1):
        assert sum(max(pair[label].n, 0) for pair in pairs) == counts[label]
        assert all(pair[label].n == SIZE for pair in pairs[:-1])


@pytest.fixture
def make(collisions, tmp_path):
    """Makes what is missing of the blocks of `n` jets, and returns all of those."""

    def make(n):
        blocks.make(blocks.missing(flat(n, tmp_path)), progress=lambda jets: None)
        return flat(n, tmp_path)

    return make


def test_what_was_stopped_goes_on_and_more_jets_keep_the_first(make, collisions, tmp_path):
    collisions.limit = 3
    with pytest.raises(KeyboardInterrupt):
        make(2000)
    assert collisions == [(0, 0, SIZE), (1, 0, SIZE), (0, 1, SIZE)]
    first = [block.read() for block in flat(2000, tmp_path)[:3]]

    collisions.limit = None
    make(2000)
    assert len(collisions) == len(set(collisions)) == 8

    longer = make(2600)
    assert [made[:2] for made in collisions[8:]] == [(0, 4), (1, 4), (0, 5), (1, 5)]
    for block, before in zip(longer, first, strict=False):
        np.testing.assert_array_equal(block.read().particle_pt, before.particle_pt)


def test_progress_is_told_block_by_block(collisions, tmp_path):
    told = []
    blocks.make(flat(2 * SIZE + 10, tmp_path), progress=told.append)
    assert told == [SIZE, SIZE, 5, 5]


def test_a_block_that_holds_too_few_or_is_damaged_is_made_anew(make, collisions):
    make(100)
    make(90)
    assert len(collisions) == 2
    path = make(200)[1].path
    assert collisions[2:] == [(0, 0, 100), (1, 0, 100)]
    path.write_bytes(path.read_bytes()[:500])
    make(200)
    assert collisions[4:] == [(1, 0, 100)]
