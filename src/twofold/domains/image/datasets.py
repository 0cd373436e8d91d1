"""A `torch.utils.data.Dataset` of the user's own: read once, item by item, into an array."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from twofold.domains.arrays import LabelColumn, Opened, Part, checked_labels, is_array, to_numpy
from twofold.domains.cache import new_items
from twofold.domains.image.arrays import to_sources
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

_FEW = 1000  # items that are read sooner than processes start


def is_dataset(data: object) -> TypeGuard[Dataset[Any]]:
    """Whether `data` has a length and items by number, as map-style datasets do."""
    kind = type(data)
    known = isinstance(data, Sequence | Mapping)
    return not known and hasattr(kind, "__len__") and hasattr(kind, "__getitem__")


def open_dataset(
    dataset: Dataset[Any],
    *,
    what: str = "data",
    labels: LabelColumn | None = None,
    workers: int | None = None,
) -> Opened:
    """Reads every item once: an image, or an image and its label.

    What the dataset draws at random is drawn once, too. Items beyond 2 GiB lie in a nameless file
    in the cache folder.

    Args:
        dataset: Gives images of one shape, as arrays or tensors `(height, width)` or `(channels,
            height, width)`; the names of its classes are its `classes`, if it has them.
        what: What errors call it.
        labels: Labels `(n,)` in place of the dataset's own.
        workers: Processes that read; chosen from the processors and the number of items if None.

    Raises:
        TwofoldError: If it is empty, or an item is no array or of another shape than the first.
    """
    count = len(dataset)  # type: ignore[arg-type]
    if not count:
        raise TwofoldError(f"{what} is an empty {type(dataset).__name__}")
    images, found = None, []
    for number, (image, label) in enumerate(_read(dataset, count, workers)):
        pixels = _pixels(what, number, image)
        if images is None:
            images = new_items((count, *pixels.shape), pixels.dtype)
        if pixels.shape != images.shape[1:] or pixels.dtype != images.dtype:
            raise TwofoldError(
                f"item {number} of {what} is {pixels.dtype} of shape {pixels.shape}, the first "
                f"{images.dtype} of {images.shape[1:]}; all must be alike: resize or crop them "
                "in the dataset"
            )
        images[number] = pixels
        found.append(label)
    assert images is not None
    if labels is None and found[0] is not None:
        own = checked_labels(f"labels of {what}", np.array(found))
        labels = LabelColumn(_named(dataset, own))
    return to_sources(type(dataset).__name__, [Part(what, images, labels)])


def _read(dataset: Dataset[Any], count: int, workers: int | None) -> Iterator[tuple[Any, Any]]:
    from torch.utils.data import DataLoader

    if workers is None:
        workers = 0 if count <= _FEW else min(16, os.cpu_count() or 1)
    # Batches of one, as arrays: these go from process to process without shared memory.
    loader = DataLoader(dataset, batch_size=1, num_workers=workers, collate_fn=_as_pair)
    yield from loader


def _as_pair(items: Sequence[Any]) -> tuple[Any, Any]:
    """Image and label of the one item of a batch."""
    (item,) = items
    image, label = item if isinstance(item, tuple | list) and len(item) == 2 else (item, None)
    return (_plain(image), _plain(label))


def _plain(value: Any) -> Any:
    return to_numpy(value) if is_array(value) else value


def _pixels(what: str, number: int, image: object) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    remedy = "give an image, or an (image, label) pair, as arrays or tensors"
    if type(image).__module__.startswith("PIL."):
        remedy = "turn it into a tensor, as by transform=torchvision.transforms.PILToTensor()"
    raise TwofoldError(f"item {number} of {what} is a {type(image).__name__}; {remedy}")


def _named(dataset: object, labels: np.ndarray) -> np.ndarray:
    """Class numbers as the names that the dataset has for them, if it has."""
    names = getattr(dataset, "classes", None)
    if not isinstance(names, list | tuple) or labels.dtype.kind not in "iu":
        return labels
    return np.array([str(name) for name in names])[labels] if labels.max() < len(names) else labels
