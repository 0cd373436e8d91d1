"""One file of an item, or a .npy file of a few items, as the items an encoder was trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from twofold.domains.array_files import read_npy
from twofold.domains.audio.names import AUDIO_SUFFIXES
from twofold.domains.image.names import IMAGE_SUFFIXES
from twofold.domains.names import domain_by_name
from twofold.domains.workers import Unreadable, read_all
from twofold.errors import TwofoldError, nearest

if TYPE_CHECKING:
    from twofold.clips import Clips
    from twofold.preprocess import Preprocess


class _Kind(NamedTuple):
    """Files of one item."""

    name: str
    suffixes: tuple[str, ...]


_FILES = {
    "image": _Kind("an image", IMAGE_SUFFIXES),
    "audio": _Kind("a recording", AUDIO_SUFFIXES),
}


def check_query(path: Path, domain: str) -> None:
    """Refuses what is neither a .npy file nor, where an item can have a file, such a file."""
    if not path.is_file():
        names = [entry.name for entry in path.parent.glob("*") if entry.is_file()]
        guess = nearest(path.name, names)
        hint = f"; did you mean {path.parent / guess}?" if guess else "; check the path"
        raise TwofoldError(f"the query {path} is no file{hint}")
    if path.suffix.lower() == ".npy":
        return
    if domain not in _FILES:
        items = domain_by_name(domain).items
        raise TwofoldError(
            f"the query {path} must be a .npy file of {items}, for that is what the encoder reads"
        )
    kind = _FILES[domain]
    if path.suffix.lower() not in kind.suffixes:
        raise TwofoldError(
            f"the query {path} must be {kind.name} ({', '.join(kind.suffixes)}) or a .npy file"
        )


def read_query(path: Path, preprocess: Preprocess) -> np.ndarray | Clips:
    """Items `(n, channels, height, width)` as stored; one of them if it is an item's own file.

    It is decoded as those of a folder are: of an image the central square, scaled to the size that
    the encoder reads; of a recording all of it, at the encoder's sample rate. A .npy file holds one
    item or several.

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
        least = 1 if preprocess.sample_rate is not None else 2
        alone = array.ndim == least or (array.ndim == least + 1 and preprocess.channels > 1)
        stored: np.ndarray | Clips = preprocess.stored(array[None] if alone else array)
        return stored
    if preprocess.sample_rate is not None:
        return _recording(path, preprocess, preprocess.sample_rate)
    return _image(path, preprocess)


def _image(path: Path, preprocess: Preprocess) -> np.ndarray:
    from twofold.domains.image.decode import decode

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
        raise _refusal(path, preprocess, pixels.reason)
    if floats:
        pixels = (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)
    stored: np.ndarray = preprocess.stored(pixels[None])
    return stored


def _recording(path: Path, preprocess: Preprocess, sample_rate: int) -> np.ndarray | Clips:
    from twofold.domains.audio.decode import decode, read_header

    channels = preprocess.channels
    try:
        found = read_header(path).channels
        if channels not in {1, found}:
            raise TwofoldError(f"it has {found} channel{'s' if found != 1 else ''}")
        decoded = decode(path, sample_rate=sample_rate, channels=channels, whole=False)
    except TwofoldError as error:
        raise _refusal(path, preprocess, str(error)) from None
    stored: np.ndarray | Clips = preprocess.stored(decoded.samples.T[None])
    return stored


def _refusal(path: Path, preprocess: Preprocess, reason: str) -> TwofoldError:
    channels = f"{preprocess.channels} channel{'s' if preprocess.channels != 1 else ''}"
    return TwofoldError(f"{path} is no query to this encoder of {channels}: {reason}")
