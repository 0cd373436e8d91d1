"""What is said and drawn of a file of jets."""

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from twofold.simulation.jets.observed import Spread, spread, summary, write_figure


@pytest.fixture
def path(tmp_path):
    """A file of jets whose classes differ."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    with h5py.File(tmp_path / "jets.h5", "w") as made:
        made["y"] = y.astype(np.uint8)
        made["y"].attrs["classes"] = ["gluon", "quark"]
        made["multiplicity"] = np.where(y == 0, 50, 30) + rng.integers(-25, 25, 200)
        made["m0"] = rng.normal(50, 5, 200)
        made["girth"] = rng.uniform(0, 0.2, 200)
        made["X_jets"] = rng.exponential(1, (200, 20, 20, 3)).astype(np.float32)
        made.attrs["window"] = 0.8
    return tmp_path / "jets.h5"


def test_an_auc_is_that_of_every_pair():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 9, 40), rng.integers(3, 12, 30)
    pairs = np.sign(second[:, None] - first[None])
    assert Spread((first, second)).auc == pytest.approx((pairs.mean() + 1) / 2)
    assert Spread((second, first)).auc == pytest.approx((pairs.mean() + 1) / 2)


def test_a_line_tells_each_observable(path):
    lines = summary(path)
    assert [line.split("  ")[0] for line in lines] == ["multiplicity", "mass [GeV]", "girth"]
    with h5py.File(path) as made:
        values, y = made["multiplicity"][:], made["y"][:]
    assert f"gluon {values[y == 0].mean():.3g} ± {values[y == 0].std():.2g}" in lines[0]
    assert lines[0].endswith(f"AUC {roc_auc_score(y, -values):.3f}")
    assert spread(path, "m0").medians == pytest.approx([50, 50], abs=2)


def test_the_figure_is_drawn(path, tmp_path):
    write_figure(path, tmp_path / "jets.png")
    with Image.open(tmp_path / "jets.png") as picture:
        colours = picture.convert("RGB").getcolors(10**6)
    assert {colour for _, colour in colours} >= {(31, 95, 168), (196, 98, 45)}
