import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from twofold.domains import Data, Source
from twofold.domains.image import NAMES, open_data
from twofold.errors import TwofoldError

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
LABELS = np.array(["b", "a", "c", "b"] * 10)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_folder(root, count=10, **save):
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(IMAGES[i].transpose(1, 2, 0)).save(root / name / f"{i}.png", **save)
    return root


def test_arrays_are_split_with_their_labels():
    data = open_data(IMAGES, labels=LABELS, test_fraction=0.25, seed=3)
    assert isinstance(data, Data)
    assert data.train.label_names == ("a", "b", "c")
    for source in (data.train, data.test):
        index = [int(id) for id in source.ids]
        assert np.array_equal(source.items, IMAGES[index])
        assert [source.label_names[i] for i in source.labels] == LABELS[index].tolist()
    assert data.note == (
        "array: 40 images of 3x8x8 uint8, 3 classes; random split 30 + 10 (seed 3)"
    )


def test_the_same_split_for_an_array_a_tensor_and_a_file(tmp_path):
    np.save(tmp_path / "set.npy", IMAGES)
    ids = {
        open_data(data).test.ids
        for data in (
            IMAGES,
            torch.from_numpy(IMAGES),
            tmp_path / "set.npy",
            str(tmp_path / "set.npy"),
        )
    }
    assert len(ids) == 1
    assert open_data(IMAGES, seed=1).test.ids not in ids


def test_a_test_set_may_be_given_with_classes_of_its_own():
    data = open_data(IMAGES, labels=LABELS, test=IMAGES[:4], test_labels=["d", "c", "a", "d"])
    assert (len(data.train), len(data.test)) == (40, 4)
    assert data.train.label_names == data.test.label_names == ("a", "b", "c", "d")
    assert data.test.labels.tolist() == [3, 2, 0, 3]
    assert data.train.labels.tolist() == [1, 0, 2, 1] * 10
    assert "given split 40 + 4" in data.note


def test_a_test_set_of_its_own_replaces_the_one_that_came_along(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=IMAGES, x_test=IMAGES[:7])
    data = open_data(tmp_path / "set.npz", test=IMAGES[:3])
    assert len(data.test) == 3
    assert "its own test part (7) is not used" in data.note
    with pytest.raises(TwofoldError, match="test= has a train and a test part itself"):
        open_data(IMAGES, test=tmp_path / "set.npz")


def test_a_test_folder_is_decoded_to_the_size_of_the_train_folder(tmp_path):
    train = write_folder(tmp_path / "one")
    other = tmp_path / "two"
    other.mkdir()
    Image.fromarray(np.full((30, 40, 3), 7, np.uint8)).save(other / "a.png")
    data = open_data(train, test=other)
    assert data.test.items.shape == (1, 3, 8, 8)
    assert open_data(train, test=other, image_size=6).test.items.shape == (1, 3, 6, 6)


def test_sources_and_data_pass_through():
    source = Source("mine", IMAGES, [f"id{i}" for i in range(40)])
    data = open_data(source)
    assert set(data.train.ids) | set(data.test.ids) == set(source.ids)
    assert open_data(data) is data
    assert open_data(source, test=source).test is source
    with pytest.raises(TwofoldError, match="'mine' has a test set already"):
        open_data(data, test=IMAGES)


def test_names_win_over_folders_and_dot_slash_over_names(here):
    write_folder(here / "digits")
    assert len(open_data("digits").train) == 1438
    assert len(open_data("./digits").train) == 16


def test_home_is_expanded(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    np.save(here / "set.npy", IMAGES)
    assert len(open_data("~/set.npy").train) == 32


def test_one_seed_gives_one_split_of_a_folder(tmp_path):
    root = write_folder(tmp_path / "set")
    assert open_data(root).test.ids == open_data(root).test.ids
    assert open_data(root).train.fingerprint() == open_data(root).train.fingerprint()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("fashion-mnst", r"unknown data 'fashion-mnst'; did you mean 'fashion-mnist'\?"),
        ("cifar10", r"unknown data 'cifar10' \(known: digits, fashion-mnist, or the path"),
        ("photo", "did you mean 'photos'"),
        ("photo/", "'photo/' does not exist; did you mean 'photos'"),
        ("./photo", "'./photo' does not exist; did you mean 'photos'"),
        ("scan.npy", "'scan.npy' does not exist; did you mean 'scans.npy'"),
        ("nowhere/at/all", "'nowhere/at/all' does not exist; check the path"),
        ("photos/cat/0.png", "is a single image; give the folder"),
        ("model.pt", "opens no .pt files; it opens .npy, .npz, .h5"),
        ("", "unknown data ''"),
        ([IMAGES[0], IMAGES[1]], r"data is a list; .* \(np.stack makes an array"),
        (None, "data is a NoneType"),
    ],
)
def test_what_cannot_be_opened_is_told_in_one_line(here, data, message):
    write_folder(here / "photos", count=1)
    np.save(here / "scans.npy", IMAGES)
    (here / "model.pt").write_bytes(b"")
    with pytest.raises(TwofoldError, match=message) as caught:
        open_data(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "images"}, "key is 'images', but only .npz, .h5, .hdf5 files hold arrays by name"),
        ({"label_key": "y"}, "label_key is 'y', but only"),
        ({"labels": LABELS[:7]}, "has 7 labels for 40 items"),
        ({"labels": np.zeros((40, 3))}, r"labels has shape \(40, 3\)"),
        ({"labels": "nowhere.npy"}, "no file 'nowhere.npy'"),
        ({"test_labels": LABELS}, "test_labels belong to a test set"),
        ({"test": IMAGES[:, :1]}, r"have shape \(1, 8, 8\), train items \(3, 8, 8\)"),
        ({"test": IMAGES[:, :, :7]}, r"have shape \(3, 7, 8\)"),
        ({"test": IMAGES / 255}, "have type float64, train items uint8"),
        ({"test": "fashion-mnist"}, "a train and a test part itself"),
        ({"test": "nowhere"}, "unknown data 'nowhere'"),
        ({"test": 3}, "test is a int"),
        ({"test": IMAGES[0]}, "test has shape|have shape"),
        ({"test_fraction": 0}, r"test_fraction is 0; it must be in \(0, 1\)"),
        ({"image_size": 16}, "image_size is 16, but data holds arrays of 8x8"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options, message):
    with pytest.raises(TwofoldError, match=message) as caught:
        open_data(IMAGES, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["digits", "folder", "source"])
def test_labels_are_for_arrays(tmp_path, data):
    known = {
        "folder": write_folder(tmp_path / "set"),
        "source": Source("mine", IMAGES, [str(i) for i in range(40)]),
    }
    with pytest.raises(TwofoldError, match="labels are for arrays; "):
        open_data(known.get(data, data), labels=LABELS)


def test_a_size_that_fits_is_no_mistake():
    assert open_data(IMAGES, image_size=8).train.height == 8


def test_test_classes_without_names_are_refused():
    numbered = Source("numbered", IMAGES, [str(i) for i in range(40)], np.zeros(40, np.int64))
    with pytest.raises(TwofoldError, match="only one of train and test names its classes"):
        open_data(IMAGES, labels=LABELS, test=numbered)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_described(name):
    assert "\n" not in NAMES[name]
    assert len(NAMES[name]) < 90


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_big_file_is_never_read_as_floats(tmp_path):
    """128 MB of bytes: the split copies four fifths; floats would be another 512 MB."""
    np.lib.format.open_memmap(
        tmp_path / "big.npy", mode="w+", dtype=np.uint8, shape=(125_000, 1, 32, 32)
    )
    program = f"""
import resource
from twofold.domains.image import open_data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
open_data({os.fspath(tmp_path / "big.npy")!r}).train.fingerprint()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    grown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert int(grown.stdout) < 350  # MB: the copy, the mapped pages and the interpreter's imports
