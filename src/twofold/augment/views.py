"""Two views of everything: drawn as recorded numbers, then rendered a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from twofold.augment import geometry
from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Stream, uniforms
from twofold.augment.table import check, check_asymmetry
from twofold.errors import TwofoldError

Draws = dict[str, dict[str, np.ndarray]]

# How many values, and at least how many samples, are rendered together: fewer drown in the cost of
# calls, more fall out of the cache (benchmarks/augment.py).
CHUNK_VALUES = 2**19
CHUNK_SMALLEST = 32


class Views:
    """Draws and renders the views of images that a prescription asks for.

    What a sample's view looks like is a pure function of the seed, the epoch, the sample's index
    and the view: batches, processes and resumed runs make no difference.

    Args:
        augmentations: Settings by name, in the order applied; `table.IMAGE` unless configured.
        prescription: A word of `table.WORDS` by name; a name left out is off.
        channels: Of the images.
        size: Height and width of the views in pixels.
        seed: Of all draws, in [0, 2^32).
        num_views: Views per image.
        asymmetry: Probability in each view, of the augmentations where views differ.

    Raises:
        TwofoldError: If a name or a word is unknown.

    Example:
        >>> from twofold.augment import IMAGE
        >>> views = Views(IMAGE, {"crop": "invariant", "flip": "sensitive"}, channels=3, size=8)
        >>> (first, second), draws = views(torch.rand(2, 3, 16, 16), np.arange(2), epoch=0)
        >>> tuple(first.shape)
        (2, 3, 8, 8)
        >>> bool((draws[0]["flip"]["applied"] == draws[1]["flip"]["applied"]).all())
        True
    """

    def __init__(
        self,
        augmentations: Mapping[str, Augmentation],
        prescription: Mapping[str, str],
        *,
        channels: int,
        size: int,
        seed: int = 0,
        num_views: int = 2,
        asymmetry: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        check(augmentations, prescription)
        check_asymmetry(augmentations, asymmetry or {}, num_views)
        self.asymmetry = dict(asymmetry or {})
        self.prescription = dict(prescription)
        self.channels, self.size, self.seed, self.num_views = channels, size, seed, num_views
        self.augmentations: dict[str, Augmentation] = {}
        for name, augmentation in augmentations.items():
            suited = augmentation.for_channels(channels)
            if prescription.get(name, "off") != "off" and suited is not None:
                self.augmentations[name] = suited

    def __call__(
        self, images: Tensor, index: np.ndarray, epoch: int, *, size: int | None = None
    ) -> tuple[list[Tensor], list[Draws]]:
        """All views of the images with dataset indices `index`, and what was drawn for each."""
        count, views = len(images), self.num_views
        view = np.repeat(np.arange(views), count)
        draws = self.draw(np.tile(index, views), epoch, view)
        rendered = self.render(images, draws, size=size, views=views)
        parts = [slice(view * count, (view + 1) * count) for view in range(views)]
        return (
            [rendered[part] for part in parts],
            [{name: _rows(drawn, part) for name, drawn in draws.items()} for part in parts],
        )

    def draw(self, index: np.ndarray, epoch: int, view: int | np.ndarray) -> Draws:
        """For every augmentation whether it is `applied` and its parameters, each `(n,)`.

        Parameters are neutral where it is not applied. A `sensitive` augmentation draws the same
        numbers in every view: those of the first. Members of a group are applied to the same
        samples, in the order of their `order`.

        Args:
            index: Which samples `(n,)`.
            epoch: Which pass over the data, from 0.
            view: Which view, from 0: one for all samples or one for each `(n,)`.
        """
        shared = {name: self.prescription[name] == "sensitive" for name in self.augmentations}
        counts: dict[Stream, int] = {}
        for name, augmentation in self.augmentations.items():
            counts[name, shared[name]] = 2 + augmentation.num_uniforms
            if augmentation.group:
                counts[augmentation.group, shared[name]] = 1
        numbers = uniforms(counts, seed=self.seed, epoch=epoch, index=index, view=view)
        draws: Draws = {}
        for name, augmentation in self.augmentations.items():
            own = numbers[name, shared[name]]
            decider = numbers[augmentation.group or name, shared[name]]
            applied = decider[:, 0] < self._probability(name, 0 if shared[name] else view)
            draws[name] = _drawn(augmentation, applied, own)
        return draws

    @torch.no_grad()
    def render(
        self, images: Tensor, draws: Draws, *, size: int | None = None, views: int = 1
    ) -> Tensor:
        """The views that `draws` describe: the first of every image, the second of every image...

        A sample's view is the same bit for bit in any batch. Where nothing is applied it is the
        image itself.

        Args:
            images: float32 in [0, 1], `(n, channels, height, width)`, on any device.
            draws: From `draw`, for the same samples over and over, `(views * n,)`.
            size: Height and width of the view in pixels; `self.size` if None.
            views: How many views of each image the draws describe.

        Returns:
            float32 in [0, 1], `(views * n, channels, size, size)`.

        Raises:
            TwofoldError: If the images have another number of channels.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            found, expected = tuple(images.shape), f"(batch, {self.channels}, height, width)"
            raise TwofoldError(f"images have shape {found}; these views read {expected}")
        side, count = size or self.size, views * len(images)
        rendered = images.new_empty(count, self.channels, side, side)
        with _without_autocast(images.device.type):
            for some in _chunks(rendered):
                part = {name: _rows(drawn, some) for name, drawn in draws.items()}
                self._move(_cycled(images, some), part, rendered[some])
            for names in self._chain():
                self._change(names, rendered, draws)
        return rendered

    def num_values(self, size: int) -> int:
        """How many numbers all views of one image hold at a height and width of `size` pixels."""
        return self.num_views * self.channels * size**2

    def describe(self, draws: Draws, i: int) -> list[str]:
        """What was done to the `i`-th sample, a word or two for every augmentation applied to it.

        Example:
            >>> from twofold.augment import IMAGE
            >>> views = Views(IMAGE, {"crop": "both", "flip": "both"}, channels=3, size=8)
            >>> views.describe(views.draw(np.arange(9), epoch=0, view=0), 1)
            ['crop 36 %', 'flip']
        """
        return [
            augmentation.caption({key: float(value[i]) for key, value in draws[name].items()})
            for name, augmentation in self.augmentations.items()
            if draws[name]["applied"][i]
        ]

    def _probability(self, name: str, view: int | np.ndarray) -> np.ndarray:
        """Of being applied, in that view or in each `(n,)`."""
        alike = (self.augmentations[name].probability,) * self.num_views
        return np.take(self.asymmetry.get(name, alike), view)

    def _move(self, images: Tensor, draws: Draws, views: Tensor) -> None:
        """All changes of place as one matrix per sample, resampled once into `views`."""
        height, width = images.shape[2:]
        boxes = np.tile([0, 0, height, width], (len(images), 1))
        matrix = np.tile(np.eye(3), (len(images), 1, 1))
        for name, augmentation in self.augmentations.items():
            if augmentation.stage == "crop":
                boxes = augmentation.box(draws[name], height, width)
            elif augmentation.stage == "geometry":
                matrix = matrix @ augmentation.matrix(draws[name])
        geometry.resample(images, boxes, matrix, out=views)
        views.clamp_(0, 1)  # weights that sum to 1 but for rounding can overshoot by as much

    def _chain(self) -> Iterable[list[str]]:
        """Names of what changes values in the order applied, members of a group together."""
        chain: dict[str, list[str]] = {}
        for stage in ("colour", "filter"):
            for name, augmentation in self.augmentations.items():
                if augmentation.stage == stage:
                    chain.setdefault(augmentation.group or name, []).append(name)
        return chain.values()

    def _change(self, names: list[str], views: Tensor, draws: Draws) -> None:
        """Changes values in place: turn by turn, each turn by the one of `names` drawn for it.

        Samples are sorted by who acts on them and when: neighbours that share a turn are a slice,
        and nothing moves between turns.
        """
        unordered = np.zeros(len(views))
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
                        values = _rows(draws[name], some[first:last])
                        run.copy_(self.augmentations[name].render(run, values))
            views.index_copy_(0, index, part)


def _chunks(views: Tensor) -> Iterable[slice]:
    count, step = len(views), max(CHUNK_SMALLEST, CHUNK_VALUES // views.shape[1:].numel())
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _drawn(
    augmentation: Augmentation, applied: np.ndarray, numbers: np.ndarray
) -> dict[str, np.ndarray]:
    """The first number has decided, the second orders, the others are the parameters'."""
    drawn = {"applied": applied} | ({"order": numbers[:, 1]} if augmentation.group else {})
    for parameter, value in augmentation.draw(numbers[:, 2:]).items():
        drawn[parameter] = np.where(applied, value, augmentation.neutral[parameter])
    return drawn


def _cycled(images: Tensor, some: slice) -> Tensor:
    """Rows `some` of the images repeated again and again."""
    if some.stop <= len(images):
        return images[some]
    rows = torch.arange(some.start, some.stop, device=images.device) % len(images)
    return images.index_select(0, rows)


def _rows(drawn: dict[str, np.ndarray], some: slice | np.ndarray) -> dict[str, np.ndarray]:
    return {key: value[some] for key, value in drawn.items()}


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Rendering in float32 whatever the training around it has chosen.

    Entered only where autocast is on: leaving it in a thread that has none around empties the
    cache of casts that another thread's training is using.
    """
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()
