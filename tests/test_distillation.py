"""Distillation: what a student learns from, which labels enter, how it goes on, what is written."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

import twofold
from twofold import TwofoldError, recipes
from twofold.config import load_config
from twofold.distillation import distill, labels_had, teach
from twofold.domains import Data, Source
from twofold.finetuning import finetune
from twofold.folder import read_evaluation
from twofold.objectives import Distill
from twofold.reading import Reading
from twofold.tuned import load_tuned

QUICK = {"threads": 1, "loader_threads": 0, "quiet": True, "batch_size": 16, "width": 0.25}
TUNED = {name: value for name, value in QUICK.items() if name != "width"}


def source(count, seed, labels="classes"):
    """Stripes across the upper, middle or lower third, and how bright they are."""
    rng = np.random.default_rng(seed)
    classes, bright = rng.integers(0, 3, count), rng.integers(60, 200, count)
    items = rng.integers(0, 40, (count, 1, 12, 12))
    rows = np.arange(12) // 4 == classes[:, None]
    items += (rows * bright[:, None])[:, None, :, None]
    given = {"classes": classes, "numbers": bright.astype(np.float32), "none": None}[labels]
    ids = [f"{seed}-{number}" for number in range(count)]
    return Source(name="stripes", items=items.astype(np.uint8), ids=ids, labels=given)


def stripes(labels="classes", count=120):
    train, test = source(count, 0, labels), source(60, 1, labels)
    return Data(name="stripes", train=train, test=test, note="")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "a"
    twofold.pretrain(
        "simclr_v2",
        data=source(120, 0).items,
        out=folder,
        epochs=1,
        encoder="resnet-small",
        **QUICK,
    )
    return folder


@pytest.fixture(scope="module")
def teacher(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "t"
    options = {"layer": "projector.1", "labels_per_class": 12, "epochs": 20, "seed": 3, **TUNED}
    finetune(run, data=stripes(), out=folder, **options)
    return folder


def found(folder):
    return read_evaluation(folder)["distill"]


def weights(folder):
    files = [load_file(folder / f"{name}.safetensors") for name in ("encoder", "head")]
    return [tensor for file in files for _, tensor in sorted(file.items())]


def same(one, two):
    return all(torch.equal(*pair) for pair in zip(weights(one), weights(two), strict=True))


def test_a_student_answers_as_its_teacher_without_any_label(teacher, tmp_path):
    unlabelled = replace(stripes(), train=source(120, 0, "none"))
    student = distill(teacher, data=unlabelled, out=tmp_path / "s", epochs=12, **QUICK)
    test = stripes().test
    answers, wanted = student.predict(test.items), load_tuned(teacher).predict(test.items)
    assert (answers == wanted).mean() > 0.9
    figures = found(tmp_path / "s")
    assert figures["agreement"]["value"] == pytest.approx((answers == wanted).mean())
    assert figures["accuracy"]["value"] == pytest.approx((answers == test.labels).mean())
    assert figures["accuracy_teacher"]["value"] == pytest.approx((wanted == test.labels).mean())
    assert figures["protocol"]["labels"] == 0
    again = load_tuned(tmp_path / "s")
    assert np.array_equal(again.predict(test.items), answers)
    assert twofold.load(tmp_path / "s").embed(test.items).shape == (60, 64)  # a run like any other


def test_a_student_teaches_and_is_tuned_in_its_turn(teacher, tmp_path):
    distill(teacher, data=stripes(), out=tmp_path / "s", epochs=1, **QUICK)
    assert load_config(tmp_path / "s" / "config.yaml").settings.seed == 3  # its teacher's
    mixed = {"teacher_share": 0.5, "temperature": 2, "epochs": 1}
    distill(tmp_path / "s", data=stripes(), out=tmp_path / "second", **mixed, **QUICK)
    protocol = found(tmp_path / "second")["protocol"]
    assert (protocol["temperature"], protocol["teacher_share"]) == (2.0, 0.5)
    assert protocol["labels"] == 36  # those that the first teacher had
    finetune(tmp_path / "s", data=stripes(), out=tmp_path / "tuned", epochs=1, **TUNED)
    assert load_tuned(tmp_path / "tuned").head[0].in_features == 64


def test_labels_that_the_teacher_did_not_have_may_be_anything(teacher, tmp_path, monkeypatch):
    data = stripes()
    had = labels_had(teacher, data.train)
    assert np.bincount(data.train.labels[had]).tolist() == [12, 12, 12]
    # The draw looks at the class of every item, and so does what tells one set from another.
    drawn, fingerprint = np.flatnonzero(had), data.train.fingerprint()
    monkeypatch.setattr("twofold.finetuning.draw_labels", lambda *args, **how: drawn)
    monkeypatch.setattr(Source, "fingerprint", lambda source: fingerprint)
    rng = np.random.default_rng(0)
    others, ours = data.train.labels.copy(), data.train.labels.copy()
    others[~had] = rng.permutation(others[~had])
    ours[had] = rng.permutation(ours[had])
    how = {"teacher_share": 0.3, "epochs": 1, **QUICK}
    for name, labels in (("true", data.train.labels), ("others", others), ("ours", ours)):
        changed = replace(data, train=replace(data.train, labels=labels))
        distill(teacher, data=changed, out=tmp_path / name, **how)
    assert same(tmp_path / "true", tmp_path / "others")
    assert not same(tmp_path / "true", tmp_path / "ours")


def test_without_a_share_of_labels_none_is_looked_at(teacher, tmp_path):
    data = stripes()
    distill(teacher, data=data, out=tmp_path / "true", epochs=1, **QUICK)
    wrong = replace(data, train=replace(data.train, labels=data.train.labels[::-1].copy()))
    distill(teacher, data=wrong, out=tmp_path / "wrong", epochs=1, **QUICK)
    assert same(tmp_path / "true", tmp_path / "wrong")


def test_numbers_are_taught_in_their_units(run, tmp_path):
    data = stripes("numbers", 200)
    data = replace(data, test=replace(data.test, label_unit="mm"))
    finetune(run, data=data, out=tmp_path / "t", epochs=6, **TUNED)
    mixed = {"teacher_share": 0.5, "epochs": 8, **QUICK}
    student = distill(tmp_path / "t", data=data, out=tmp_path / "s", **mixed)
    assert not student.classifies
    figures = found(tmp_path / "s")
    errors = np.abs(student.predict(data.test.items) - data.test.labels)
    assert figures["mae"]["value"] == pytest.approx(errors.mean(), rel=1e-4)
    assert figures["r2"]["value"] > 0.5
    assert "r2_teacher" in figures
    assert "agreement" not in figures
    assert figures["mae"]["unit"] == figures["rmse_teacher"]["unit"] == "mm"


def test_two_classes_have_an_auc_beside_the_teachers(run, tmp_path):
    train, test = (
        replace(part, labels=(part.labels > 0).astype(np.int64), label_names=("top", "below"))
        for part in (stripes().train, stripes().test)
    )
    data = replace(stripes(), train=train, test=test)
    finetune(run, data=data, out=tmp_path / "t", epochs=3, **TUNED)
    student = distill(tmp_path / "t", data=data, out=tmp_path / "s", epochs=1, **QUICK)
    figures, scores = found(tmp_path / "s"), student.probabilities(test.items)[:, 1]
    area = roc_auc_score(test.labels, scores)
    assert figures["auc"]["value"] == pytest.approx(area, abs=1e-3)
    assert figures["auc_teacher"]["value"] > 0.6
    assert figures["protocol"]["auc"] == "counts below as positive; DeLong, over test items"


def test_a_stopped_run_goes_on_to_the_same_bits(teacher, tmp_path, interrupted_at):
    how = {"teacher_share": 0.5, "epochs": 2, **QUICK}
    distill(teacher, data=stripes(), out=tmp_path / "whole", **how)
    with interrupted_at(9), pytest.raises(TwofoldError, match="has no head"):
        distill(teacher, data=stripes(), out=tmp_path / "part", **how)
    whole = load_config(tmp_path / "part" / "config.yaml")
    assert (
        whole.found["teacher"] == load_config(tmp_path / "whole" / "config.yaml").found["teacher"]
    )
    assert teach(whole, tmp_path / "part", data=stripes(), quiet=True).finished
    assert same(tmp_path / "whole", tmp_path / "part")
    assert found(tmp_path / "whole") == found(tmp_path / "part")


def test_a_run_goes_on_with_the_teacher_it_began_with(teacher, tmp_path):
    other = tmp_path / "t"
    shutil.copytree(teacher, other)
    distill(other, data=stripes(), out=tmp_path / "s", epochs=1, **QUICK)
    whole = load_config(tmp_path / "s" / "config.yaml")
    load_tuned(other).save(other)  # as a run that is resumed after its end
    assert teach(whole, tmp_path / "s", data=stripes(), quiet=True).finished
    shutil.copy(tmp_path / "s" / "head.safetensors", other)
    with pytest.raises(TwofoldError, match="has changed since the run began"):
        teach(whole, tmp_path / "s", data=stripes(), quiet=True)


def test_the_teacher_stays_as_it_is(teacher, tmp_path, monkeypatch):
    asked = []

    def answer(network, images):
        asked.append([module.training for module in network.modules()])
        return real(network, images)

    real, tuned = Reading.forward, load_tuned(teacher)
    before = {name: value.clone() for name, value in tuned.network.state_dict().items()}
    monkeypatch.setattr(Reading, "forward", answer)
    monkeypatch.setattr("twofold.distillation.load_tuned", lambda *args, **how: tuned)
    distill(teacher, data=stripes(), out=tmp_path / "s", epochs=1, **QUICK)
    assert all(torch.equal(before[name], t) for name, t in tuned.network.state_dict().items())
    assert asked
    assert not any(map(any, asked))


def test_what_cannot_be_distilled_is_refused_in_one_line(run, teacher, tmp_path):
    data, other = stripes(), stripes(count=90)
    colour = Source(name="c", items=np.zeros((9, 3, 12, 12), np.uint8), ids=list("abcdefghi"))
    colours = Data(name="c", train=colour, test=colour, note="")
    two = replace(
        recipes.distill(), objectives={"distill": Distill(), "again": Distill(temperature=2.0)}
    )
    for message, how in {
        "has no head that tells classes or numbers": {"teacher": run},
        "have 3 channels, and this teacher reads 1": {"data": colours},
        r"had none of those of 'stripes'; say 1": {"data": other, "teacher_share": 0.5},
        "learns from its teacher by Distill alone": {"recipe": "supervised"},
        "are Distill, Distill; a student learns": {"recipe": two},
        r"temperature is -1; it must be > 0": {"temperature": -1},
        "did you mean 'resnet-small'": {"student": "resnet-smal"},
        "is no run: it does not exist": {"teacher": "nowhere"},
    }.items():
        given = {"teacher": teacher, "data": data, "out": tmp_path / "s", **QUICK, **how}
        with pytest.raises(TwofoldError, match=message) as caught:
            distill(given.pop("teacher"), **given)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())


def test_a_recipe_without_its_teacher_is_refused(tmp_path):
    with pytest.raises(TwofoldError, match="there is none; name a fine-tuned run"):
        twofold.pretrain("distill", data=source(40, 0).items, out=tmp_path / "s", **QUICK)


def test_another_split_of_the_teachers_items_is_refused(run, tmp_path):
    items = source(150, 0)
    np.savez(tmp_path / "d.npz", images=items.items, labels=items.labels)
    finetune(run, data=tmp_path / "d.npz", out=tmp_path / "t", epochs=1, **TUNED)
    with pytest.raises(TwofoldError, match="may have learned from test items; give its --seed 0"):
        distill(tmp_path / "t", out=tmp_path / "s", seed=1, **QUICK)
    distill(tmp_path / "t", out=tmp_path / "s", epochs=1, **QUICK)
    assert json.loads((tmp_path / "s" / "evaluation.json").read_text())["distill"]["accuracy"]
