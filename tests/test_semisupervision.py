"""The stages as a whole: each is judged, goes on where it stopped, and has the same labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from twofold import TwofoldError, load, recipes, semisupervise, train
from twofold.config import load_config
from twofold.domains import Data, Source
from twofold.evaluate import accuracy, features, linear_probe
from twofold.finetuning import divide
from twofold.folder import read_evaluation
from twofold.semisupervision import ROWS
from twofold.tuned import load_tuned
from twofold.tuning import Tuning

QUICK = {
    "threads": 1,
    "loader_threads": 0,
    "quiet": True,
    "batch_size": 32,
    "width": 0.25,
    "epochs": 1,
    "encoder": "resnet-small",
    "labels_per_class": 6,
    "seed": 2,
    "finetune": replace(recipes.finetune(), epochs=4, batch_size=8),
    "distill": replace(recipes.distill(), epochs=3, batch_size=32, width=0.125),
}


def source(count, seed, labels="classes"):
    """Bright in the left or in the right half."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, count)
    items = rng.integers(0, 60, (count, 1, 12, 12), dtype=np.uint8)
    for item, side in zip(items, classes, strict=True):
        item[0, :, 6 * side : 6 * side + 6] += 150
    given = {"classes": classes, "numbers": classes.astype(np.float32), "none": None}[labels]
    ids = [f"{seed}-{number}" for number in range(count)]
    return Source(name="halves", items=items, ids=ids, labels=given)


def halves(labels="classes"):
    learned, test = source(96, 0, labels), source(40, 1, labels)
    return Data(name="halves", train=learned, test=test, note="")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages") / "s"
    return folder, semisupervise("simclr_v2", data=halves(), out=folder, **QUICK)


def test_every_stage_is_judged_on_the_test_items(whole):
    folder, found = whole
    assert found.keys() == ROWS.keys()
    test = halves().test
    for name, run in {
        "accuracy_finetune": "finetune",
        "accuracy_scratch": "finetune/baseline",
        "accuracy_distill": "distill",
        "accuracy_direct": "direct",
        "accuracy_direct_scratch": "direct/baseline",
    }.items():
        right = (load_tuned(folder / run).predict(test.items) == test.labels).mean()
        assert found[name]["value"] == pytest.approx(right), name
    large, small = "resnet-small, width 0.25", "resnet-small, width 0.125"
    assert [figure["network"] for figure in found.values()] == [large] * 3 + [small] * 3
    written = read_evaluation(folder)["semisupervise"]
    assert written.pop("protocol")["labels"] == 12
    assert written == found


def test_all_that_learn_from_labels_have_the_same(whole):
    folder, found = whole
    runs = ("finetune", "finetune/baseline", "direct", "direct/baseline")
    configs = [load_config(folder / run / "config.yaml") for run in runs]
    assert len({str(config.found["labels"]) for config in configs}) == 1
    assert {(c.tuning.labels_per_class, c.settings.seed) for c in configs} == {(6, 2)}
    assert {(c.tuning.layer, c.tuning.held_out) for c in configs} == {("projector.1", 0)}
    data = halves()
    chosen, _ = divide(data.train, Tuning(labels_per_class=6, held_out=0), 2)
    encoder = load(folder / "pretrain")
    learned, test = (
        features(encoder.reading(), part.items, encoder.preprocess) for part in (chosen, data.test)
    )
    probe = linear_probe(learned, chosen.labels, test, seed=2)
    expected = accuracy(probe.predictions, data.test.labels)
    assert found["accuracy_linear"]["value"] == expected["value"]


def test_finished_stages_are_not_trained_again(whole, monkeypatch):
    folder, found = whole
    monkeypatch.setattr(train, "step", None)
    assert semisupervise("simclr_v2", data=halves(), out=folder, **QUICK) == found


@pytest.mark.parametrize("step", [2, 6, 18, 22])
def test_stopped_stages_go_on_to_the_same_bits(whole, step, tmp_path, interrupted_at):
    folder, found = whole
    with interrupted_at(step):
        assert semisupervise("simclr_v2", data=halves(), out=tmp_path / "s", **QUICK) == {}
    assert not (tmp_path / "s" / "evaluation.json").exists()
    assert semisupervise("simclr_v2", data=halves(), out=tmp_path / "s", **QUICK) == found
    for run in ("distill", "direct"):
        one, two = (
            load_file(top / run / "encoder.safetensors") for top in (folder, tmp_path / "s")
        )
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_cannot_be_staged_is_refused_before_anything_is_trained(whole, tmp_path):
    folder, _ = whole
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    for message, how in {
        "labels of 'halves' are numbers": {
            "data": halves("numbers"),
            "labels_per_class": None,
            "label_fraction": 0.5,
        },
        "has no labels to learn from": {"data": halves("none")},
        "per_class is 60": {"labels_per_class": 60},
        "did you mean 'projector.3'": {"layer": "projector.33"},
        "did you mean 'resnet-small'": {"student": "resnet-smal"},
        "did you mean 'label_fraction'": {"label_fractoin": 0.1},
        "is not empty and holds no stages": {"out": tmp_path / "taken"},
        "recipe.epochs is 1 there and 2 here": {"out": folder, "epochs": 2},
    }.items():
        given = {"data": halves(), "out": tmp_path / "s", **QUICK, **how}
        with pytest.raises(TwofoldError, match=message) as caught:
            semisupervise("simclr_v2", **given)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
