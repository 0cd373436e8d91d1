"""Arrays of items and of their labels, whatever kind of data they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from twofold.domains.source import Source
from twofold.errors import TwofoldError
from twofold.items import Items

if TYPE_CHECKING:
    from torch import Tensor


_EXACT = 2**53  # up to here a float64 tells every whole number from the next


class Opened(NamedTuple):
    """What was found: the whole set, or its train and test part, and what to say about it."""

    sources: tuple[Source, ...]
    notes: tuple[str, ...]


class LabelColumn(NamedTuple):
    """Checked labels of some items, and what their file says of them."""

    values: np.ndarray
    """Strings, whole numbers or float32 numbers; see `checked_labels`."""
    classes: tuple[str, ...] = ()
    """Names of classes in the order that counts; alphabetical if none."""
    unit: str = ""
    """Unit of numbers."""


class Part(NamedTuple):
    """Items with their labels and raw ids."""

    what: str
    items: Items
    labels: LabelColumn | None = None
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None


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


def encode_classes(
    labels: Iterable[np.ndarray], order: Sequence[str] = ()
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Class numbers from 0 for every array of labels, and the names they stand for.

    Args:
        labels: Strings or whole numbers.
        order: Names that come first, in this order; the others follow sorted.

    Example:
        >>> (train, test), names = encode_classes([np.array(["b", "a"]), np.array(["b"])])
        >>> train.tolist(), test.tolist(), names
        ([1, 0], [1], ('a', 'b'))
        >>> encode_classes([np.array(["b", "a"])], order=("c", "b"))
        ([array([1, 2])], ('c', 'b', 'a'))
    """
    arrays = list(labels)
    classes, codes = np.unique(np.concatenate(arrays), return_inverse=True)
    found = [str(name) for name in classes]
    names = tuple(dict.fromkeys([*order, *found]))
    places = {name: number for number, name in enumerate(names)}
    numbers = np.array([places[name] for name in found], dtype=np.int64)[codes.reshape(-1)]
    ends = np.cumsum([len(array) for array in arrays])
    return np.split(numbers, ends[:-1]), names


def checked_labels(what: str, labels: np.ndarray) -> np.ndarray:
    """Labels `(n,)` of strings or whole numbers, or float32 numbers to regress, one or several.

    Numbers that are all whole are classes, whatever their type.
    """
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.dtype.kind == "f" and flat.ndim in {1, 2}:
        if not (np.abs(flat) <= np.finfo(np.float32).max).all():
            raise TwofoldError(
                f"{what} holds NaN or infinite labels, or too large ones; leave those items out"
            )
        if (flat != np.round(flat)).any():
            return flat.astype(np.float32)
    if flat.ndim != 1:
        raise TwofoldError(f"{what} has shape {labels.shape}; labels must be (n,), one class each")
    flat = _as_words_or_whole(what, flat)
    if flat.dtype.kind not in "iuU":
        raise TwofoldError(
            f"{what} holds {flat.dtype} values; labels are whole numbers, strings or numbers"
        )
    return flat


def checked_groups(what: str, groups: np.ndarray) -> np.ndarray:
    """Groups `(n,)`: strings or whole numbers, one for each item.

    Example:
        >>> checked_groups("patient", np.array([[7.0], [8.0]])).tolist()
        [7, 8]
    """
    flat = groups[:, 0] if groups.ndim == 2 and groups.shape[1] == 1 else groups
    if flat.ndim != 1:
        raise TwofoldError(f"{what} has shape {groups.shape}; groups must be (n,), one each")
    part = flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.round(flat))).all()
    found = flat if part else _as_words_or_whole(what, flat)
    if found.dtype.kind not in "iuU":
        raise TwofoldError(
            f"{what} holds {'fractions or NaN' if part else f'{found.dtype} values'}; groups are "
            "whole numbers or strings"
        )
    if found.dtype.kind == "U" and not np.char.str_len(found).all():
        item = int((np.char.str_len(found) == 0).argmax())
        raise TwofoldError(
            f"{what} is empty for item {item}; name its group, one of its own if it is alone"
        )
    return found


def checked_times(what: str, times: np.ndarray) -> np.ndarray:
    """Times `(n,)`: finite numbers in any unit, one for each item, as float64.

    Example:
        >>> checked_times("t", np.array([[7], [8]])).tolist()
        [7.0, 8.0]
    """
    flat = times[:, 0] if times.ndim == 2 and times.shape[1] == 1 else times
    if flat.ndim != 1 or flat.dtype.kind not in "iuf":
        raise TwofoldError(
            f"{what} has shape {times.shape} and type {times.dtype}; times must be (n,), a number "
            "each"
        )
    if bad := int((~np.isfinite(flat)).sum()):
        raise TwofoldError(
            f"{what} holds NaN or infinity for {bad:,} of {len(flat):,} items; leave those out"
        )
    return flat.astype(np.float64)


def _as_words_or_whole(what: str, flat: np.ndarray) -> np.ndarray:
    """Strings however they are stored, and floats and booleans as the whole numbers they are."""
    try:
        if flat.dtype.kind == "O" and all(isinstance(value, str | bytes) for value in flat):
            return np.array([v.decode() if isinstance(v, bytes) else v for v in flat], dtype=str)
        if flat.dtype.kind == "S":
            return np.char.decode(flat, "utf-8")
    except UnicodeDecodeError:
        raise TwofoldError(f"{what} holds text that is no UTF-8; write it as strings") from None
    if flat.dtype.kind == "f" and (np.abs(flat) > _EXACT).any():
        raise TwofoldError(
            f"{what} holds numbers beyond 2^53, of which floats miss some; write them as integers"
        )
    return flat.astype(np.int64) if flat.dtype.kind in "fb" else flat


def texts(values: Any) -> tuple[str, ...]:
    """One value or an array of them as strings, however they are stored.

    Bytes that are no UTF-8 become the surrogates that Python makes of such file names.
    """
    return tuple(
        v.decode("utf-8", "surrogateescape") if isinstance(v, bytes) else str(v)
        for v in np.ravel(values)
    )


def as_sources(name: str, parts: Sequence[Part], *, domain: str) -> tuple[Source, ...]:
    """A source of each part; they share the numbering of their classes."""
    labelled = [part.labels for part in parts if part.labels is not None]
    encoded, label_names = encode_labels(labelled)
    codes = iter(encoded)
    return tuple(
        Source(
            name=name,
            items=part.items,
            ids=_ids(part),
            labels=None if part.labels is None else next(codes),
            label_names=() if part.labels is None else label_names,
            label_unit="" if part.labels is None else part.labels.unit,
            groups=part.groups,
            times=part.times,
            domain=domain,
        )
        for part in parts
    )


def encode_labels(labelled: Sequence[LabelColumn]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Class numbers and names of classes; numbers to regress as they are."""
    values = [labels.values for labels in labelled]
    if any(array.dtype == np.float32 for array in values):
        return [array.astype(np.float32) for array in values], ()
    order = [name for labels in labelled for name in labels.classes]
    return encode_classes(values, order) if values else ([], ())


def _ids(part: Part) -> tuple[str, ...]:
    if part.ids is None:
        return tuple(map(str, range(len(part.items))))
    return texts(part.ids)
