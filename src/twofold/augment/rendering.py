"""The renderer of images: all changes of place at once, then of values turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from twofold.augment import geometry
from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws, part_of

# How many values, and at least how many samples, are rendered together: fewer drown in the cost of
# calls, more fall out of the cache (benchmarks/augment.py).
CHUNK_VALUES = 2**19
CHUNK_SMALLEST = 32


def render(
    augmentations: Mapping[str, Augmentation],
    images: Tensor,
    draws: Draws,
    *,
    size: int,
    views: int = 1,
) -> Tensor:
    """The views that `draws` describe: the first of every image, the second of every image...

    Args:
        augmentations: Settings by name, in the order applied.
        images: float32 in [0, 1], `(n, channels, height, width)`, on any device.
        draws: For the same samples over and over, `(views * n,)`.
        size: Height and width of the views in pixels.
        views: How many views of each image the draws describe.

    Returns:
        float32 in [0, 1], `(views * n, channels, size, size)`.
    """
    rendered = images.new_empty(views * len(images), images.shape[1], size, size)
    with _without_autocast(images.device.type):
        for some in _chunks(rendered):
            _move(augmentations, _cycled(images, some), part_of(draws, some), rendered[some])
        for names in chain(augmentations):
            _change({name: augmentations[name] for name in names}, rendered, draws)
    return rendered


def _move(
    augmentations: Mapping[str, Augmentation], images: Tensor, draws: Draws, views: Tensor
) -> None:
    """All changes of place as one matrix per sample, resampled once into `views`."""
    boxes, matrix = placed(augmentations, draws, len(images), *images.shape[2:])
    geometry.resample(images, boxes, matrix, out=views)
    views.clamp_(0, 1)  # weights that sum to 1 but for rounding can overshoot by as much


def placed(
    augmentations: Mapping[str, Augmentation], draws: Draws, count: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and matrices, as `geometry.resample` reads them, of `count` samples."""
    boxes = np.tile([0, 0, height, width], (count, 1))
    matrix = np.tile(np.eye(3), (count, 1, 1))
    for name, augmentation in augmentations.items():
        if augmentation.stage == "crop":
            boxes = augmentation.box(draws[name], height, width)
        elif augmentation.stage == "geometry":
            matrix = matrix @ augmentation.matrix(draws[name])
    return boxes, matrix


def chain(augmentations: Mapping[str, Augmentation]) -> Iterable[list[str]]:
    """Names of what changes values in the order applied, members of a group together."""
    chain: dict[str, list[str]] = {}
    for stage in ("colour", "filter"):
        for name, augmentation in augmentations.items():
            if augmentation.stage == stage:
                chain.setdefault(augmentation.group or name, []).append(name)
    return chain.values()


def _change(kinds: Mapping[str, Augmentation], views: Tensor, draws: Draws) -> None:
    """Changes values in place: turn by turn, each turn by the one of `kinds` drawn for it.

    Samples are sorted by who acts on them and when: neighbours that share a turn are a slice,
    and nothing moves between turns.
    """
    names, unordered = list(kinds), np.zeros(len(views))
    turns = np.argsort([draws[name].get("order", unordered) for name in names], axis=0)
    applied = np.array([draws[name]["applied"] for name in names])
    actors = np.where(np.take_along_axis(applied, turns, axis=0), turns, -1)
    rows = np.lexsort(actors[::-1])
    rows = rows[(actors[:, rows] >= 0).any(axis=0)]
    for some in (rows[chunk] for chunk in _chunks(views[: len(rows)])):
        index = torch.from_numpy(some).to(views.device)
        part = views.index_select(0, index)
        for actor in actors[:, some]:
            changes = np.flatnonzero(np.diff(actor)) + 1
            for first, last in pairwise([0, *changes, len(some)]):
                if actor[first] >= 0:
                    name, run = names[actor[first]], part[first:last]
                    changed = some[first:last]
                    values = {key: value[changed] for key, value in draws[name].items()}
                    run.copy_(kinds[name].render(run, values))
        views.index_copy_(0, index, part)


def _chunks(views: Tensor) -> Iterable[slice]:
    count, step = len(views), max(CHUNK_SMALLEST, CHUNK_VALUES // views.shape[1:].numel())
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _cycled(images: Tensor, some: slice) -> Tensor:
    """Rows `some` of the images repeated again and again."""
    if some.stop <= len(images):
        return images[some]
    rows = torch.arange(some.start, some.stop, device=images.device) % len(images)
    return images.index_select(0, rows)


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Rendering in float32 whatever the training around it has chosen.

    Entered only where autocast is on: leaving it in a thread that has none around empties the
    cache of casts that another thread's training is using.
    """
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
