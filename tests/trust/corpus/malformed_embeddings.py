"""Embeddings of other systems: ids that occur twice, labels of one class, columns that disagree."""

import io
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from malformed import EVALUATE, Refused, npy, put
from malformed_npy import planted
from malformed_npz import zipped

_ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
_TWO = np.arange(40) % 2


def _npz(name: str, words: str, command: str = EVALUATE, **arrays: object) -> Refused:
    def write(at: Path) -> None:
        np.savez(at / "e.npz", **arrays)

    return Refused(f"embeddings {name}", write, words, "e.npz", command)


def _zip(name: str, contents: bytes, words: str = "cannot read '.*e.npz': .") -> Refused:
    return Refused(f"embeddings {name}", put("e.npz", contents), words, "e.npz", EVALUATE)


def _with(value: float) -> np.ndarray:
    rows = _ROWS.copy()
    rows[3, 1] = value
    return rows


NPZ = [
    _zip("of no bytes", b""),
    _zip("of text", b"not an archive"),
    _zip("of an array of text", zipped({"embeddings.npy": b"hello"})),
    _zip("cut in half", zipped({"embeddings.npy": npy((40, 4), "<f4", data=bytes(640))})[:90]),
    _zip(
        "of 10^12 rows", zipped({"embeddings.npy": npy((10**12, 4), "<f4")}), "asks for more memory"
    ),
    _npz(
        "of pickled objects", "pickled objects, which could run code", embeddings=planted((40, 4))
    ),
    _npz(
        "of pickled ids",
        "pickled objects, which could run code",
        embeddings=_ROWS,
        ids=planted((40,)),
    ),
    _npz(
        "of another name",
        "has no array 'embeddings' \\(n, dim\\); it holds features",
        features=_ROWS,
    ),
    _npz("of nothing", "it holds nothing"),
    _npz("of one dimension", "must be numbers \\(n, dim\\)", embeddings=_ROWS[:, 0]),
    _npz("of three dimensions", "must be numbers \\(n, dim\\)", embeddings=_ROWS[None]),
    _npz("of no rows", "neither of them 0", embeddings=_ROWS[:0]),
    _npz("of no columns", "neither of them 0", embeddings=_ROWS[:, :0]),
    _npz("of words", "must be numbers \\(n, dim\\)", embeddings=np.full((40, 4), "x")),
    _npz("of complex numbers", "must be numbers \\(n, dim\\)", embeddings=_ROWS * 1j),
    _npz("of truths", "must be numbers \\(n, dim\\)", embeddings=_ROWS > 0),
    *(
        _npz(
            f"of {value}",
            "1 of 40 embeddings hold NaN or infinity, the first in row 3; leave",
            embeddings=_with(value),
        )
        for value in (np.nan, np.inf, -np.inf)
    ),
    _npz(
        "beyond float32",
        "40 of 40 embeddings hold NaN or infinity",
        embeddings=np.full((40, 4), 1e300),
    ),
    _npz(
        "of 39 ids",
        "ids has shape \\(39,\\) for 40 embeddings",
        embeddings=_ROWS,
        ids=np.arange(39),
    ),
    _npz(
        "of an id that occurs twice",
        "the id '7' occurs more than once; ids must be unique",
        embeddings=_ROWS,
        ids=np.where(_TWO, 7, np.arange(40)),
    ),
    _npz(
        "of ids in two dimensions",
        "ids is .*; it must be strings",
        embeddings=_ROWS,
        ids=np.zeros((40, 2), int),
    ),
    _npz(
        "of ids that are fractions",
        "ids is float64 .*; it must be strings",
        embeddings=_ROWS,
        ids=_ROWS[:, 0].astype(float),
    ),
    _npz(
        "of 39 labels",
        "labels has shape \\(39,\\) for 40 embeddings",
        embeddings=_ROWS,
        labels=_TWO[:39],
    ),
    _npz("of NaN as label", "NaN or infinite labels", embeddings=_ROWS, labels=np.full(40, np.nan)),
    _npz(
        "of labels in three dimensions",
        "labels must be \\(n,\\)",
        embeddings=_ROWS,
        labels=np.zeros((40, 2, 2), int),
    ),
    _npz(
        "of labels that are no UTF-8",
        "holds text that is no UTF-8",
        embeddings=_ROWS,
        labels=np.array([b"\xff"] * 40),
    ),
    _npz(
        "of more classes than names",
        "labels run from 0 to 1; with 1 label_names they must be from 0 to 0",
        embeddings=_ROWS,
        labels=_TWO,
        label_names=np.array(["cat"]),
    ),
    _npz(
        "of labels below 0",
        "labels run from -1 to 0",
        embeddings=_ROWS,
        labels=_TWO - 1,
        label_names=np.array(["a", "b"]),
    ),
    _npz(
        "of names in two dimensions",
        "label_names is .*; it must be strings",
        embeddings=_ROWS,
        labels=_TWO,
        label_names=np.array([["a", "b"]] * 2),
    ),
    _npz(
        "of no part",
        "part is 'valid' for some items; it must be train or test",
        embeddings=_ROWS,
        labels=_TWO,
        part=np.full(40, "valid"),
    ),
    _npz(
        "of 39 parts",
        "part has shape \\(39,\\) for 40 embeddings",
        embeddings=_ROWS,
        labels=_TWO,
        part=np.full(39, "train"),
    ),
    _npz("without labels", "label", embeddings=_ROWS),
    _npz(
        "of one class",
        "hold 1 class, and telling classes apart takes 2",
        embeddings=_ROWS,
        labels=_TWO * 0,
    ),
    _npz(
        "of one class, clustered",
        "hold 1 class",
        EVALUATE.replace("knn linear", "clustering"),
        embeddings=_ROWS,
        labels=_TWO * 0,
    ),
    _npz(
        "of one class, few-shot",
        "hold 1 class",
        EVALUATE.replace("knn linear", "fewshot"),
        embeddings=_ROWS,
        labels=_TWO * 0,
    ),
    _npz(
        "of a class of one sample, few-shot",
        "classes have the 2 items",
        EVALUATE.replace("knn linear", "fewshot"),
        embeddings=_ROWS,
        labels=np.where(np.arange(40) == 0, 7, _TWO),
    ),
    _npz(
        "of numbers judged as classes",
        "labels of 'e' are numbers to regress, and linear needs classes",
        EVALUATE.replace("knn ", ""),
        embeddings=_ROWS,
        labels=_ROWS[:, 0],
    ),
    _npz("of a single row", "one item|at least", embeddings=_ROWS[:1], labels=_TWO[:1]),
    _npz("of two rows", "k is 20; with 1 items in the bank", embeddings=_ROWS[:2], labels=_TWO[:2]),
    Refused(
        "embeddings that are missing",
        put("e2.npz", b""),
        "e.npz does not exist; did you mean .*e2.npz",
        "e.npz",
        EVALUATE,
    ),
    Refused(
        "embeddings in a folder",
        lambda at: (at / "e.npz").mkdir(),
        "e.npz does not exist",
        "e.npz",
        EVALUATE,
    ),
    Refused(
        "embeddings in a table",
        put("e.csv", "1,2"),
        "its name must end in .npz or .parquet",
        "e.csv",
        EVALUATE,
    ),
]


def _table(
    name: str, words: str, metadata: dict[str, str] | None = None, **columns: object
) -> Refused:
    def write(at: Path) -> None:
        table = pyarrow.table(columns)
        if metadata is not None:
            table = table.replace_schema_metadata(metadata)
        pyarrow.parquet.write_table(table, at / "e.parquet")

    return Refused(f"parquet {name}", write, words, "e.parquet", EVALUATE)


def _bytes(contents: bytes) -> Refused:
    return Refused(
        f"parquet of {len(contents)} bytes",
        put("e.parquet", contents),
        "cannot read '.*e.parquet': .",
        "e.parquet",
        EVALUATE,
    )


def _claims(name: str, before: bytes, count: int, words: str) -> Refused:
    """A number behind some bytes of a sound file says more; the footer is as long as it says."""
    start = _WHOLE.index(before) + len(before)
    end = next(place for place in range(start, len(_WHOLE)) if _WHOLE[place] < 128) + 1
    held = _WHOLE[:start] + _varint(2 * count) + _WHOLE[end:]
    footer = int.from_bytes(held[-8:-4], "little")
    if start > len(_WHOLE) - footer - 8:
        footer += len(held) - len(_WHOLE)
    contents = held[:-8] + footer.to_bytes(4, "little") + held[-4:]
    return Refused(f"parquet {name}", put("e.parquet", contents), words, "e.parquet", EVALUATE)


def _varint(number: int) -> bytes:
    parts = [number >> place & 127 for place in range(0, number.bit_length(), 7)]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def _swells(name: str, rows: int, **columns: object) -> Refused:
    """So many rows that are alike, which take next to nothing in the file."""

    def write(at: Path) -> None:
        zeros = pyarrow.array(np.zeros(rows, np.float32))
        lists = pyarrow.FixedSizeListArray.from_arrays(zeros, 1)
        table = pyarrow.table({"embedding": lists, **columns})
        pyarrow.parquet.write_table(table, at / "e.parquet", compression="zstd")

    return Refused(f"parquet {name}", write, _SWOLLEN, "e.parquet", EVALUATE)


def _wide(at: Path) -> None:
    """A footer that lists 990,000 columns in one group, each of one byte, and ends."""
    schema = b"\x15\x02\x19\x1c\x48\x01a\x15\x00\x00\x16\x00"
    footer = schema + b"\x19\x1c\x19\xfc" + _varint(990_000) + bytes(990_000)
    contents = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    (at / "e.parquet").write_bytes(contents)


def _twice(at: Path) -> None:
    columns = [pyarrow.array(_LISTS)] * 2
    table = pyarrow.Table.from_arrays(columns, ["embedding", "embedding"])
    pyarrow.parquet.write_table(table, at / "e.parquet")


def _parquet() -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"embedding": _LISTS, "label": _TWO}), file)
    return file.getvalue()


_LISTS = _ROWS.tolist()
_WHOLE = _parquet()
_BYTES = pyarrow.parquet.read_metadata(io.BytesIO(_WHOLE)).row_group(0).total_byte_size
_GROUP = b"\x16" + _varint(2 * _BYTES) + b"\x16"
"""What stands before the number of rows of a group."""
_SWOLLEN = "bytes would take more than [0-9]+ MiB of memory; write it again, uncompressed"

PARQUET = [
    _bytes(b""),
    _bytes(b"PAR1"),
    _bytes(b"PAR1" + bytes(100) + b"PAR1"),
    _bytes(_WHOLE[: len(_WHOLE) // 2]),
    _bytes(_WHOLE[:-1]),
    _bytes(_WHOLE[:-300] + bytes(292) + _WHOLE[-8:]),
    _claims("of a group of 2^33 rows", _GROUP, 2**33, "rows, its groups 8589934592"),
    _claims("of a dictionary of 2^31 - 2 bytes", b"PAR1\x15\x04\x15", 2**31 - 2, _SWOLLEN),
    Refused("parquet of 990,000 columns", _wide, _SWOLLEN, "e.parquet", EVALUATE),
    _swells("of 4 * 10^7 rows that are alike", 4 * 10**7),
    _swells(
        "of one long name among short ones", 10**6, id=["x" * 1_000, *map(str, range(1, 10**6))]
    ),
    _swells(
        "of a long class that comes often",
        10**5,
        label=pyarrow.DictionaryArray.from_arrays(np.zeros(10**5, np.int32), ["y" * 20_000]),
    ),
    Refused("parquet of two columns of one name", _twice, "2 times", "e.parquet", EVALUATE),
    _table("of another name", "has no column 'embedding'; it holds vector", vector=_LISTS),
    _table("of words", "must be numbers \\(n, dim\\)", embedding=["x"] * 40),
    _table("of numbers", "must be numbers \\(n, dim\\)", embedding=_ROWS[:, 0]),
    _table(
        "of lists of several lengths",
        "have 1 to 2 values; all must have the same",
        embedding=[[1.0], [1.0, 2.0]],
    ),
    _table("of lists of lists", "must be plain values or lists", embedding=[[[1.0]]] * 4),
    _table("of records", "must be plain values or lists", embedding=_LISTS, label=[{"a": 1}] * 40),
    _table(
        "of missing rows", "1 values of column embedding are missing", embedding=[None, *_LISTS[1:]]
    ),
    _table(
        "of missing numbers",
        "1 values of column embedding are missing",
        embedding=[[None, 1.0], [2.0, 3.0]],
    ),
    _table(
        "of missing labels",
        "40 values of column label are missing",
        embedding=_LISTS,
        label=[None] * 40,
    ),
    _table("of NaN", "40 of 40 embeddings hold NaN", embedding=[[float("nan")]] * 40),
    _table(
        "of no rows",
        "neither of them 0",
        embedding=pyarrow.array([], pyarrow.list_(pyarrow.float32())),
    ),
    _table("of an id that occurs twice", "occurs more than once", embedding=_LISTS, id=["a"] * 40),
    _table(
        "whose metadata is no JSON", "cannot read", {"twofold": "{"}, embedding=_LISTS, label=_TWO
    ),
    _table(
        "whose metadata is a list",
        "metadata does not name classes",
        {"twofold": "[]"},
        embedding=_LISTS,
        label=_TWO,
    ),
    _table(
        "whose metadata is nested without end",
        "nested too deeply",
        {"twofold": "[" * 10**5},
        embedding=_LISTS,
        label=_TWO,
    ),
    _table(
        "whose classes are numbers",
        "metadata does not name classes",
        {"twofold": '{"label_names": [1, [2]]}'},
        embedding=_LISTS,
        label=_TWO,
    ),
]

REFUSED = [*NPZ, *PARQUET]
"""Each a file that no probe judges."""
