"""What a file of emoji holds."""

import matplotlib.image
import numpy as np
import pytest

from twofold.simulation.emoji import simulate_emoji, write_figure
from twofold.simulation.emoji.observed import Columns, _chosen

pytest.importorskip("resvg_py")


def test_the_figure_shows_every_artist(three_sets, tmp_path):
    made = simulate_emoji(tmp_path / "e.h5", packages=three_sets, size=8, quiet=True)
    write_figure(made, tmp_path / "e.png")
    picture = matplotlib.image.imread(tmp_path / "e.png")[..., :3]
    red, blue = (np.array(colour) for colour in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    for colour in (red, blue):
        assert (np.abs(picture - colour).max(axis=-1) < 0.1).sum() > 100


def test_concepts_are_shown_of_all_categories_in_turn():
    category = np.repeat(["a", "b"], [40, 6])
    concept = np.array([f"{number:02d}" for number in np.repeat(np.arange(23), 2)])
    known = Columns(category, concept, np.tile(["x", "y"], 23), {"x": {}, "y": {}})
    shown = _chosen(known)
    assert len(shown) == len(set(shown)) == 14
    assert [int(name) >= 20 for name in shown[:6]].count(True) >= 3


def test_only_what_most_artists_drew_is_shown():
    concept = np.array(["half", "whole", "whole"])
    known = Columns(np.array(["a"] * 3), concept, np.array(["x", "x", "y"]), {"x": {}, "y": {}})
    assert _chosen(known) == ["whole"]
