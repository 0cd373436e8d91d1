"""The order of an epoch through shards: whole, well mixed, and near."""

import numpy as np
import pytest

from twofold.domains.window_order import Plan, WindowOrder, plan

SIZES = np.array([7, 100, 40, 90, 1, 64])


def whole(order):
    return order[0 : order.batch_size * order.steps]


def order_of(sizes=SIZES, batch=16, lanes=4, window=20, seed=0, epoch=0, ahead=None):
    return WindowOrder(
        np.asarray(sizes),
        batch_size=batch,
        steps=int(np.sum(sizes)) // batch,
        plan=Plan(lanes, window),
        seed=seed,
        epoch=epoch,
        ahead=ahead,
    )


@pytest.mark.parametrize("batch", [1, 7, 16, 302])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
@pytest.mark.parametrize("window", [1, 13, 1000])
def test_every_sample_comes_once_an_epoch_but_those_that_fill_no_batch(batch, lanes, window):
    order = order_of(batch=batch, lanes=min(lanes, batch), window=window)
    shown = whole(order)
    assert len(shown) == len(set(shown.tolist())) == SIZES.sum() // batch * batch
    assert shown.min() >= 0
    assert shown.max() < SIZES.sum()


def test_what_fills_no_batch_differs_from_epoch_to_epoch():
    orders = [order_of([50], batch=40, lanes=1, epoch=epoch) for epoch in (0, 1)]
    left_out = [set(range(50)) - set(whole(order).tolist()) for order in orders]
    assert len(left_out[0]) == 10
    assert left_out[0] != left_out[1]


def test_any_slice_is_that_of_the_whole_whoever_asked_before():
    everything = whole(order_of())
    later = order_of()
    for start, stop in ((200, 210), (0, 3), (150, 181), (0, 288)):
        np.testing.assert_array_equal(later[start:stop], everything[start:stop])


def test_order_depends_on_seed_and_epoch():
    first = whole(order_of())
    np.testing.assert_array_equal(first, whole(order_of()))
    assert (first != whole(order_of(seed=1))).mean() > 0.9
    assert (first != whole(order_of(epoch=1))).mean() > 0.9


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_processes_that_divide_the_lanes_share_no_shard_but_at_the_ends_of_lanes(processes):
    """A process takes a run of every batch, and is told to fetch its own lanes' shards alone."""
    sizes = np.full(64, 100)
    ends = np.cumsum(sizes)
    touched = []
    for rank in range(processes):
        order = order_of(sizes, batch=32, lanes=8, window=50)
        share = 32 // processes
        starts = 32 * np.arange(order.steps) + rank * share
        own = [order[start : start + share] for start in starts.tolist()]
        touched.append(set(np.searchsorted(ends, np.concatenate(own), side="right").tolist()))
    total = sum(map(len, touched))
    assert total <= 64 + processes
    assert max(map(len, touched)) <= 64 // processes + 2


def test_what_follows_one_another_lies_in_few_shards():
    sizes = np.full(64, 100)
    order = order_of(sizes, batch=32, lanes=4, window=150)
    ends = np.cumsum(sizes)
    for step in range(order.steps):
        shards = np.searchsorted(ends, order[step * 32 : (step + 1) * 32], side="right")
        assert len(set(shards.tolist())) <= 4 * 4  # a window of 150 lies in up to 3 shards, or 2 do


def test_neighbours_of_an_epoch_are_as_good_as_random():
    """No correlation of what follows one another, or of two epochs, beyond chance."""
    sizes = np.full(50, 80)
    first, second = (whole(order_of(sizes, batch=40, lanes=8, window=160, epoch=e)) for e in (0, 1))
    value = np.argsort(np.random.default_rng(0).random(4000))  # packing is a random order
    bound = 4 / np.sqrt(len(first))
    for lag in (1, 2, 5, 40):
        assert abs(np.corrcoef(value[first[:-lag]], value[first[lag:]])[0, 1]) < bound
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
    places = np.empty((2, 4000))
    for row, shown in zip(places, (first, second), strict=True):
        row[shown] = np.arange(4000)
    gaps = np.abs(places[0][:, None] - places[0][None, :80])
    again = np.abs(places[1][:, None] - places[1][None, :80])
    near = gaps < 40
    assert (again[near] < 40).mean() < 0.15  # items of a batch meet seldom in the next epoch


def test_shards_are_expected_before_they_are_read():
    class Ahead:
        def __init__(self):
            self.told = []

        def expect(self, first, last):
            self.told += range(first, last)

    ahead = Ahead()
    order = order_of(np.full(20, 30), batch=10, lanes=2, window=30, ahead=ahead)
    known = set()
    for step in range(order.steps):
        shown = order[step * 10 : (step + 1) * 10]
        known |= set(ahead.told)
        assert set(shown.tolist()) <= known
    first = order_of(np.full(20, 30), batch=10, lanes=2, window=30, ahead=(other := Ahead()))
    first[0:10]
    assert len(other.told) == 2 * 2 * 30  # the present windows of both lanes, and the next


@pytest.mark.parametrize("most", [1, 1e3, 3e3, 5e3, 40e3, 64e3, 1e6])
def test_two_windows_of_all_lanes_fit_in_what_may_be_near(most):
    sizes, shard_bytes = np.full(64, 10), 1e3
    found = plan(sizes, shard_bytes, most_bytes=most, batch_size=256)
    assert found.lanes & (found.lanes - 1) == 0
    if found.window < 640 and most >= 4e3:
        shards = found.lanes * (2 * found.window / 10 + 2)
        assert shards * shard_bytes <= most
