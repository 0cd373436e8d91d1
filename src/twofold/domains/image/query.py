"""One image file, or a .npy file of a few items, as the items that an encoder was trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twofold.domains.array_files import read_npy
from twofold.domains.image.decode import decode
from twofold.domains.image.names import IMAGE_SUFFIXES
from twofold.domains.names import domain_by_name
from twofold.domains.workers import Unreadable, read_all
from twofold.errors import TwofoldError, nearest

if TYPE_CHECKING:
    from twofold.preprocess import Preprocess


def check_query(path: Path, domain: str) -> None:
    """Refuses what is no .npy file, nor an image file where items are images."""
    if not path.is_file():
        names = [entry.name for entry in path.parent.glob("*") if entry.is_file()]
        guess = nearest(path.name, names)
        hint = f"; did you mean {path.parent / guess}?" if guess else "; check the path"
        raise TwofoldError(f"the query {path} is no file{hint}")
    if path.suffix.lower() == ".npy":
        return
    if domain != "image":
        items = domain_by_name(domain).items
        raise TwofoldError(
            f"the query {path} must be a .npy file of {items}, for that is what the encoder reads"
        )
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise TwofoldError(
            f"the query {path} must be an image ({', '.join(IMAGE_SUFFIXES)}) or a .npy file"
        )


def read_query(path: Path, preprocess: Preprocess) -> np.ndarray:
    """Items `(n, channels, height, width)` as stored; one of them if it is an image file.

    An image is decoded as those of a folder are: its central square, scaled to the size that the
    encoder reads. A .npy file holds one item or several.

    Args:
        path: The file.
        preprocess: Says which channels, size and type the encoder was trained on.

    Raises:
        TwofoldError: If the file cannot be read, or holds no such items.

    Example:
        >>> import tempfile
        >>> from twofold.preprocess import measure
        >>> path = Path(tempfile.mkdtemp(), "query.npy")
        >>> np.save(path, np.zeros((8, 8), np.uint8))
        >>> read_query(path, measure(np.zeros((2, 1, 8, 8), np.uint8))).shape
        (1, 1, 8, 8)
    """
    check_query(path, preprocess.domain)
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        alone = array.ndim == 2 or (array.ndim == 3 and preprocess.channels > 1)
        stored: np.ndarray = preprocess.stored(array[None] if alone else array)
        return stored
    floats = preprocess.dtype.startswith("float") and (preprocess.low, preprocess.high) == (0, 1)
    if not floats and preprocess.dtype not in {"uint8", "uint16"}:
        raise TwofoldError(
            f"this encoder was trained on {preprocess.dtype} from {preprocess.low:g} to "
            f"{preprocess.high:g}, which {path} does not say how to become; give the query as a "
            ".npy file"
        )
    read = partial(
        decode,
        size=preprocess.size,
        channels=preprocess.channels,
        deep=preprocess.dtype == "uint16",
    )
    (pixels,) = read_all(read, [path], task="Decoding the query", workers=1, progress=False)
    if isinstance(pixels, Unreadable):
        channels = f"{preprocess.channels} channel{'s' if preprocess.channels != 1 else ''}"
        raise TwofoldError(f"{path} is no query to this encoder of {channels}: {pixels.reason}")
    if floats:
        pixels = (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)
    stored = preprocess.stored(pixels[None])
    return stored
