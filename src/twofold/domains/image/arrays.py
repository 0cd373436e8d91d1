"""Images that are already numbers: their layout, type and labels, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from twofold.domains.arrays import LabelColumn, Opened, Part, as_sources, to_numpy
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1024  # images checked at a time: a mask of a big set never lies in memory at once


def open_array(
    data: np.ndarray | Tensor, *, what: str = "data", labels: LabelColumn | None = None
) -> Opened:
    """Checks an array or tensor of images, called `what` in errors, and gives it ids."""
    return to_sources("array", [Part(what, to_numpy(data), labels)])


def to_sources(name: str, parts: Sequence[Part]) -> Opened:
    """A source of each part; they share their type and the numbering of their classes."""
    notes: list[str] = []
    images = []
    for part in parts:
        laid_out, remarks = _as_channels_first(part.what, np.asanyarray(part.items))
        images.append(laid_out)
        notes += remarks
    stored = _as_stored([part.what for part in parts], images)
    ready = [part._replace(items=items) for part, items in zip(parts, stored, strict=True)]
    sources = as_sources(name, ready, domain="image")
    return Opened(sources, tuple(dict.fromkeys(notes)))


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
