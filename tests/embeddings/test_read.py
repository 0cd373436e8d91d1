"""Files of embeddings: what is read from them, and what is refused in one line."""

import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from twofold.embeddings import read_embeddings
from twofold.errors import TwofoldError

ROWS = np.arange(12, dtype=np.float64).reshape(4, 3)


def npz(folder, **arrays):
    path = folder / "e.npz"
    np.savez(path, **{"embeddings": ROWS, **arrays})
    return path


def parquet(folder, **columns):
    path = folder / "e.parquet"
    columns = {"embedding": ROWS.tolist(), **columns}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_embeddings_alone_are_numbered(tmp_path):
    for path in (npz(tmp_path), parquet(tmp_path)):
        found = read_embeddings(path)
        assert found.embeddings.dtype == np.float32
        assert np.array_equal(found.embeddings, ROWS)
        assert found.ids.tolist() == ["0", "1", "2", "3"]
        assert (found.labels, found.label_names, found.part, found.paths) == (None, (), None, None)


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        (["b", "a", "b", "c"], [1, 0, 1, 2], ("a", "b", "c")),
        ([5, 3, 5, 9], [1, 0, 1, 2], ("3", "5", "9")),
        ([0.5, 1.0, -2.0, 3.0], [0.5, 1.0, -2.0, 3.0], ()),
        ([[0.5, 1.0]] * 4, [[0.5, 1.0]] * 4, ()),
    ],
)
def test_labels_of_every_kind(tmp_path, labels, codes, names):
    for path in (npz(tmp_path, labels=labels), parquet(tmp_path, label=labels)):
        found = read_embeddings(path)
        assert found.labels.tolist() == codes
        assert found.labels.dtype == (np.int64 if names else np.float32)
        assert found.label_names == names


def test_label_names_keep_their_numbers(tmp_path):
    found = read_embeddings(npz(tmp_path, labels=[2, 0, 2, 0], label_names=["z", "y", "x"]))
    assert found.labels.tolist() == [2, 0, 2, 0]
    assert found.label_names == ("z", "y", "x")


def test_ids_parts_and_paths(tmp_path):
    ids, part, path = [1, 2, 1, 2], ["train", "train", "test", "test"], list("wxyz")
    for file in (
        npz(tmp_path, ids=ids, part=part, path=path),
        parquet(tmp_path, id=ids, part=part, path=path),
    ):
        found = read_embeddings(file)  # ids are unique in each part
        assert found.ids.tolist() == ["1", "2", "1", "2"]
        assert found.part.tolist() == part
        assert found.paths.tolist() == path
        assert found.take(np.array([3, 0])).paths.tolist() == ["z", "w"]


def test_columns_of_any_list_type_and_dictionaries_are_read(tmp_path):
    for kind in (
        pyarrow.list_(pyarrow.float32(), 3),
        pyarrow.list_(pyarrow.float16()),
        pyarrow.large_list(pyarrow.float64()),
    ):
        rows = pyarrow.array([list(np.float16(row)) for row in ROWS], kind)
        label = pyarrow.array(["b", "a", "b", "a"]).dictionary_encode()
        found = read_embeddings(parquet(tmp_path, embedding=rows, label=label))
        assert np.array_equal(found.embeddings, ROWS)
        assert found.labels.tolist() == [1, 0, 1, 0]


def test_several_row_groups_are_one_table(tmp_path):
    path = tmp_path / "e.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"embedding": ROWS.tolist()}), path, row_group_size=1)
    assert np.array_equal(read_embeddings(path).embeddings, ROWS)


NAN, HUGE = ROWS.copy(), ROWS.copy()
NAN[2, 1], HUGE[3, 0] = np.nan, 1e300


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"embeddings": NAN}, "1 of 4 embeddings hold NaN or infinity, the first in row 2"),
        ({"embeddings": HUGE}, "the first in row 3"),
        ({"embeddings": ROWS[0]}, "float64 of shape (3,); they must be numbers (n, dim)"),
        ({"embeddings": ROWS[:0]}, "neither of them 0"),
        ({"embeddings": ROWS.astype(str)}, "they must be numbers"),
        ({"embeddings": ROWS.astype(object)}, "holds pickled objects, which could run code"),
        ({"ids": np.array([{}] * 4)}, "holds pickled objects, which could run code"),
        ({"ids": list("abca")}, "the id 'a' occurs more than once"),
        ({"ids": list("abab"), "part": ["train"] * 3 + ["test"]}, "the id 'a' occurs"),
        ({"ids": list("abc")}, "ids has shape (3,) for 4 embeddings"),
        ({"ids": ROWS[:, 0]}, "ids is float64"),
        ({"labels": [0, 1, 2]}, "labels has shape (3,) for 4 embeddings"),
        ({"labels": [0, 1, 2, 3], "label_names": ["a", "b"]}, "must be from 0 to 1"),
        ({"labels": [np.nan, 0.5, 1, 2]}, "NaN or infinite labels"),
        ({"part": ["train", "test", "val", "test"]}, "part is 'val' for some items"),
        ({"part": ["train"]}, "part has shape (1,)"),
        ({"path": list("abc")}, "path has shape (3,)"),
    ],
)
def test_a_wrong_npz_file_is_refused_in_one_line(tmp_path, arrays, words):
    refused(npz(tmp_path, **arrays), words)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"embedding": [[1.0, 2.0], [3.0], [4.0], [5.0]]}, "have 1 to 2 values"),
        ({"embedding": [[1.0], None, [2.0], [3.0]]}, "1 values of column embedding are missing"),
        ({"embedding": [[1.0], [None], [2.0], [3.0]]}, "1 values of column embedding are missing"),
        ({"embedding": [1.0, 2.0, 3.0, 4.0]}, "float64 of shape (4,)"),
        ({"embedding": NAN.tolist()}, "the first in row 2"),
        ({"id": ["a", "b", None, "c"]}, "1 values of column id are missing"),
        ({"id": ["a", "b", "c", "a"]}, "the id 'a' occurs more than once"),
        ({"part": ["train", "test", "dev", "test"]}, "part is 'dev'"),
    ],
)
def test_a_wrong_parquet_file_is_refused_in_one_line(tmp_path, columns, words):
    refused(parquet(tmp_path, **columns), words)


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path):
    whole = npz(tmp_path)
    np.savez(tmp_path / "other.npz", features=ROWS)
    np.save(tmp_path / "array.npy", ROWS)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    pyarrow.parquet.write_table(pyarrow.table({"vector": [1]}), tmp_path / "other.parquet")
    for name, words in {
        "other.npz": "no array 'embeddings' (n, dim); it holds features",
        "other.parquet": "no column 'embedding'; it holds vector",
        "array.npz": "cannot read",
        "cut.npz": "cannot read",
        "cut.parquet": "cannot read",
        "f.npz": "does not exist; did you mean",
        "e.csv": "must end in .npz or .parquet",
    }.items():
        refused(tmp_path / name, words)


def test_changed_contents_are_noticed(tmp_path):
    path = npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(ROWS[2].tobytes())] ^= 1
    path.write_bytes(content)
    refused(path, "cannot read")


def test_ids_of_bytes_are_names(tmp_path):
    found = read_embeddings(parquet(tmp_path, id=[b"a", "\u00e9".encode(), b"\xff", b"b"]))
    assert found.ids.tolist() == ["a", "\u00e9", "\udcff", "b"]


def test_what_another_process_cannot_read_is_not_read_here(tmp_path, monkeypatch):
    path = parquet(tmp_path)
    contents = bytearray(path.read_bytes())
    contents[4:20] = bytes(16)
    path.write_bytes(contents)
    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", None)
    refused(path, "e.parquet': Couldn't deserialize thrift")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = parquet(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused(path, "needs pyarrow: pip install 'twofold[parquet]'")


def refused(path, words):
    with pytest.raises(TwofoldError) as caught:
        read_embeddings(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
