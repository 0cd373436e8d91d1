"""The formats that embeddings are written in, a shard at a time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twofold.embeddings.extras import need_pyarrow
from twofold.embeddings.items import Items
from twofold.embeddings.read import METADATA
from twofold.embeddings.shards import Shards
from twofold.errors import TwofoldError


def write_npz(path: Path, items: Items, shards: Shards, facts: Mapping[str, Any]) -> None:
    """Writes embeddings, ids, part and, where they are known, labels and paths as arrays.

    They are not compressed: floats hardly shrink, and as they are they can be memory-mapped.
    """
    blocks = shards.blocks
    with zipfile.ZipFile(path, "w") as archive:

        def add(name: str, dtype: Any, rows: Iterable[Any], *shape: int) -> None:
            header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for block in rows:
                    file.write(np.asarray(block, dtype=dtype).tobytes())

        def add_text(name: str, read: Callable[[range], list[str]]) -> None:
            longest = max(len(text) for block in blocks for text in read(block))
            add(name, f"<U{max(1, longest)}", map(read, blocks), len(items))

        embeddings = map(shards.read, range(len(blocks)))
        add("embeddings", np.float32, embeddings, len(items), shards.dim)
        add_text("ids", items.ids)
        add_text("part", items.parts)
        if items.labelled:
            first = items.labels([0])
            add("labels", first.dtype, map(items.labels, blocks), len(items), *first.shape[1:])
            names = np.asarray(items.label_names, dtype=str)
            add("label_names", names.dtype, [names], len(names))
        if items.from_files:
            add_text("path", items.paths)


def write_parquet(path: Path, items: Items, shards: Shards, facts: Mapping[str, Any]) -> None:
    """Writes columns id, embedding, part and, where they are known, label and path.

    Each shard is a row group. Classes are stored by their names.
    """
    arrow = need_pyarrow(f"{path} is a .parquet file")
    columns: dict[str, tuple[Any, Callable[[range], Any]]] = {
        "id": (arrow.string(), items.ids),
        "part": (arrow.string(), items.parts),
    }
    if items.labelled:
        columns["label"] = _labels(arrow, items)
    if items.from_files:
        columns["path"] = (arrow.string(), items.paths)
    kind = arrow.list_(arrow.float32(), shards.dim)
    about = json.dumps({**facts, "dim": shards.dim, "label_names": items.label_names})
    schema = arrow.schema(
        [("embedding", kind), *((name, column) for name, (column, _) in columns.items())],
        metadata={METADATA: about},
    )
    repeated = [name for name in ("label", "part") if name in columns]
    with arrow.parquet.ParquetWriter(
        path, schema, compression="none", use_dictionary=repeated
    ) as writer:
        for number, block in enumerate(shards.blocks):
            flat = arrow.array(shards.read(number).reshape(-1))
            rows = {"embedding": arrow.FixedSizeListArray.from_arrays(flat, type=kind)}
            try:
                rows |= {
                    name: arrow.array(read(block), column)
                    for name, (column, read) in columns.items()
                }
            except UnicodeEncodeError as error:
                raise TwofoldError(
                    f"the id {error.object!r} is not valid Unicode, which .parquet needs; write "
                    "a .npz file"
                ) from None
            writer.write_table(arrow.table(rows, schema=schema))


def _labels(arrow: Any, items: Items) -> tuple[Any, Callable[[range], Any]]:
    """The type of the column of labels, and how it is read: names of classes, or numbers."""
    first, names = items.labels([0]), items.label_names
    if first.ndim == 2:
        return arrow.list_(arrow.float32(), first.shape[1]), lambda block: list(items.labels(block))
    if names:
        return arrow.string(), lambda block: [names[label] for label in items.labels(block)]
    return arrow.from_numpy_dtype(first.dtype), items.labels


WRITERS = {".npz": write_npz, ".parquet": write_parquet}
"""Each by the suffix of the files that it writes."""
