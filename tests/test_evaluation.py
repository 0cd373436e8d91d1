"""Whole encoders and files of embeddings, on one set of data or several."""

import json

import numpy as np
import pytest

import twofold
from twofold import Data, TwofoldError
from twofold.domains import split
from twofold.domains.image import open_data
from twofold.evaluate import evaluate, evaluate_embeddings
from twofold.evaluation import (
    evaluate_by_name,
    evaluate_files,
    open_embeddings,
    together,
)
from twofold.preprocess import measure

SMALL = {
    "encoder": "resnet-small",
    "width": 0.25,
    "batch_size": 16,
    "epochs": 1,
    "threads": 1,
    "quiet": True,
}


def images(count=90, size=8, channels=1, seed=0, labelled=True, name=None):
    """Dark and bright images in noise, opened."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    items = rng.integers(0, 150, (count, channels, size, size)) + 60 * labels[:, None, None, None]
    data = open_data(items.astype(np.uint8), labels=labels if labelled else None)
    return Data(name=name or data.name, train=data.train, test=data.test, note=data.note)


@pytest.fixture
def run(tmp_path):
    return twofold.pretrain("simclr", data=images(), out=tmp_path / "run", **SMALL)


def written(run):
    return json.loads((run.folder / "evaluation.json").read_text())


def arrays(run):
    with np.load(run.folder / "evaluation.npz") as found:
        return dict(found)


def test_several_sets_make_a_table_of_transfer(run):
    own = run.evaluate(quiet=True)
    sets = [images(seed=seed, name=name) for seed, name in ((1, "a"), (2, "b"), (3, "b"))]
    found = run.evaluate(sets, probes=["knn"], k=3, quiet=True)
    assert list(found["transfer"]) == ["a", "b (1)", "b (2)"]
    for data, figures in zip(sets, found["transfer"].values(), strict=True):
        alone = twofold.Run(run.folder).evaluate([data], probes=["knn"], k=3, quiet=True)
        assert alone["knn"] == figures["knn"]
        assert figures["knn"]["protocol"]["fingerprint"] == data.test.fingerprint()
    run.evaluate(quiet=True)
    assert written(run) == own | found


def test_a_set_that_does_not_fit_is_named_before_anything_is_computed(run):
    for wrong, words in [
        (images(channels=3, name="colour"), r"'colour' does not fit: .*this encoder reads \(batch"),
        (images(size=12, name="large"), r"'large' does not fit: .*12x12 .*reads 8x8; give"),
    ]:
        with pytest.raises(TwofoldError, match=words):
            run.evaluate([images(), wrong], quiet=True)
    with pytest.raises(TwofoldError, match="'array' has no labels, and knn needs one"):
        run.evaluate([images(), images(labelled=False)], probes=["knn"], quiet=True)
    with pytest.raises(TwofoldError, match="unknown option 'kk'"):
        run.evaluate(kk=3, quiet=True)
    assert not (run.folder / "evaluation.json").exists()


def test_probes_add_up_as_long_as_the_items_are_the_same(run):
    run.evaluate(quiet=True)
    before = written(run)
    run.evaluate(probes=["health", "retrieval"], ks=(1,), quiet=True)
    assert written(run).keys() == {"knn", "linear", "health", "retrieval"}
    assert written(run)["knn"] == before["knn"]
    assert "predictions" in arrays(run)
    other = images(seed=5)
    run.evaluate(other, probes=["health"], quiet=True)
    assert written(run).keys() == {"health"}
    assert written(run)["health"]["protocol"]["fingerprint"] == other.test.fingerprint()
    assert "predictions" not in arrays(run)


def test_what_is_no_probe_stays(run):
    path = run.folder / "evaluation.json"
    path.write_text(json.dumps({"prescription": {"protocol": {}}, "transfer": {"a": {}}}))
    run.evaluate(probes=["health"], quiet=True)
    assert written(run).keys() == {"prescription", "transfer", "health"}


def test_data_are_opened_with_the_split_of_the_run(run, tmp_path):
    items = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "file.npz", images=items, labels=np.arange(60) % 2)
    path = str(tmp_path / "file.npz")
    found = run.evaluate(path, probes=["knn"], quiet=True)
    data = open_data(path, seed=run.config.settings.seed)
    assert found == run.evaluate(data, probes=["knn"], quiet=True)
    assert run.evaluate([path], probes=["knn"], quiet=True) == found
    assert run.evaluate(items, quiet=True).keys() == {"health"}


def test_baselines_are_left_out_on_demand(run):
    figures = run.evaluate(baselines=False, probes=["linear"], quiet=True)
    assert set(figures["linear"]) == {"accuracy", "auc", "protocol"}


def test_an_encoder_by_name_is_compared_with_other_random_weights():
    data = images()
    found = evaluate_by_name("resnet-small", [data], probes=["knn"], seed=4, quiet=True)
    assert set(found["knn"]) == {"protocol"} | {
        f"{metric}{end}" for metric in ("accuracy", "auc") for end in ("", "_raw", "_untrained")
    }
    assert found == evaluate_by_name("resnet-small", [data], probes=["knn"], seed=4, quiet=True)
    network = twofold.build_encoder("resnet-small", channels=1, image_size=8)
    by_hand = evaluate(network, data, measure(data.train.items), probes=["knn"])
    assert found["knn"]["accuracy_raw"] == by_hand.figures["knn"]["accuracy_raw"]
    other = images(channels=3, size=12, name="colour")
    several = evaluate_by_name("resnet-small", [data, other], probes=["knn"], seed=4, quiet=True)
    assert several["transfer"][data.name]["knn"] == found["knn"]
    assert several["transfer"].keys() == {data.name, "colour"}


def test_published_weights_are_compared_with_random_ones(monkeypatch):
    asked = []

    def build(name, *, channels, rows, image_size, pretrained):
        asked.append(pretrained)
        return twofold.build_encoder("resnet-small", channels=channels, image_size=image_size)

    monkeypatch.setattr("twofold.evaluation.build_encoder", build)
    evaluate_by_name("timm/resnet18", [images()], pretrained=True, probes=["knn"], quiet=True)
    assert asked == [True, False]


@pytest.fixture
def saved(tmp_path):
    """Writes arrays to a file of embeddings and returns its path."""

    def save(name="e", **arrays):
        classes = np.arange(60) % 3
        points = np.eye(3, 5)[classes] + 0.1 * np.random.default_rng(0).normal(size=(60, 5))
        np.savez(tmp_path / f"{name}.npz", **{"embeddings": points, "labels": classes} | arrays)
        return tmp_path / f"{name}.npz"

    return save


def test_items_are_split_by_their_ids_as_any_others(saved):
    ids = [f"item{i}" for i in range(60)]
    data = open_embeddings([saved(ids=np.array(ids))], test_fraction=0.3, seed=2)
    source = twofold.Source(name="x", items=np.zeros((60, 1, 2, 2)), ids=ids)
    train, test = split(source, test_fraction=0.3, seed=2)
    assert (data.train.ids, data.test.ids) == (train.ids, test.ids)
    assert data.train.labels.tolist() == [int(name[4:]) % 3 for name in train.ids]
    assert data.train.items.shape == (42, 5, 1, 1)


def test_a_split_in_the_file_is_kept(saved):
    part = np.where(np.arange(60) < 45, "train", "test")
    ids = np.concatenate([np.arange(45), np.arange(15)]).astype(str)  # each part counts from 0
    data = open_embeddings([saved(part=part, ids=ids)])
    assert (len(data.train), len(data.test)) == (45, 15)
    assert data.test.ids == list(map(str, range(15)))


def test_a_second_file_holds_the_test_items(saved):
    strings = np.array(["cat", "dog", "eel"])[np.arange(60) % 3]
    first = saved("first", labels=strings)
    second = saved("second", labels=np.where(strings == "eel", "cat", strings))
    data = open_embeddings([first, second])
    assert data.train.label_names == data.test.label_names == ("cat", "dog", "eel")
    assert set(data.test.labels.tolist()) == {0, 1}
    found = evaluate_files([first, second], probes=["linear"], quiet=True)
    assert found == evaluate_embeddings(data, probes=["linear"]).figures
    assert found["linear"]["accuracy"]["n"] == 60


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "there are 0 files of embeddings; give one, or one to train on"),
        ([{}, {}, {}], "there are 3 files"),
        ([{}, {"embeddings": np.ones((60, 7))}], "of 7 features and .* of 5; both must be of one"),
        ([{"labels": np.zeros(3)}], "there must be one for each"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(saved, files, words):
    paths = [saved(str(number), **given) for number, given in enumerate(files)]
    with pytest.raises(TwofoldError, match=words):
        evaluate_files(paths, quiet=True)


def test_one_set_has_no_name():
    found = evaluate_embeddings(images(), probes=["health"])
    assert together([images()], [found]) == found.figures
