import numpy as np
import pytest
import torch

from twofold.errors import TwofoldError
from twofold.evaluate import draw_labels
from twofold.evaluate.labels import class_labels

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_whole_numbers_become_int64(dtype):
    labels = np.array([3, 0], dtype)
    labels.flags.writeable = False
    found = class_labels(labels, 2, CPU)
    assert found.dtype == torch.int64
    assert found.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 2]), r"shape \(3,\); 2 items need \(2,\)"),
        (np.zeros((2, 1), int), r"shape \(2, 1\)"),
        (np.array([0.0, 1.0]), "whole class numbers"),
        (np.array([0, -1]), "smallest label is -1"),
    ],
)
def test_what_is_no_label_is_refused(labels, message):
    with pytest.raises(TwofoldError, match=message):
        class_labels(labels, 2, CPU)


# draws of a few

SIZES = (40, 7, 0, 123, 1)  # no item is of class 2
LABELS = np.random.default_rng(5).permutation(np.repeat(np.arange(5), SIZES))


@pytest.mark.parametrize(
    ("fraction", "counts"),
    [(1.0, [40, 7, 0, 123, 1]), (0.1, [4, 1, 0, 12, 1]), (0.001, [1, 1, 0, 1, 1])],
)
def test_a_fraction_takes_its_share_of_each_class_and_at_least_one(fraction, counts):
    for labels in (LABELS, torch.from_numpy(LABELS)):
        drawn = draw_labels(labels, fraction=fraction)
        assert np.bincount(LABELS[drawn], minlength=5).tolist() == counts
        assert (np.diff(drawn) > 0).all()


def test_per_class_takes_the_same_number_of_each():
    labels = np.random.default_rng(5).permutation(np.repeat([0, 3, 4], [9, 6, 30]))
    drawn = draw_labels(labels, per_class=6)
    assert np.bincount(labels[drawn]).tolist() == [6, 0, 0, 6, 6]
    assert set(np.flatnonzero(labels == 3)) <= set(drawn)


def test_a_smaller_draw_is_contained_in_a_larger_one():
    whole, labels = np.arange(len(LABELS)), LABELS % 2
    draws = [draw_labels(labels, per_class=count, seed=3) for count in (1, 5, 20)]
    draws += [draw_labels(labels, fraction=fraction, seed=3) for fraction in (0.6, 1.0)]
    for smaller, larger in zip(draws, [*draws[1:], whole], strict=True):
        assert set(smaller) <= set(larger)
    assert draws[-1].tolist() == whole.tolist()


def test_the_seed_chooses_the_items_and_every_item_equally_often():
    first, again = (draw_labels(LABELS, fraction=0.3, seed=1) for _ in range(2))
    assert first.tolist() == again.tolist()
    labels = np.arange(30) % 2
    drawn = [draw_labels(labels, per_class=5, seed=seed) for seed in range(2000)]
    times = np.bincount(np.concatenate(drawn), minlength=30) / 2000
    assert times == pytest.approx(np.full(30, 1 / 3), abs=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "fraction is None and per_class is None; give one of the two"),
        ({"fraction": 0.1, "per_class": 1}, "fraction is 0.1 and per_class is 1; give one"),
        ({"fraction": 0.0}, r"fraction is 0.0; it must be in \(0, 1\]"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"fraction": float("nan")}, "fraction is nan"),
        ({"per_class": 0}, "per_class is 0; it must be > 0"),
        ({"per_class": 5}, "class 4 has 1 items; per_class is 5"),
    ],
)
def test_draws_that_cannot_be_are_refused(options, message):
    with pytest.raises(TwofoldError, match=message):
        draw_labels(LABELS, **options)
