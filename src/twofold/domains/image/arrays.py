"""Images that are already numbers: their layout, type and labels, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np

from twofold.domains.source import Source
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1024  # images checked at a time: a mask of a big set never lies in memory at once


class Opened(NamedTuple):
    """What was found: the whole set, or its train and test part, and what to say about it."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]


class Part(NamedTuple):
    """Items with their raw labels and ids, before they are checked."""

    what: str
    items: np.ndarray
    labels: np.ndarray | None = None
    ids: np.ndarray | None = None


def is_array(data: object) -> TypeGuard[np.ndarray | Tensor]:
    """Whether `data` is a numpy array or a torch tensor (told without importing torch)."""
    return isinstance(data, np.ndarray) or (
        hasattr(data, "detach") and hasattr(data, "cpu") and hasattr(data, "numpy")
    )


def to_numpy(data: np.ndarray | Tensor) -> np.ndarray:
    """The numpy array that an array or a torch tensor holds, without a copy where possible."""
    if isinstance(data, np.ndarray):
        return data
    try:
        return np.asarray(data.detach().cpu().numpy())
    except TypeError:
        raise TwofoldError(
            f"numpy has no type for a tensor of {data.dtype}; convert it first, as by .float()"
        ) from None


def open_array(
    data: np.ndarray | Tensor, *, what: str = "data", labels: np.ndarray | None = None
) -> Opened:
    """Checks an array or tensor of images, called `what` in errors, and gives it ids."""
    return to_sources("array", [Part(what, to_numpy(data), labels)])


def encode_classes(labels: Iterable[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Class numbers from 0 for every array of labels, and the sorted names they stand for.

    Example:
        >>> (train, test), names = encode_classes([np.array(["b", "a"]), np.array(["b"])])
        >>> train.tolist(), test.tolist(), names
        ([1, 0], [1], ('a', 'b'))
    """
    arrays = list(labels)
    classes, codes = np.unique(np.concatenate(arrays), return_inverse=True)
    ends = np.cumsum([len(array) for array in arrays])
    parts = np.split(codes.reshape(-1).astype(np.int64), ends[:-1])
    return parts, tuple(str(name) for name in classes)


def checked_labels(what: str, labels: np.ndarray) -> np.ndarray:
    """Labels `(n,)` of strings or whole numbers, or float32 numbers to regress, one or several.

    Numbers that are all whole are classes, whatever their type.
    """
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.dtype.kind == "f" and flat.ndim in {1, 2}:
        if not np.isfinite(flat).all():
            raise TwofoldError(f"{what} holds NaN or infinite labels; leave those items out")
        if (flat != np.round(flat)).any():
            return flat.astype(np.float32)
    if flat.ndim != 1:
        raise TwofoldError(f"{what} has shape {labels.shape}; labels must be (n,), one class each")
    if flat.dtype.kind == "O" and all(isinstance(value, str | bytes) for value in flat):
        flat = np.array([v.decode() if isinstance(v, bytes) else v for v in flat], dtype=str)
    if flat.dtype.kind == "S":
        flat = np.char.decode(flat, "utf-8")
    if flat.dtype.kind in "fb":
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iuU":
        raise TwofoldError(
            f"{what} holds {flat.dtype} values; labels are whole numbers, strings or numbers"
        )
    return flat


def to_sources(name: str, parts: Sequence[Part]) -> Opened:
    """A source of each part; they share their type and the numbering of their classes."""
    notes: list[str] = []
    images = []
    for part in parts:
        laid_out, remarks = _as_channels_first(part.what, part.items)
        images.append(laid_out)
        notes += remarks
    stored = _as_stored([part.what for part in parts], images)
    labelled = [part.labels for part in parts if part.labels is not None]
    encoded, label_names = _encoded(labelled)
    codes = iter(encoded)
    sources = tuple(
        Source(
            name=name,
            items=items,
            ids=_ids(part, len(items)),
            labels=None if part.labels is None else next(codes),
            label_names=() if part.labels is None else label_names,
        )
        for part, items in zip(parts, stored, strict=True)
    )
    return Opened(sources, tuple(dict.fromkeys(notes)))


def _encoded(labelled: list[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Class numbers and names of classes; numbers to regress as they are."""
    if any(labels.dtype == np.float32 for labels in labelled):
        return [labels.astype(np.float32) for labels in labelled], ()
    return encode_classes(labelled) if labelled else ([], ())


def _ids(part: Part, count: int) -> tuple[str, ...]:
    if part.ids is None:
        return tuple(map(str, range(count)))
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in part.ids.reshape(-1))


def _as_channels_first(what: str, items: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images as `(n, channels, height, width)`, and what had to be assumed."""
    shape = items.shape
    if items.dtype.kind not in "buif":
        raise TwofoldError(
            f"{what} has type {items.dtype}; images must be numbers of one shape, "
            "as np.stack makes of a list of images"
        )
    if len(shape) not in (3, 4) or 0 in shape:
        raise TwofoldError(
            f"{what} has shape {shape}; images must be (n, height, width) or "
            "(n, channels, height, width), none of them 0"
        )
    if len(shape) == 3:
        if shape[2] <= 4 < shape[1]:
            raise TwofoldError(
                f"{what} has shape {shape}, which looks like one image with its channels last; "
                "images must be (n, height, width) or (n, channels, height, width)"
            )
        return items[:, None], ()
    if shape[3] <= 4 < shape[1]:
        return np.moveaxis(items, 3, 1), (f"channels-last {shape} read as channels first",)
    if shape[1] == shape[2] > shape[3]:
        raise TwofoldError(
            f"{what} has shape {shape}, which looks as if its channels come last; "
            "put them second, as by np.moveaxis(images, -1, 1)"
        )
    return items, ()


def _as_stored(names: list[str], parts: list[np.ndarray]) -> list[np.ndarray]:
    """The parts in native byte order, checked, whole numbers in the smallest type that fits all."""
    native = [part.astype(part.dtype.newbyteorder("="), copy=False) for part in parts]
    if len({part.dtype for part in native}) > 1:
        raise TwofoldError(
            f"{names[0]} holds {native[0].dtype} and {names[1]} {native[1].dtype}; "
            "train and test images must have the same type"
        )
    dtype = native[0].dtype
    if dtype.kind == "f":
        for what, part in zip(names, native, strict=True):
            _check_finite(what, part)
        return native
    if dtype.kind == "b" or dtype in (np.uint8, np.uint16):
        return native
    lowest = min(int(part.min()) for part in native)
    highest = max(int(part.max()) for part in native)
    family = (np.uint8, np.uint16, np.uint32) if lowest >= 0 else (np.int8, np.int16, np.int32)
    within = (t for t in family if np.iinfo(t).min <= lowest and highest <= np.iinfo(t).max)
    fitting = next(within, dtype)
    return [part.astype(fitting, copy=False) for part in native]


def _check_finite(what: str, items: np.ndarray) -> None:
    count, first = 0, -1
    for start in range(0, len(items), _CHUNK):
        bad = ~np.isfinite(items[start : start + _CHUNK]).reshape(-1, items[0].size)
        if bad.any():
            first = first if count else start + int(bad.any(axis=1).argmax())
            count += int(bad.sum())
    if count:
        raise TwofoldError(
            f"{what} holds {count} values that are NaN or infinite, the first in image {first}; "
            "replace them (np.nan_to_num) or leave those images out"
        )
