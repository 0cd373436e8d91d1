"""What a page shows of jets, against plain NumPy."""

import re

import numpy as np
import pytest
from fabricated_run import make_data
from toy_jets import make_jets

from twofold.domains import Data, Source
from twofold.domains.jet import observables
from twofold.report import observed, write
from twofold.report.observed import _bins, _steps

JETS, LABELS, MASSES = make_jets(90)
NAMES = ("<b>gluon</b>", "quark")


def source(part, labels=LABELS, names=NAMES, jets=JETS):
    return Source(
        name="jets",
        items=jets[part],
        ids=range(len(jets[part])),
        labels=None if labels is None else labels[part],
        label_names=names,
        domain="jet",
    )


def data_of(**options):
    train, test = (source(part, **options) for part in (slice(60), slice(60, 90)))
    return Data(name="jets", train=train, test=test, note="toy jets")


CLASSES = {"labels": LABELS.astype(np.int64)}


def drawn(monkeypatch, data):
    """What is handed to the maps, and what is found."""
    maps = []
    monkeypatch.setattr(observed, "heat_map", lambda values, **how: maps.append((values, how)))
    return maps, observed.observed(data)


def test_maps_are_means_of_the_classes_and_their_difference(monkeypatch):
    maps, found = drawn(monkeypatch, data_of(**CLASSES))
    assert [mean.title for mean in found.means] == [*NAMES, f"quark minus {NAMES[0]}"]
    gluons, quarks = (JETS[:60][LABELS[:60] == label].mean(axis=0) for label in (0, 1))
    expected = [*gluons, *quarks, *(quarks - gluons)]
    for (values, _), mean in zip(maps, expected, strict=True):
        np.testing.assert_allclose(values, mean, rtol=1e-5, atol=1e-5)
    reaches = np.maximum(gluons, quarks).max(axis=(1, 2))
    assert [how["reach"] for _, how in maps[:6]] == pytest.approx([*reaches, *reaches], rel=1e-5)
    assert [how["signed"] for _, how in maps] == [False] * 6 + [True] * 3
    assert maps[1][1]["y_label"] == "ECAL, η in cells"
    assert maps[1][1]["description"] == f"ECAL, mean of {NAMES[0]}"
    assert "Means of training jets as stored (30 <b>gluon</b>, 30 quark) in GeV" in found.caption


@pytest.mark.parametrize("labels", [None, MASSES])
def test_without_classes_all_jets_are_one(monkeypatch, labels):
    maps, found = drawn(monkeypatch, data_of(labels=labels, names=()))
    assert [mean.title for mean in found.means] == ["all jets"]
    np.testing.assert_allclose([values for values, _ in maps], JETS[:60].mean(axis=0), atol=1e-4)
    median = np.median(observables(JETS[:60])["energy"])
    assert found.distributions[1].caption == f"Energy in GeV: median {median:.0f}."


def test_of_eight_channels_those_with_energies_are_shown(monkeypatch):
    jets = make_jets(90, channels=8)[0]
    maps, _ = drawn(monkeypatch, data_of(**CLASSES, jets=jets))
    labels = [how["y_label"].split(",")[0] for _, how in maps]
    assert labels == ["tracks", "ECAL", "HCAL"] * 3


def test_channels_that_are_empty_and_classes_that_are_many_can_be_drawn():
    jets = JETS.copy()
    jets[:, 2] = 0
    labels = np.arange(90, dtype=np.int64) % 9
    found = observed.observed(data_of(labels=labels, names=tuple("abcdefghi"), jets=jets))
    assert [mean.title for mean in found.means] == list("abcdef")
    assert "The first 6 of 9 classes." in found.caption


def test_images_are_not_described():
    assert observed.observed(make_data()) is None


@pytest.mark.parametrize("whole", [True, False])
def test_a_histogram_is_the_line_around_the_shares_of_all_jets(whole):
    values = np.random.default_rng(0).poisson(40, 5000) if whole else np.linspace(0, 1, 5000)
    edges = _bins(values.astype(np.float64))
    curve = _steps("", values, edges)
    areas = (curve.y[1:-1:2] * np.diff(edges)).sum() / np.diff(edges)[0]
    inside = np.mean((values >= edges[0]) & (values <= edges[-1]))
    assert areas == pytest.approx(100 * inside)
    assert 0.98 < inside <= 1
    assert (curve.y[0], curve.y[-1]) == (0, 0)
    if whole:
        assert set(np.mod(edges, 1)) == {0.5}


def test_jets_all_alike_have_a_histogram():
    edges = _bins(np.full(10, 0.3))
    assert _steps("", np.full(10, 0.3), edges).y.max() == 100


def test_the_page_has_a_section_of_the_domain(run_dir):
    data = data_of(**CLASSES)
    config = run_dir / "config.yaml"
    (run_dir / "evaluation.npz").unlink()
    (run_dir / "evaluation.json").unlink()
    config.write_text(re.sub(r"fingerprint: .*", "", config.read_text()))
    page = write(run_dir, data).read_text()
    section = page[page.index('id="items"') : page.index('id="views"')]
    assert '<h2 id="items-title">Jets</h2>' in section
    assert "<h3>&lt;b&gt;gluon&lt;/b&gt;</h3>" in section
    assert section.count("<image") >= 9
    assert "<b>gluon" not in page
    assert len(page) < 3_000_000
    assert 'id="items"' not in write(run_dir, make_data()).read_text()
