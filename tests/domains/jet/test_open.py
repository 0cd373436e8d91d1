import h5py
import numpy as np
import pytest
import torch
from toy_jets import jets_of, make_jets, same_jets, write_jets

from twofold.domains import Source
from twofold.domains.jet import open_data
from twofold.domains.sparse import SparseItems
from twofold.errors import TwofoldError

JETS, CLASSES, MASSES = make_jets()


def labels_of(data):
    return {
        id: part.label_names[label] if part.label_names else label
        for part in (data.train, data.test)
        for id, label in zip(part.ids, part.labels.tolist(), strict=True)
    }


def test_the_standard_file(jets_file):
    data = open_data(jets_file, test_fraction=0.25)
    assert same_jets(data, JETS)
    assert data.train.items.dtype == np.float32
    assert isinstance(data.train.items, SparseItems)
    assert isinstance(data.train.items.values, np.memmap)
    assert data.train.label_names == data.test.label_names == ("gluon", "quark")
    assert labels_of(data) == {str(i): ("gluon", "quark")[c] for i, c in enumerate(CLASSES)}
    assert (data.train.domain, data.test.domain) == ("jet", "jet")
    occupancy = 100 * np.mean(JETS != 0)
    assert data.note == (
        "jets: 24 jets of 3x16x16 float32, 2 classes; random split 18 + 6 (seed 0); "
        f"{occupancy:.3g} % of the cells are hit"
    )


@pytest.mark.parametrize("label_key", ["m0", "pt"])
def test_numbers_to_regress_have_their_unit(jets_file, label_key):
    data = open_data(jets_file, label_key=label_key)
    assert data.train.labels.dtype == np.float32
    assert data.train.label_unit == data.test.label_unit == "GeV"
    assert data.train.classes == 0
    scale = 10 if label_key == "pt" else 1
    assert labels_of(data) == {str(i): float(scale * mass) for i, mass in enumerate(MASSES)}
    assert "labels in GeV" in data.note


def test_numbers_with_a_unit_stay_numbers_even_if_they_are_whole(tmp_path):
    path = write_jets(tmp_path / "jets.h5", JETS, m0=np.full(24, 80.0))
    data = open_data(path, label_key="m0")
    assert data.train.labels.tolist() == [80.0] * len(data.train)
    assert data.train.labels.dtype == np.float32


def test_named_classes_keep_their_order(tmp_path):
    path = write_jets(tmp_path / "jets.h5", JETS, y=CLASSES)
    with h5py.File(path, "a") as file:
        file["y"].attrs["classes"] = ["top", "qcd", "unseen"]
    data = open_data(path)
    assert data.train.label_names == ("top", "qcd", "unseen")
    assert labels_of(data) == {str(i): ("top", "qcd")[c] for i, c in enumerate(CLASSES)}
    with h5py.File(path, "a") as file:
        file["y"].attrs["classes"] = ["top"]
    with pytest.raises(TwofoldError, match=r"y numbers classes from 0 to 1, .* names 1 \(top\)"):
        open_data(path, label_key="y")
    assert "not used as labels: y numbers classes" in open_data(path).note
    with h5py.File(path, "a") as file:
        file["y"].attrs["classes"] = 2
    assert open_data(path).train.label_names == ("0", "1")


def test_files_without_labels(tmp_path):
    data = open_data(write_jets(tmp_path / "jets.h5", JETS))
    assert data.train.labels is None
    assert "no labels" in data.note


def test_keys_may_be_given(tmp_path):
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["calo/images"] = JETS
        file["calo/other"] = 2 * JETS
        file["truth/is_top"] = CLASSES.astype(bool)
        file["ids"] = np.array([f"event {i}" for i in range(24)], dtype="S")
    data = open_data(tmp_path / "odd.h5", key="calo/other", label_key="truth/is_top")
    assert np.array_equal(jets_of(data)["event 7"], 2 * JETS[7])
    assert labels_of(data)["event 7"] == "1"
    with pytest.raises(TwofoldError, match=r"could be the jets; name one by key= \(calo/images"):
        open_data(tmp_path / "odd.h5")


def test_x_jets_wins_over_other_images(tmp_path):
    path = write_jets(tmp_path / "jets.h5", JETS, masks=JETS)
    assert same_jets(open_data(path), JETS)


@pytest.mark.parametrize("names", ["X_jets_{}", "{}/X_jets"])
def test_train_and_test_arrays_are_the_given_split(tmp_path, names):
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file[names.format("train")] = JETS[:16]
        file[names.format("test")] = JETS[16:]
        file[names.format("train").replace("X_jets", "y")] = CLASSES[:16]
        file[names.format("test").replace("X_jets", "y")] = CLASSES[16:]
    data = open_data(tmp_path / "jets.h5")
    assert np.array_equal(data.train.items[:], JETS[:16])
    assert np.array_equal(data.test.items[:], JETS[16:])
    assert data.test.labels.tolist() == CLASSES[16:].tolist()
    assert "given split 16 + 8" in data.note


def test_arrays_tensors_and_other_files_give_the_same(tmp_path, jets_file):
    np.save(tmp_path / "jets.npy", JETS)
    np.savez(tmp_path / "jets.npz", X_jets=np.moveaxis(JETS, 1, -1), y=CLASSES)
    fingerprint = open_data(jets_file, label_key="m0").train.fingerprint()
    for given in (JETS, torch.from_numpy(JETS), tmp_path / "jets.npy", tmp_path / "jets.npz"):
        labels = None if str(given).endswith("z") else CLASSES
        data = open_data(given, labels=labels)
        assert same_jets(data, JETS)
        assert labels_of(data)["3"] == "1"
        if labels is not None:
            assert open_data(given, labels=MASSES).train.fingerprint() == fingerprint


def test_sources_and_data_pass_through(jets_file):
    data = open_data(jets_file)
    assert open_data(data) is data
    again = open_data(data.train, test=data.test)
    assert again.train is data.train
    assert again.test is data.test
    source = Source(name="dense", items=JETS, ids=[str(i) for i in range(24)], domain="jet")
    assert same_jets(open_data(source), JETS)


def test_a_test_set_may_be_given(tmp_path, jets_file):
    other = write_jets(tmp_path / "other.h5", JETS[:5] * 2, y=CLASSES[:5])
    data = open_data(jets_file, test=other)
    assert (len(data.train), len(data.test)) == (24, 5)
    assert np.array_equal(data.test.items[:], JETS[:5] * 2)
    assert "test set: " in data.note


@pytest.mark.parametrize("given", ["folder", "list"])
def test_several_files_are_taken_together(tmp_path, given):
    folder = tmp_path / "many"
    (folder / "more").mkdir(parents=True)
    paths = [folder / "b.h5", folder / "more" / "c.hdf5", folder / "a.h5"]
    for number, path in enumerate(paths):
        part = slice(8 * number, 8 * number + 8)
        write_jets(path, JETS[part], y=CLASSES[part], m0=MASSES[part])
    (folder / ".b.h5").write_bytes(b"hidden")
    (folder / "notes.txt").write_text("not jets")
    data = open_data(folder if given == "folder" else paths)
    found = jets_of(data)
    assert np.array_equal(found["b.h5:7"], JETS[7])
    assert np.array_equal(found["more/c.hdf5:0"], JETS[8])
    assert np.array_equal(found["a.h5:1"], JETS[17])
    assert labels_of(data)["a.h5:1"] == "quark"
    assert len(found) == 24
    assert data.name == "many"
    assert open_data(folder, label_key="m0").train.label_unit == "GeV"


def test_files_may_be_the_train_and_the_test_set(tmp_path):
    for name, part in {"train_1": slice(8), "train_2": slice(8, 16), "test": slice(16, 24)}.items():
        write_jets(tmp_path / f"{name}.h5", JETS[part], y=CLASSES[part])
    write_jets(tmp_path / "val.h5", JETS)
    data = open_data(tmp_path)
    assert np.array_equal(data.train.items[:], JETS[:16])
    assert np.array_equal(data.test.items[:], JETS[16:])
    assert "given split 16 + 8" in data.note
    assert "val.h5' is not used" in data.note


def test_labels_that_some_files_lack_are_not_used(tmp_path):
    write_jets(tmp_path / "labelled.h5", JETS, y=CLASSES)
    write_jets(tmp_path / "unlabelled.h5", JETS)
    data = open_data(tmp_path)
    assert data.train.labels is None
    assert "labels are not used: X_jets of" in data.note


@pytest.mark.parametrize(
    ("jets", "columns", "message"),
    [
        (JETS[..., :8], {"y": CLASSES}, r"3x16x16 float32 and .* 3x16x8 float32; .* alike"),
        (JETS.astype("f8"), {"y": CLASSES}, r"3x16x16 float32 and .* 3x16x16 float64; .* alike"),
        (
            JETS,
            {"labels": MASSES},
            r"labels of .*b.h5' are numbers, those of .*a.h5' names; .* alike",
        ),
        (JETS, {"labels": CLASSES}, r"labels of .*b.h5' are class numbers, those of .* names;"),
    ],
)
def test_files_that_are_not_alike_are_refused(tmp_path, jets, columns, message):
    write_jets(tmp_path / "a.h5", JETS, y=CLASSES)
    write_jets(tmp_path / "b.h5", jets, **columns)
    with pytest.raises(TwofoldError, match=message) as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "X_jet"}, r"has no array 'X_jet'; did you mean 'X_jets'\?"),
        ({"label_key": "mass"}, r"has no array 'mass';.* \(it holds X_jets .*; m0 .*; pt .*; y "),
        ({"image_size": 40}, r"image_size is 40, but data holds arrays of 16x16"),
        ({"labels": [1, 2]}, r"holds 24 jets, but there are 2 labels; there must be one for each"),
        ({"labels": CLASSES, "label_key": "y"}, "both name the labels"),
        ({"test_labels": CLASSES}, "test_labels belong to a test set"),
        ({"test": "digits"}, "'digits' holds images, not jets"),
        ({"test_fraction": 1.5}, r"test_fraction is 1.5; it must be in \(0, 1\)"),
    ],
)
def test_wrong_options_are_refused(jets_file, options, message):
    with pytest.raises(TwofoldError, match=message) as caught:
        open_data(jets_file, **options)
    assert "\n" not in str(caught.value)


def test_wrong_data_are_refused(tmp_path, jets_file):
    (tmp_path / "empty").mkdir()
    for data, options, message in (
        ("digits", {}, "'digits' holds images, not jets"),
        (tmp_path / "jet.h5", {}, r"jet.h5' does not exist; did you mean '.*jets.h5'\?"),
        (tmp_path / "empty", {}, r"empty' holds no .h5 or .hdf5 files"),
        ([], {}, "data is a list of nothing; a list names files"),
        ([JETS[0]], {}, r"data is a list of ndarray; a list names files \(np.stack"),
        ([jets_file, tmp_path / "empty"], {}, "empty' is a folder; give a folder alone"),
        ([jets_file, jets_file], {"labels": CLASSES}, "each of several files has its own"),
        ([jets_file, jets_file], {}, "the id 'jets.h5:0' of .* occurs more than once"),
        ({"X_jets": JETS}, {}, "data is a dict; jets come from a path"),
        (JETS, {"key": "X_jets"}, "key is 'X_jets', but only .npz, .h5, .hdf5 files"),
        (
            Source(name="a", items=JETS, ids=list(map(str, range(24)))),
            {"labels": CLASSES},
            "carries",
        ),
    ):
        with pytest.raises(TwofoldError, match=message) as caught:
            open_data(data, **options)
        assert "\n" not in str(caught.value)
