"""Fine-tuning: which labels are used, what moves, which epoch is kept, what is written down."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import nn

import twofold
from twofold import TwofoldError
from twofold.config import load_config
from twofold.domains import Data, Source
from twofold.finetuning import Fixed, divide, finetune, judge
from twofold.folder import read_metrics
from twofold.tuned import load_tuned
from twofold.tuning import Tuning

QUICK = {"threads": 1, "loader_threads": 0, "quiet": True, "batch_size": 16}


def source(count, seed, labels="classes"):
    """Images whose class is where they are bright, and whose number is how bright they are."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, count)
    bright = rng.uniform(0.3, 1, count)
    items = rng.integers(0, 40, (count, 1, 12, 12))
    for item, kind, light in zip(items, classes, bright, strict=True):
        item[0, 4 * kind : 4 * kind + 4] += int(200 * light)
    given = {
        "classes": classes,
        "numbers": (1000 + 50 * bright).astype(np.float32),
        "pairs": np.stack([1000 + 50 * bright, -classes], axis=1).astype(np.float32),
        "none": None,
    }[labels]
    ids = [f"{seed}-{i}" for i in range(count)]
    return Source(name="bands", items=items.astype(np.uint8), ids=ids, labels=given)


def bands(labels="classes", count=160):
    return Data(name="bands", train=source(count, 0, labels), test=source(60, 1, labels), note="")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "a"
    options = {"encoder": "resnet-small", "width": 0.25, "epochs": 2, **QUICK}
    twofold.pretrain("simclr_v2", data=source(120, 0).items, out=folder, **options)
    return folder


def figures(folder):
    return json.loads((folder / "evaluation.json").read_text())["finetune"]


def test_a_classifier_learns_and_is_read_back(run, tmp_path):
    tuned = finetune(run, data=bands(), out=tmp_path / "f", epochs=12, **QUICK)
    test = bands().test
    right = (tuned.predict(test.items) == test.labels).mean()
    assert right > 0.9
    assert figures(tmp_path / "f")["accuracy"]["value"] == pytest.approx(right)
    again = load_tuned(tmp_path / "f")
    assert np.array_equal(again.predict(test.items), tuned.predict(test.items))
    assert np.allclose(again.probabilities(test.items).sum(axis=1), 1, atol=1e-5)
    assert twofold.load(tmp_path / "f").embed(test.items).shape == (60, 64)  # a run like any other


def test_numbers_come_in_their_units(run, tmp_path):
    data = bands("numbers", 200)
    data = replace(data, test=replace(data.test, label_unit="GeV"))
    tuned = finetune(run, data=data, out=tmp_path / "f", epochs=12, **QUICK)
    assert not tuned.classifies
    predicted, true = tuned.predict(data.test.items), data.test.labels
    found = figures(tmp_path / "f")
    assert found["mae"]["value"] == pytest.approx(np.abs(predicted - true).mean(), rel=1e-4)
    assert found["r2"]["value"] > 0.5
    assert found["mae"]["ci95"][0] < found["mae"]["value"] < found["mae"]["ci95"][1]
    assert [found[name].get("unit") for name in ("mae", "rmse", "r2")] == ["GeV", "GeV", None]
    with pytest.raises(TwofoldError, match="regresses numbers; use predict"):
        tuned.probabilities(data.test.items)


def test_two_classes_have_an_auc_beside_its_baseline(run, tmp_path):
    names = ("dim", "bright")
    train, test = (
        replace(part, labels=(part.labels > 1035).astype(np.int64), label_names=names)
        for part in (bands("numbers").train, bands("numbers").test)
    )
    data = replace(bands(), train=train, test=test)
    tuned = finetune(run, data=data, out=tmp_path / "f", epochs=2, baseline=True, **QUICK)
    found = figures(tmp_path / "f")
    scores = tuned.probabilities(test.items)[:, 1]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(test.labels, scores), abs=1e-3)
    assert found["auc_baseline"]["n"] == 60
    assert found["protocol"]["auc"] == "counts bright as positive; DeLong, over test items"
    one = replace(test, labels=np.ones(60, np.int64))
    figures_of_one, words = judge(tuned.outputs(test.items), one, 0)
    assert list(figures_of_one) == ["accuracy"]
    assert words["auc"].startswith("none: every item is of class 1")


def test_a_network_without_norms_is_tuned_with_layer_decay(tmp_path):
    options = {"encoder": "resnet15", "epochs": 1, **QUICK}
    twofold.pretrain("simclr", data=source(48, 0).items, out=tmp_path / "a", **options)
    how = {"layer_decay": 0.01, "epochs": 1, **QUICK}
    finetune(tmp_path / "a", data=bands(count=48), out=tmp_path / "f", **how)
    before, after = (load_file(tmp_path / name / "encoder.safetensors") for name in ("a", "f"))
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before}
    last, first = moved["layer3.2.conv2.weight"], moved["conv1.weight"]
    assert 0 <= first < 1e-6 < last


def test_several_numbers_are_judged_one_by_one(run, tmp_path):
    tuned = finetune(run, data=bands("pairs"), out=tmp_path / "f", epochs=2, **QUICK)
    assert tuned.predict(bands().test.items).shape == (60, 2)
    assert {"r2_0", "r2_1", "mae_0", "spearman_1"} <= figures(tmp_path / "f").keys()


def test_a_frozen_encoder_stays_as_it_is_bit_for_bit(run, tmp_path):
    finetune(run, data=bands(), out=tmp_path / "f", freeze=True, epochs=3, **QUICK)
    before, after = (load_file(path / "encoder.safetensors") for path in (run, tmp_path / "f"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    moved = load_file(tmp_path / "f" / "head.safetensors")
    assert any(tensor.abs().sum() > 0 for tensor in moved.values())


def test_the_head_may_be_kept_up_to_its_first_layer(run, tmp_path):
    tuned = finetune(run, data=bands(), out=tmp_path / "f", layer="projector.1", epochs=2, **QUICK)
    assert tuned.head[0].in_features == 1024
    before, after = (load_file(path / "projector.safetensors") for path in (run, tmp_path / "f"))
    assert not torch.equal(before["0.weight"], after["0.weight"])  # its first layer moves
    assert torch.equal(before["3.weight"], after["3.weight"])  # the second is not read


def test_only_the_chosen_labels_are_used(run, tmp_path):
    """The others may be anything."""
    few = {"labels_per_class": 16, "held_out": 0.35, "epochs": 2, "seed": 3, **QUICK}
    data = bands()
    one = finetune(run, data=data, out=tmp_path / "a", **few)
    train, held_out = divide(data.train, Tuning(labels_per_class=16, held_out=0.35), 3)
    used = {*train.ids, *held_out.ids}
    assert len(used) == 48
    rng = np.random.default_rng(0)
    kept = np.array([name in used for name in data.train.ids])
    # A class may not get other members, for that would change who is drawn: swap items instead.
    items = data.train.items.copy()
    items[~kept] = rng.permutation(items[~kept])
    spoilt = Source(name="bands", items=items, ids=data.train.ids, labels=data.train.labels)
    other = Data(name="bands", train=spoilt, test=data.test, note="")
    two = finetune(run, data=other, out=tmp_path / "b", **few)
    test = data.test.items
    assert torch.equal(one.outputs(test), two.outputs(test))


def test_parts_are_drawn_by_class_and_do_not_meet():
    train = source(300, 0)
    chosen, held_out = divide(train, Tuning(label_fraction=0.3, held_out=0.2), 0)
    assert not {*chosen.ids} & {*held_out.ids}
    sizes = np.bincount(train.labels)
    assert (abs(np.bincount(chosen.labels) + np.bincount(held_out.labels) - 0.3 * sizes) <= 1).all()
    assert (abs(np.bincount(held_out.labels) - 0.06 * sizes) <= 1).all()
    less, _ = divide(train, Tuning(label_fraction=0.1, held_out=0), 0)
    assert {*less.ids} <= {*chosen.ids, *held_out.ids}  # fewer labels are among the more


def test_few_labels_leave_none_to_choose_by(run, tmp_path):
    train, held_out = divide(source(90, 0), Tuning(labels_per_class=1), 0)
    assert (len(train), held_out) == (3, None)
    for count, held in ((149, None), (150, 15)):
        _, some = divide(source(count, 0), Tuning(), 0)
        assert (some and len(some)) == held
    _, some = divide(source(80, 0, "numbers"), Tuning(label_fraction=0.5, held_out=0.5), 0)
    assert len(some) == 20
    with pytest.raises(TwofoldError, match="labels_per_class counts items of a class"):
        divide(source(90, 0, "numbers"), Tuning(labels_per_class=5), 0)
    with pytest.raises(TwofoldError, match="has no labels to learn from"):
        divide(source(90, 0, "none"), Tuning(), 0)
    finetune(
        run, data=bands(), out=tmp_path / "f", labels_per_class=4, held_out=0, epochs=2, **QUICK
    )
    assert read_metrics(tmp_path / "f")[-1]["chosen"]["rule"] == "last"


def test_it_stops_when_held_out_labels_have_enough_and_keeps_their_best_epoch(run, tmp_path):
    tuned = finetune(run, data=bands(), out=tmp_path / "f", epochs=60, patience=2, **QUICK)
    lines = read_metrics(tmp_path / "f")
    epochs = [line for line in lines if line["kind"] == "epoch"]
    measured = [line["held_out"]["loss"] for line in epochs]
    best = measured.index(min(measured)) + 1
    assert len(epochs) == best + 2 < 60
    assert lines[-1]["chosen"]["epoch"] == best
    kept = load_file(tmp_path / "f" / "candidates" / "held_out.safetensors")
    assert torch.equal(kept["heads.predict.classifier.0.weight"], tuned.head[0].weight)
    # Once more from the end: nothing is trained, and the same is chosen.
    twofold.resume(tmp_path / "f", data=bands(), quiet=True)
    again = load_tuned(tmp_path / "f")
    assert read_metrics(tmp_path / "f")[-1]["chosen"]["epoch"] == best
    assert torch.equal(again.outputs(bands().test.items), tuned.outputs(bands().test.items))


def test_a_stopped_run_goes_on_to_the_same_bits(run, tmp_path, monkeypatch):
    options = {"epochs": 3, "baseline": True, **QUICK}
    whole = finetune(run, data=bands(), out=tmp_path / "whole", **options)

    def fails(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("twofold.finetuning.HeldOut._measure", fails)
        with pytest.raises(KeyboardInterrupt):
            finetune(run, data=bands(), out=tmp_path / "part", checkpoint_seconds=1e-9, **options)
    assert list((tmp_path / "part" / "checkpoints").iterdir())
    twofold.resume(tmp_path / "part", data=bands(), quiet=True)
    part = load_tuned(tmp_path / "part")
    for name in ("encoder.safetensors", "head.safetensors", "baseline/head.safetensors"):
        one, two = (load_file(tmp_path / folder / name) for folder in ("whole", "part"))
        assert all(torch.equal(one[key], two[key]) for key in one), name
    assert torch.equal(whole.outputs(bands().test.items), part.outputs(bands().test.items))
    one, two = (figures(tmp_path / folder) for folder in ("whole", "part"))
    assert one == two
    assert "accuracy_baseline" in one


def test_the_baseline_begins_with_other_weights_and_sees_the_same_labels(run, tmp_path):
    finetune(run, data=bands(), out=tmp_path / "f", baseline=True, epochs=1, **QUICK)
    above, below = (
        load_config(path / "config.yaml") for path in (tmp_path / "f", tmp_path / "f/baseline")
    )
    assert above.found["labels"] == below.found["labels"]
    assert (above.tuning.scratch, below.tuning.scratch) == (False, True)
    first = [read_metrics(path)[0]["loss"] for path in (tmp_path / "f", tmp_path / "f/baseline")]
    assert first[0] == pytest.approx(np.log(3), abs=1e-3)  # the head begins at zero
    assert first[0] == pytest.approx(first[1], abs=1e-6)
    weights = [
        load_file(path / "encoder.safetensors")["conv1.weight"]
        for path in (tmp_path / "f", tmp_path / "f/baseline")
    ]
    assert not torch.equal(*weights)


def test_lower_layers_move_less(run, tmp_path):
    finetune(run, data=bands(), out=tmp_path / "f", layer_decay=1e-6, epochs=2, **QUICK)
    before, after = (load_file(path / "encoder.safetensors") for path in (run, tmp_path / "f"))
    moved = {
        name: ((after[name] - before[name]).norm() / before[name].norm()).item()
        for name in ("conv1.weight", "layer4.0.conv1.weight")
    }
    assert moved["conv1.weight"] < 1e-6 < moved["layer4.0.conv1.weight"]


def test_a_fixed_network_ignores_train_and_gives_no_gradient():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    network.num_features = 4
    fixed = Fixed(network).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not fixed(torch.randn(8, 1, 2, 2)).requires_grad
    assert not network[1].training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_what_cannot_be_tuned_is_refused_in_one_line(run, tmp_path):
    colour = Data(
        name="colour",
        train=Source(name="c", items=np.zeros((9, 3, 12, 12), np.uint8), ids=list("abcdefghi")),
        test=Source(name="c", items=np.zeros((9, 3, 12, 12), np.uint8), ids=list("abcdefghi")),
        note="",
    )
    with pytest.raises(TwofoldError, match="have 3 channels, and this encoder reads 1"):
        finetune(run, data=colour, out=tmp_path / "a", **QUICK)
    with pytest.raises(TwofoldError, match="learns from labels by Supervised alone"):
        finetune(run, data=bands(), out=tmp_path / "b", recipe="simclr", **QUICK)
    with pytest.raises(TwofoldError, match=r"unknown layer 'projector\.9'"):
        finetune(run, data=bands(), out=tmp_path / "c", layer="projector.9", **QUICK)
    with pytest.raises(TwofoldError, match=r"layer_decay is 0.0; it must be in \(0, 1\]"):
        finetune(run, data=bands(), out=tmp_path / "d", layer_decay=0, **QUICK)
    with pytest.raises(TwofoldError, match="label_fraction and labels_per_class are both given"):
        finetune(run, data=bands(), out=tmp_path / "e", label_fraction=0.1, labels_per_class=3)
    with pytest.raises(TwofoldError, match="did you mean 'layer_decay'"):
        finetune(run, data=bands(), out=tmp_path / "f", layer_decai=0.5)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TwofoldError, match="has no head that tells classes or numbers"):
        load_tuned(run)


def test_the_report_shows_what_it_reached_and_how(run, tmp_path):
    finetune(run, data=bands(), out=tmp_path / "f", baseline=True, epochs=2, **QUICK)
    page = twofold.Run(tmp_path / "f", bands()).report().read_text()
    accuracy = figures(tmp_path / "f")["accuracy"]["value"]
    assert page.count(f"{100 * accuracy:.1f}") >= 2  # on top and in its table
    for words in ("Fine-tuned", "this network", "from random weights", "held-out labels"):
        assert words in page
