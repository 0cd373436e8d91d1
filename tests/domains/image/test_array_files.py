import pickle

import h5py
import numpy as np
import pytest

from twofold.domains.array_files import Keys, given_labels
from twofold.domains.image import open_data
from twofold.domains.image.array_files import open_array_file
from twofold.errors import TwofoldError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
TEST_IMAGES = 255 - IMAGES[:5]
CLASSES = np.arange(12) % 3


def write(folder, suffix, **arrays):
    """A .npz or .h5 file; a double underscore in a name stands for a group."""
    path = folder / f"set{suffix}"
    named = {key.replace("__", "/"): value for key, value in arrays.items()}
    if suffix == ".npz":
        np.savez(path, **named)
    else:
        with h5py.File(path, "w") as file:
            for key, value in named.items():
                file[key] = value.astype("S") if value.dtype.kind == "U" else value
    return path


both = pytest.mark.parametrize("suffix", [".npz", ".h5"])


def test_npy_files_are_mapped_not_read(tmp_path):
    np.save(tmp_path / "set.npy", IMAGES)
    (source,), _ = open_array_file(tmp_path / "set.npy")
    assert isinstance(source.items, np.memmap)
    assert np.array_equal(source.items[:, 0], IMAGES)
    assert (source.name, source.ids[:2]) == ("set", ("0", "1"))


def test_npy_files_in_column_order_and_big_endian(tmp_path):
    array = np.asfortranarray(IMAGES.astype(">f4"))
    np.save(tmp_path / "set.npy", array)
    (source,), _ = open_array_file(tmp_path / "set.npy")
    assert source.items.dtype == np.float32
    assert source.items.dtype.isnative
    assert np.array_equal(source.items[:, 0], IMAGES)


@both
def test_the_only_images_of_a_file_are_found_with_labels_and_ids(tmp_path, suffix):
    ids = np.array([f"é{i}" for i in range(12)]) if suffix == ".npz" else np.arange(100, 112)
    path = write(
        tmp_path, suffix, scans=IMAGES, y=CLASSES[:, None] + 5, ids=ids, weight=CLASSES / 7
    )
    (source,), notes = open_array_file(path)
    assert np.array_equal(source.items[:, 0], IMAGES)
    assert source.labels.tolist() == CLASSES.tolist()
    assert source.label_names == ("5", "6", "7")
    assert list(source.ids) == [str(id) for id in ids]
    assert notes == ()


@both
@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("train__image", "train__target", "test__image", "test__target"),
        ("X-train", "y-train", "X-val", "y-val"),
    ],
)
def test_train_and_test_arrays_are_the_given_split(tmp_path, suffix, names):
    arrays = (IMAGES, np.array(["b", "c", "a"])[CLASSES], TEST_IMAGES, np.array(list("aabbc")))
    path = write(tmp_path, suffix, **dict(zip(names, arrays, strict=True)))
    data = open_data(path)
    assert np.array_equal(data.train.items[:, 0], IMAGES)
    assert np.array_equal(data.test.items[:, 0], TEST_IMAGES)
    assert data.train.label_names == data.test.label_names == ("a", "b", "c")
    assert data.train.labels.tolist() == [(1, 2, 0)[i] for i in CLASSES]
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2]
    assert "given split 12 + 5" in data.note


@both
def test_the_images_are_chosen_by_key(tmp_path, suffix):
    path = write(tmp_path, suffix, raw=IMAGES, masks=IMAGES > 9, labels=CLASSES, other=CLASSES > 0)
    with pytest.raises(TwofoldError, match=r"name one by key= .*raw \(12, 8, 8\) uint8") as caught:
        open_array_file(path)
    assert "\n" not in str(caught.value)
    (source,), _ = open_array_file(path, Keys("masks", "other"))
    assert source.items.dtype == bool
    assert source.label_names == ("0", "1")
    for option in ("key", "label_key"):
        chosen = {"key": "raw", option: "mask"}
        with pytest.raises(TwofoldError, match="has no array 'mask'; did you mean 'masks'"):
            open_array_file(path, Keys(**chosen))


def test_a_key_and_a_label_key_bring_their_test_halves(tmp_path):
    path = write(
        tmp_path,
        ".h5",
        train__a=IMAGES,
        train__b=IMAGES,
        train__fine=CLASSES,
        test__a=TEST_IMAGES,
        test__b=TEST_IMAGES,
        test__fine=CLASSES[:5],
        val__a=TEST_IMAGES,
    )
    opened = open_array_file(path, Keys("/train/a", "train/fine"))
    assert [len(source) for source in opened.sources] == [12, 5]
    assert opened.sources[1].labels.tolist() == [0, 1, 2, 0, 1]
    assert opened.notes == ("val/a is not used",)
    (alone,), _ = open_array_file(path, Keys("test/a"))
    assert np.array_equal(alone.items[:, 0], TEST_IMAGES)


def test_labels_that_were_not_asked_for_and_are_no_classes_are_mentioned(tmp_path):
    path = write(tmp_path, ".npz", images=IMAGES, targets=np.full(12, np.nan))
    (source,), notes = open_array_file(path)
    assert source.labels is None
    assert notes[0].startswith("not used as labels: targets holds NaN")
    with pytest.raises(TwofoldError, match="targets holds NaN"):
        open_array_file(path, Keys(label_key="targets"))


def test_labels_of_variable_length_strings(tmp_path):
    with h5py.File(tmp_path / "set.hdf5", "w") as file:
        file["images"] = IMAGES
        file["labels"] = np.array(["ünder", "über"] * 6, dtype=object)
    (source,), _ = open_array_file(tmp_path / "set.hdf5")
    assert source.label_names == ("über", "ünder")


def test_whole_numbers_of_train_and_test_share_their_type(tmp_path):
    big = TEST_IMAGES.astype(int)
    big[0, 0, 0] = 300
    path = write(tmp_path, ".npz", x_train=IMAGES.astype(int), x_test=big)
    assert {source.items.dtype.name for source in open_array_file(path).sources} == {"uint16"}
    path = write(tmp_path, ".npz", x_train=IMAGES, x_test=TEST_IMAGES / 255)
    with pytest.raises(TwofoldError, match=r"holds uint8 and x_test of .* float64; .* same type"):
        open_array_file(path)


def test_labels_may_be_a_file(tmp_path):
    np.save(tmp_path / "labels.npy", CLASSES)
    assert given_labels(str(tmp_path / "labels.npy")).values.tolist() == CLASSES.tolist()
    assert given_labels(["a", "b"]).values.tolist() == ["a", "b"]
    assert given_labels(None) is None
    with pytest.raises(TwofoldError, match=r"there is no file '.*label.npy'"):
        given_labels(tmp_path / "label.npy")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


def test_pickles_are_never_run(tmp_path):
    objects = np.array([Bomb(), None], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "c.npz", images=IMAGES, labels=objects)
    np.savez(tmp_path / "d.npz", images=objects)
    (tmp_path / "e.npz").write_bytes(pickle.dumps(Bomb()))
    for name in "abcde":
        path = next(tmp_path.glob(f"{name}.*"))
        with pytest.raises(
            TwofoldError, match=r"pickled objects|holds no images|magic string|not a zip file"
        ) as caught:
            open_array_file(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("content", [b"", b"not an array file at all", b"PK\x03\x04 half"])
def test_damaged_files_are_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"set{suffix}"
    path.write_bytes(content)
    with pytest.raises(TwofoldError, match=r"cannot read '.*set") as caught:
        open_array_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_truncated_files_are_refused(tmp_path, suffix):
    if suffix == ".npy":
        path = tmp_path / "set.npy"
        np.save(path, IMAGES)
    else:
        path = write(tmp_path, suffix, images=IMAGES)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(TwofoldError, match="cannot read"):
        open_array_file(path)


@both
def test_a_file_without_images_says_what_it_holds(tmp_path, suffix):
    path = write(tmp_path, suffix, table=np.zeros((5, 9)))
    with pytest.raises(TwofoldError, match=r"holds no images .* but table \(5, 9\) float64"):
        open_array_file(path)


def test_labels_are_named_once(tmp_path):
    path = write(tmp_path, ".npz", images=IMAGES, a=CLASSES)
    with pytest.raises(TwofoldError, match="give one of them"):
        open_array_file(path, Keys(label_key="a"), CLASSES)
