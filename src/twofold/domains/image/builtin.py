"""The image sets that are opened by name."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np

from twofold.domains.cache import cache_folder
from twofold.domains.source import Source
from twofold.errors import TwofoldError

_ARTICLES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PARTS = ("train", "t10k")


def open_builtin(name: str, *, cache: str | Path | None = None) -> tuple[Source, ...]:
    """The whole set of that name, or its published train and test part."""
    return (_digits(),) if name == "digits" else _fashion_mnist(cache)


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes in a gzip-compressed IDX file.

    The format: two zero bytes, type 8 (uint8), the number of dimensions, each dimension as a
    big-endian 32-bit number, then the values.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise TwofoldError(f"cannot read '{path}': {error}; fetch it again") from None
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = np.frombuffer(content[4 : 4 + 4 * rank], ">u4").astype(int)
    values = np.frombuffer(content[4 + 4 * rank :], np.uint8)
    if rank == 0 or values.size != shape.prod():
        raise TwofoldError(f"'{path}' is not a complete IDX file of bytes; fetch it again")
    return values.reshape(shape)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Source(
        name="digits",
        items=(images.astype(np.int64) * 255 // 16).astype(np.uint8).reshape(-1, 1, 8, 8),
        ids=tuple(map(str, range(len(images)))),
        labels=labels.astype(np.int64),
        label_names=tuple("0123456789"),
    )


def _fashion_mnist(cache: str | Path | None) -> tuple[Source, ...]:
    folder = _find_fashion_mnist() or _download_fashion_mnist(cache_folder(cache))
    sources = []
    for part in _PARTS:
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
        sources.append(
            Source(
                name="fashion-mnist",
                items=images[:, None],
                ids=tuple(map(str, range(len(images)))),
                labels=labels.astype(np.int64),
                label_names=_ARTICLES,
            )
        )
    return tuple(sources)


def _find_fashion_mnist() -> Path | None:
    own = os.environ.get("TWOFOLD_DATA")
    folders = [
        *([Path(own), Path(own, "fashion-mnist")] if own else []),
        Path("data/fashion-mnist"),
        Path("/usr/share/datasets/fashion-mnist"),  # where Debian's package puts it
    ]
    return next((folder for folder in folders if _is_complete(folder)), None)


def _is_complete(folder: Path) -> bool:
    names = (
        f"{part}-{kind}-ubyte.gz" for part in _PARTS for kind in ("images-idx3", "labels-idx1")
    )
    return all((folder / name).is_file() for name in names)


def _download_fashion_mnist(cache: Path) -> Path:
    folder = cache / "FashionMNIST" / "raw"
    if _is_complete(folder):
        return folder
    try:
        from torchvision.datasets import FashionMNIST

        FashionMNIST(str(cache), download=True)
    except Exception as error:  # whatever goes wrong on the way, the remedy is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TwofoldError(
            f"fashion-mnist is not on this computer and cannot be downloaded ({reason}); install "
            "Debian's dataset-fashion-mnist or set TWOFOLD_DATA to the folder of its .gz files"
        ) from None
    return folder
