"""What is fuzzed: each parser of files that strangers hand over, with a sound file to begin with.

The tests change them at random; benchmarks/fuzz.py looks for changes that reach new code.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import yaml
from malformed import npy
from malformed_images import packed, tiff
from malformed_npz import zipped
from malformed_packages import package

from twofold.catalogue import runs
from twofold.checkpoint import load_tensors, save_tensors
from twofold.cli import main
from twofold.comparison import compare
from twofold.config import Config, DataConfig, load_config, to_plain
from twofold.domains.open import open_data
from twofold.embeddings.read import read_embeddings
from twofold.errors import TwofoldError
from twofold.recipes import simclr
from twofold.simulation.emoji.packages import read_package

_GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
_ROWS = np.arange(24, dtype=np.float32).reshape(6, 4)


@dataclass(frozen=True)
class Target:
    """A parser, the name of its file, and a sound one."""

    file: str
    sound: bytes
    read: Callable[[Path], Any]
    """Reads the file at a path; a `TwofoldError` is the only one it may raise."""


def _made(name: str, write: Callable[[Path], object]) -> bytes:
    """The bytes of a file that a library writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        return path.read_bytes()


def _images(path: Path) -> None:
    """Three files beside the fuzzed one: if that is left out, they must be as they were."""
    folder = path.parent
    for number in range(3):
        (folder / f"{number}.png").write_bytes(packed("png", _GREY + number))
    data = open_data(folder, max_bad=1, workers=1, cache=folder / ".cache")
    if data.skipped:
        held = (*zip(data.train.ids, data.train.items, strict=True),)
        held += (*zip(data.test.ids, data.test.items, strict=True),)
        for id, item in held:
            np.testing.assert_array_equal(item, (_GREY + int(id[0]))[None])
        assert len(held) == 3


def _table(path: Path) -> None:
    for name in ("a", "b", "c"):
        (path.parent / f"{name}.png").write_bytes(packed("png"))
    open_data(path.parent, group_key="patient", workers=1, cache=path.parent / ".cache")


def _run(path: Path) -> None:
    """A run folder of which one file is fuzzed, listed and compared with itself."""
    sound = {"config.yaml": _CONFIG, "evaluation.json": _EVALUATION, "metrics.jsonl": _METRICS}
    for name, contents in sound.items():
        for folder in (path.parent, path.parent / "again"):
            folder.mkdir(exist_ok=True)
            if not (folder / name).exists():
                (folder / name).write_bytes(contents)
    runs(path.parent)
    str(compare([path.parent, path.parent / "again"]))


_CONFIG = yaml.safe_dump(to_plain(Config(recipe=simclr(), data=DataConfig(data="digits")))).encode()
_EVALUATION = (
    b'{"knn": {"accuracy": {"value": 0.5, "ci95": [0.4, 0.6], "n": 9}, '
    b'"protocol": {"data": "digits", "test_items": 9, "fingerprint": "0f"}}}'
)
_METRICS = b'{"kind": "step", "step": 1, "epoch": 0, "elapsed": 1.5, "images_per_s": 9.0}\n' * 2


def _write_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "images", data=np.stack([_GREY] * 6), chunks=(2, 8, 8), compression="gzip"
        )
        file["labels"] = ["cat", "dog"] * 3
        file["labels"].attrs["unit"] = "kind"


def _write_encoder(path: Path) -> None:
    import torch

    save_tensors(path, {"weight": torch.ones(3)}, {"spec": {"name": "resnet18"}})


TARGETS = {
    "npy": Target("x.npy", npy((6, 8, 8), data=bytes(384)), open_data),
    "npz": Target(
        "x.npz",
        zipped(
            {"images.npy": npy((6, 8, 8), data=bytes(384)), "labels.npy": npy((6,), data=b"012345")}
        ),
        open_data,
    ),
    "h5": Target("x.h5", _made("x.h5", _write_h5), open_data),
    "png": Target("x.png", packed("png"), _images),
    "deep-png": Target("x.png", packed("png", _GREY.astype(np.uint16) * 257), _images),
    "jpg": Target("x.jpg", packed("jpg"), _images),
    "webp": Target("x.webp", packed("webp", lossless=True), _images),
    "bmp": Target("x.bmp", packed("bmp"), _images),
    "tif": Target("x.tif", packed("tif"), _images),
    "deep-tif": Target("x.tif", tiff(_GREY.astype(np.uint16) * 257, compression="zlib"), _images),
    "csv": Target("metadata.csv", b"path,patient\na.png,1\nb.png,2\nc.png,3\n", _table),
    "config": Target("config.yaml", _CONFIG, load_config),
    "run-config": Target("config.yaml", _CONFIG, _run),
    "evaluation": Target("evaluation.json", _EVALUATION, _run),
    "metrics": Target("metrics.jsonl", _METRICS, _run),
    "embeddings": Target(
        "e.npz",
        _made("e.npz", lambda path: np.savez(path, embeddings=_ROWS, ids=list("abcdef"))),
        read_embeddings,
    ),
    "parquet": Target(
        "e.parquet",
        _made(
            "e.parquet",
            lambda path: pyarrow.parquet.write_table(
                pyarrow.table({"embedding": _ROWS.tolist(), "label": list("ababab")}), path
            ),
        ),
        read_embeddings,
    ),
    "encoder": Target("e.safetensors", _made("e.safetensors", _write_encoder), load_tensors),
    "package": Target(
        "iconify-json-a-1.tgz",
        package({"icons.json": {"prefix": "a", "icons": {}}, "package.json": {"version": "1"}}),
        read_package,
    ),
}
"""Each by its name."""


def try_bytes(target: Target, contents: bytes, folder: Path) -> bool:
    """Lets a parser read some bytes, and says whether it took them.

    Raises:
        Exception: Whatever the parser raises that is not the one error users are told of.
    """
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    try:
        target.read(path)
    except TwofoldError as refusal:
        said = str(refusal)
    else:
        return True
    assert len(said) < 4000, "the message holds the data"
    return False


def try_line(args: list[str]) -> str:
    """What a command line prints on standard error; it must end in a status of its own."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(args)
            status = 0
        except SystemExit as ended:
            status = ended.code
    assert status in {0, 1, 2, None}, status
    return said.getvalue()
