"""Jets from Pythia and FastJet themselves; left out where they are not installed."""

import numpy as np
import pytest

from twofold.errors import TwofoldError
from twofold.simulation.jets import generate as module
from twofold.simulation.jets.detector import images
from twofold.simulation.jets.generate import generate
from twofold.simulation.jets.particles import turned
from twofold.simulation.jets.tasks import TASKS, Sample

for name in ("pythia8mc", "fastjet", "awkward"):
    pytest.importorskip(name)

CASES = [(task, label) for task in TASKS for label in (0, 1)]


@pytest.fixture(scope="module")
def made():
    """A few jets of each class."""
    return {(task, label): generate(Sample.of(task), label, 0, 15) for task, label in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: TASKS[case[0]].classes[case[1]])
def test_jets_pass_their_cuts_and_particles_lie_around_them(made, case):
    jets, sample = made[case], Sample.of(case[0])
    assert len(jets) >= 15
    assert np.all((jets.pt >= sample.pt[0]) & (jets.pt <= sample.pt[1]))
    assert np.all((jets.charged_multiplicity > 0) & (jets.charged_multiplicity < jets.multiplicity))
    assert np.all((jets.girth > 0) & (jets.girth < sample.radius))
    assert np.all((jets.ptd > 0) & (jets.ptd <= 1))
    assert not np.isin(np.abs(jets.particle_id), (12, 14, 16)).any()
    owner, eta = jets.owner, jets.particle_eta
    apart = np.hypot(eta - jets.eta[owner], turned(jets.particle_phi - jets.phi[owner]))
    inside = np.bincount(owner[apart < sample.radius], minlength=len(jets))
    assert np.all(np.abs(inside - jets.multiplicity) <= 0.2 * jets.multiplicity + 5)
    near = np.bincount(owner, np.where(apart < 1.1 * sample.radius, jets.particle_pt, 0))
    np.testing.assert_allclose(near, jets.pt, rtol=0.15)


def test_classes_differ_as_they_should(made):
    gluon, quark = made["quark-gluon", 0], made["quark-gluon", 1]
    assert gluon.multiplicity.mean() > quark.multiplicity.mean()
    assert gluon.ptd.mean() < quark.ptd.mean()
    assert np.median(made["top-qcd", 1].mass) == pytest.approx(175, abs=12)
    assert np.median(made["top-qcd", 0].mass) < 130


def test_true_images_hold_the_momentum_of_the_jet(made):
    jets = made["quark-gluon", 1]
    seen = images(jets, detector="truth", size=40, radius=0.4, seed=(0,)).sum((1, 2))
    assert np.all(np.abs(seen[:, 1] + seen[:, 2] - jets.pt) < 0.15 * jets.pt)
    assert 0.4 < seen[:, 0].sum() / jets.pt.sum() < 0.85


def test_a_block_is_settled_by_its_seed_and_begins_the_same_whatever_its_length(made):
    jets = made["quark-gluon", 1]
    few = generate(Sample.of("quark-gluon"), 1, 0, 3)
    assert len(few) <= len(jets)
    np.testing.assert_array_equal(few.particle_pt, jets.head(len(few)).particle_pt)
    other = generate(Sample.of("quark-gluon"), 1, 1, 3)
    assert other.pt[0] != few.pt[0]


def test_settings_that_give_no_jets_end_in_one_line(monkeypatch):
    monkeypatch.setattr(module, "_BARREN", 2)
    sample = Sample.of("quark-gluon", pt=(500, 500.001))
    with pytest.raises(TwofoldError, match=r"no gluon jet with pt 500 500.001 GeV.*widen pt$"):
        generate(sample, 0, 0, 1)
