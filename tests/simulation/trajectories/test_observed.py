"""What is said and drawn of a file of orbits."""

import matplotlib.image
import numpy as np
import pytest

from twofold.simulation.trajectories import (
    SYSTEMS,
    Conditions,
    rendering_ceiling,
    simulate_trajectories,
    summary,
    write_figure,
)


@pytest.fixture
def make(tmp_path):
    """Makes a file of a few orbits."""

    def make(system="pendulum", **settings):
        conditions = Conditions(orbits=6, samples=2, times=(0.0, 5.0), **settings)
        return simulate_trajectories(tmp_path / "orbits.h5", system, conditions, quiet=True)

    return make


def test_exactness_is_told(make):
    (line,) = summary(make())
    assert line.startswith("12 rows of 6 orbits; energy off by ")
    assert float(line.split()[-3]) < 1e-10


def test_the_ceiling_of_pictures_is_told(make):
    settings = {"render": "images", "crop": 0.5}
    *_, seen, best = summary(make(**settings))
    expected = rendering_ceiling("pendulum", Conditions(times=(0.0, 5.0), **settings))
    assert seen.endswith("of the pictures show all of what moves")
    assert best == f"nothing read off such a picture orders m better than {expected:.4f}"


@pytest.mark.parametrize("render", ["vectors", "images"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_figures_are_drawn(make, system, render, tmp_path):
    if render == "images" and SYSTEMS[system].bobs is None:
        return
    write_figure(make(system, render=render), tmp_path / "orbits.png")
    drawn = matplotlib.image.imread(tmp_path / "orbits.png")
    assert drawn.shape[:2] == (900 if render == "images" else 600, 1440)
    assert np.ptp(drawn) == 1
