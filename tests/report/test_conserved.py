"""What a page shows of conserved quantities, against plain NumPy, SciPy and scikit-learn."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from fabricated_run import make_data
from scipy.stats import rankdata, spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import r2_score

import twofold
from twofold.domains.trajectory import open_data
from twofold.folder import METRICS, read_metrics
from twofold.monitor import watched_items
from twofold.objectives import InfoNCE
from twofold.report import conserved, run_folder, write

ORBITS, TIMES, EPOCHS = 60, 10, 12
SMALL = {"epochs": EPOCHS, "batch_size": 16, "threads": 1, "quiet": True}


def springs(dim=2, seed=0):
    """Orbits of springs, labelled with their energies."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.1, 2, (ORBITS, 1, dim // 2))
    angle = rng.uniform(0, 2 * np.pi, (ORBITS, TIMES, dim // 2))
    states = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    energies = (radius**2).sum(axis=(1, 2)) / 2
    found = open_data(states, labels=energies.astype(np.float32))
    train, test = (replace(part, label_unit="k l^2") for part in (found.train, found.test))
    return replace(found, train=train, test=test)


@pytest.fixture(scope="module")
def data():
    return springs()


def pretrain(folder, data, recipe="conserved", **changes):
    return twofold.pretrain(recipe, data=data, out=folder, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data):
    """One run with one output and one with two."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        outputs: pretrain(folder / recipe, data, recipe).folder
        for outputs, recipe in ((1, "conserved"), (2, "conserved_2d"))
    }


@pytest.fixture
def charts(monkeypatch):
    """What is handed to the charts."""
    found = []

    def recorded(x, y, **how):
        found.append((x, y, how))
        return ""

    monkeypatch.setattr(conserved, "point_chart", recorded)
    return found


def look(folder, data):
    return conserved.learned(run_folder.read(folder), data)


def outputs_of(folder, items):
    encoder = twofold.load(folder)
    return encoder.embed(items, layer=encoder.layers[-1])


def test_one_number_against_the_label_with_its_monotone_fit(runs, data, charts):
    found = look(runs[1], data)
    x, y, how = charts[0]
    train, test = (outputs_of(runs[1], part.items)[:, 0] for part in (data.train, data.test))
    sign = np.sign(spearmanr(train, data.train.labels)[0])
    np.testing.assert_array_equal(x, data.test.labels)
    np.testing.assert_allclose(y, sign * test, rtol=1e-5, atol=1e-6)
    fit = IsotonicRegression(out_of_bounds="clip").fit(sign * train, data.train.labels)
    across, up = how["line"]
    np.testing.assert_allclose(across, fit.predict(up), rtol=1e-5)
    assert (up[0], up[-1]) == (y.min(), y.max())
    order = f"{abs(spearmanr(test, data.test.labels)[0]):.4f}"
    r2 = f"{r2_score(data.test.labels, fit.predict(sign * test)):.4f}"
    caption = found.charts[0].caption
    assert f"of 120 held-out states: |rank correlation| {order}, R² {r2} after" in caption
    assert how["x_label"] == "label in k l^2"
    assert (found.tile.value, found.tile.link) == (order, "conserved")
    assert r2 in found.tile.detail


def test_portraits_have_the_ranks_of_the_output_and_of_the_label_as_colours(runs, data, charts):
    look(runs[1], data)
    states = data.test.items[:, :, 0, 0]
    values = [charts[0][1], data.test.labels]
    for (x, y, how), shown in zip(charts[-2:], values, strict=True):
        np.testing.assert_array_equal(np.stack([x, y], axis=1), states)
        np.testing.assert_allclose(how["shading"].places, (rankdata(shown) - 1) / 119)
    assert [how["shading"].name for *_, how in charts[-2:]] == [
        "what was learned",
        "label in k l^2",
    ]


def test_the_course_shows_what_was_written_down(runs, data, charts):
    look(runs[1], data)
    x, y, how = charts[1]
    records = [line for line in read_metrics(runs[1]) if line["kind"] == "epoch"]
    epochs = [1, 2, 3, 4, 6, 8, 12]
    assert list(how["shading"].ticks.values()) == list(map(str, epochs))
    labels = np.sort(data.test.labels)
    watched = np.array([records[epoch - 1]["watched"] for epoch in epochs])[..., 0]
    sign = np.sign(spearmanr(watched[-1], labels)[0])
    np.testing.assert_array_equal(x, np.tile(labels, len(epochs)))
    np.testing.assert_allclose(y, sign * watched.ravel())
    assert list(np.unique(how["shading"].places)) == list(how["shading"].ticks)


def test_the_sign_of_what_was_learned_changes_no_chart(runs, data, charts, tmp_path):
    look(runs[1], data)
    encoder = twofold.load(runs[1])
    for parameter in encoder.projector[-1].parameters():
        parameter.data.neg_()
    (tmp_path / "config.yaml").write_bytes((runs[1] / "config.yaml").read_bytes())
    encoder.save(tmp_path / "encoder.safetensors")
    before = list(charts)
    charts.clear()
    look(tmp_path, data)
    assert len(charts) == 3  # no course
    np.testing.assert_allclose(charts[0][1], before[0][1], rtol=1e-5)
    assert spearmanr(charts[0][1], data.test.labels)[0] > 0


def test_two_numbers_are_the_axes(runs, data, charts):
    found = look(runs[2], data)
    assert found.tile is None
    assert len(charts) == 1 + 2 + 3
    x, y, how = charts[0]
    outputs = outputs_of(runs[2], data.test.items)
    np.testing.assert_allclose(np.abs(np.stack([x, y], axis=1)), np.abs(outputs), atol=1e-5)
    np.testing.assert_allclose(how["shading"].places, (rankdata(data.test.labels) - 1) / 119)
    assert [how["y_label"] for *_, how in charts[1:3]] == ["first number", "second number"]


def test_of_four_coordinates_the_first_position_and_its_momentum_are_shown(tmp_path, charts):
    data = springs(dim=4)
    look(pretrain(tmp_path / "run", data, epochs=1).folder, data)
    x, y, how = charts[-1]
    np.testing.assert_array_equal(np.stack([x, y]), data.test.items[:, [0, 2], 0, 0].T)
    assert (how["x_label"], how["y_label"]) == ("position q₁", "momentum p₁")


def test_of_pictures_there_is_no_portrait(tmp_path, charts):
    rng = np.random.default_rng(0)
    energy = np.repeat(rng.uniform(0.2, 1, 40), 4).astype(np.float32)
    images = (255 * energy[:, None, None, None] * rng.random((160, 1, 8, 8))).astype(np.uint8)
    data = twofold.open_data(images, labels=energy, groups=np.repeat(np.arange(40), 4))
    small = {"encoder": "resnet-small", "width": 0.25, "epochs": 2, "batch_size": 8, "stem": None}
    found = look(pretrain(tmp_path / "run", data, **small).folder, data)
    assert len(found.charts) == len(charts) == 2
    assert "32 held-out images" in found.charts[0].caption


def test_a_course_that_falls_is_turned_as_a_whole(runs, data, charts, tmp_path):
    lines = read_metrics(runs[1])
    for line in lines:
        if "watched" in line:
            line["watched"] = [[-z] for (z,) in line["watched"]]
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    look(tmp_path, data)
    look(runs[1], data)
    np.testing.assert_array_equal(charts[0][1], charts[2][1])


def test_a_run_that_goes_on_has_a_course_alone(runs, data, charts, tmp_path):
    for name in ("config.yaml", METRICS):
        (tmp_path / name).write_bytes((runs[1] / name).read_bytes())
    found = look(tmp_path, data)
    assert len(found.charts) == 1
    assert found.tile is None
    lines = (tmp_path / METRICS).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if '"watched"' in line)
    (tmp_path / METRICS).write_text("\n".join(lines[: first + 1]))  # one epoch is no course
    assert look(tmp_path, data) is None


def relabelled(data, labels):
    train, test = (replace(part, labels=labels(part)) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


@pytest.mark.parametrize(
    "labels",
    [
        lambda part: None,
        lambda part: np.arange(len(part)) % 3,
        lambda part: np.zeros((len(part), 2), np.float32),
        lambda part: np.full(len(part), 1.5, np.float32),
    ],
    ids=["none", "classes", "several", "constant"],
)
def test_other_labels_show_nothing(runs, data, labels):
    assert look(runs[1], relabelled(data, labels)) is None


@pytest.mark.parametrize("labels", [None, "classes"])
def test_nothing_is_watched_without_one_number_as_label(tmp_path, data, labels):
    kind = {None: lambda part: None, "classes": lambda part: np.arange(len(part)) % 3}[labels]
    run = pretrain(tmp_path / "run", relabelled(data, kind), epochs=1)
    assert not any("watched" in line for line in read_metrics(run.folder))


def test_a_wide_head_shows_nothing(tmp_path, data):
    objectives = {"contrast": InfoNCE(projector=(8, 3))}
    run = pretrain(tmp_path / "run", data, epochs=2, objectives=objectives)
    assert not any("watched" in line for line in read_metrics(run.folder))
    assert look(run.folder, data) is None


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_last_epoch_s_outputs_are_those_of_the_encoder(runs, data, outputs):
    last = [line for line in read_metrics(runs[outputs]) if line["kind"] == "epoch"][-1]
    items = watched_items(data.test)
    assert items.labels.tolist() == sorted(data.test.labels.tolist())
    expected = outputs_of(runs[outputs], items.items)
    np.testing.assert_allclose(last["watched"], expected, rtol=1e-4, atol=1e-6)


def test_of_many_items_those_watched_are_spread_over_the_ranks(data):
    many = data.train
    labels = watched_items(many).labels
    assert len(labels) == 120
    ranks = np.searchsorted(np.sort(many.labels), labels)
    assert (labels[0], labels[-1]) == (many.labels.min(), many.labels.max())
    assert np.abs(ranks - np.linspace(0, len(many) - 1, 120)).max() <= TIMES


def test_a_resumed_run_watches_every_epoch_once(tmp_path, data, interrupted_at):
    def watched(name):
        lines = read_metrics(tmp_path / name)
        return [(line["epoch"], line["watched"]) for line in lines if line["kind"] == "epoch"]

    pretrain(tmp_path / "whole", data)
    with interrupted_at(14):
        pretrain(tmp_path / "stopped", data)
    assert 0 < len(watched("stopped")) < EPOCHS
    twofold.resume(tmp_path / "stopped", data=data, quiet=True)
    assert [epoch for epoch, _ in watched("whole")] == list(range(1, EPOCHS + 1))
    assert watched("stopped") == watched("whole")
    for path in (tmp_path / "stopped" / "checkpoints").iterdir():  # as if killed before it saved
        path.unlink()
    twofold.resume(tmp_path / "stopped", data=data, quiet=True)
    assert watched("stopped") == watched("whole")


def test_the_page_has_a_section(runs, data, tmp_path):
    for path in runs[1].glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("label_key: null", "label_key: <i>$E$"))
    page = write(tmp_path, data).read_text()
    section = page[page.index('id="conserved"') : page.index('id="quality"')]
    assert '<a href="#conserved">' in page
    assert section.count("<svg") == 4
    assert section.count(">&lt;i&gt;$E$ in k l^2<") == 3  # two axes and a scale
    assert "<i>$E" not in page
    assert not re.search(r"#[0-9a-fA-F]{6}", section)
    assert len(section) < 300_000


def test_other_data_and_other_runs_have_no_section(runs, run_dir):
    for folder, data in ((runs[1], springs(seed=1)), (runs[1], None), (run_dir, make_data())):
        assert 'id="conserved"' not in write(folder, data).read_text()
