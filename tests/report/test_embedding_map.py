import re

import numpy as np
import pytest

from twofold.report.embedding_map import HEIGHT, WIDTH, embed, groups, pixels


def blobs(n=90, dim=12):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return rng.normal(size=(n, dim)) + 40 * np.eye(dim)[labels], labels


def test_neighbours_stay_neighbours_and_the_map_repeats():
    features, labels = blobs()
    first, again = embed(features), embed(features)
    assert (first == again).all()
    distance = np.linalg.norm(first[:, None] - first[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(axis=1)] == labels).all()
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize(
    "features", [np.ones((50, 4)), np.full((50, 4), np.nan), np.eye(5), np.zeros((0, 4))]
)
def test_what_cannot_be_laid_out_is_left_out(features):
    assert embed(features).shape == (0, 2)


def test_one_dimension_and_few_items_can_be_laid_out():
    assert embed(np.arange(12.0)[:, None]).shape == (12, 2)


def test_every_point_is_drawn_once_and_inside():
    points = pixels(np.random.default_rng(0).random((30, 2)))
    labels = np.arange(30) % 3
    wrong = np.arange(30) < 4
    found = groups(points, labels, ["a", "b", "c"], wrong)
    starts = [re.findall(r"M([\d.-]+) ([\d.-]+)", g.right + g.wrong) for g in found]
    assert [len(s) for s in starts] == [g.size for g in found] == [10, 10, 10]
    assert sum(len(re.findall("M", g.wrong)) for g in found) == 4
    corners = np.array([pair for group in starts for pair in group], float)
    assert (corners >= 0).all()
    assert (corners <= (WIDTH, HEIGHT)).all()


def test_no_two_of_seventy_classes_look_alike():
    points = np.zeros((70, 2))
    found = groups(points, np.arange(70), [str(i) for i in range(70)])
    assert len({(g.colour, g.symbol) for g in found}) == 70
