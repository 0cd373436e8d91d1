"""Two views of everything: drawn as recorded numbers, then rendered a chunk at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws, Stream, part_of, subset, uniforms
from twofold.augment.rendering import render as render_images
from twofold.augment.table import (
    check,
    check_asymmetry,
    check_repeats,
    check_select,
    check_small_views,
    small_side,
)
from twofold.augment.target import Target, measure
from twofold.errors import TwofoldError, unknown

MEASURED_DRAWS = 2**14  # of a target: they put a share of samples within a percent
SUBSET: Stream = ("subset", True)


class Renderer(Protocol):
    """Makes views of items from what was drawn; see `rendering.render`."""

    def __call__(
        self,
        augmentations: Mapping[str, Augmentation],
        images: Tensor,
        draws: Draws,
        /,
        *,
        size: int,
        views: int = 1,
    ) -> Tensor:
        """The views, `(views * n, channels, size, size)`: the first of every item, and so on."""
        ...


@dataclass(frozen=True)
class _Plan:
    """How one augmentation is drawn, view by view."""

    sources: bool | tuple[int, ...]
    """Whether its numbers are one for all views; or the view whose numbers each view has."""
    probabilities: tuple[float, ...]
    """Of being applied in each view."""
    steps: tuple[int, ...]
    """How many classes further each view is than its numbers say."""


class Views:
    """Draws and renders the views of images that a prescription asks for.

    What a sample's view looks like is a pure function of the seed, the epoch, the sample's index
    and the view: batches, processes and resumed runs make no difference.

    Args:
        augmentations: Settings by name, in the order applied; `table.IMAGE` unless configured.
        prescription: A word of `table.WORDS` by name; a name left out is off.
        channels: Of the images.
        size: Height and width of the views in pixels; their samples if they are signals.
        signals: Whether items have one row.
        seed: Of all draws, in [0, 2^32).
        num_views: Views per image of the full size.
        asymmetry: Probability in each view, of the augmentations where views differ.
        repeats: Views, from 1, in which an augmentation draws what it draws in view 0: whether it
            is applied, its place in the group's order, and its parameters.
        small_views: Further views per image, counted after the full ones.
        small_size: Their height and width as a share of the others', in (0, 1].
        select: Whether `each` augmentation is applied by its own probability, or a `subset` of
            random size, the same in all views of a sample, instead (MT-SLVR).
        renderer: Makes views of items from what was drawn; that of images unless the
            augmentations are of another domain.

    Raises:
        TwofoldError: If a name or a word is unknown, or a setting is out of range.

    Example:
        >>> from twofold.augment import IMAGE
        >>> views = Views(IMAGE, {"crop": "invariant", "flip": "sensitive"}, channels=3, size=8)
        >>> (first, second), draws = views(torch.rand(2, 3, 16, 16), np.arange(2), epoch=0)
        >>> tuple(first.shape)
        (2, 3, 8, 8)
        >>> bool((draws[0]["flip"]["applied"] == draws[1]["flip"]["applied"]).all())
        True

    Reference: Heggan et al., 2023, arXiv:2305.17191 (subsets); Dangovski et al., 2021,
    arXiv:2111.00899 (small views in every quarter turn).
    """

    def __init__(
        self,
        augmentations: Mapping[str, Augmentation],
        prescription: Mapping[str, str],
        *,
        channels: int,
        size: int,
        signals: bool = False,
        seed: int = 0,
        num_views: int = 2,
        asymmetry: Mapping[str, tuple[float, ...]] | None = None,
        repeats: Mapping[str, tuple[int, ...]] | None = None,
        small_views: int = 0,
        small_size: float = 0.5,
        select: Literal["each", "subset"] = "each",
        renderer: Renderer = render_images,
    ) -> None:
        self.prescription = dict(prescription)
        self.asymmetry, self.repeats = dict(asymmetry or {}), dict(repeats or {})
        self.channels, self.size, self.seed, self.select = channels, size, seed, select
        self.renderer, self.signals = renderer, signals
        self.num_views, self.small_views, self.small_size = num_views, small_views, small_size
        check(augmentations, prescription)
        check_small_views(small_views, small_size)
        check_asymmetry(augmentations, self.asymmetry, num_views + small_views)
        check_repeats(augmentations, self.repeats, num_views + small_views)
        check_select(select, self.asymmetry)
        self.augmentations: dict[str, Augmentation] = {}
        for name, augmentation in augmentations.items():
            suited = augmentation.for_channels(channels)
            if prescription.get(name, "off") != "off" and suited is not None:
                self.augmentations[name] = suited
        self._plans = {name: self._plan(name) for name in self.augmentations}

    def __call__(
        self, images: Tensor, index: np.ndarray, epoch: int, *, size: int | None = None
    ) -> tuple[list[Tensor], list[Draws]]:
        """All views of the images with dataset indices `index`, and what was drawn for each.

        The full views come first, `size` pixels high and wide or `self.size`, then the small ones.
        They are of one image, or each of another with the index `(n, views)`: then the images are
        those of the first view, those of the second, ...
        """
        count, full, views = len(index), self.num_views, self.num_views + self.small_views
        rows = np.tile(index, views if index.ndim == 1 else (views, 1))
        draws = self.draw(rows, epoch, np.repeat(np.arange(views), count))
        parts = [slice(view * count, (view + 1) * count) for view in range(views)]

        def rendered(some: range, side: int | None) -> list[Tensor]:
            rows = slice(some.start * count, some.stop * count)
            drawn = part_of(draws, rows)
            if index.ndim == 1:
                found = self.render(images, drawn, size=side, views=len(some))
            else:
                found = self.render(images[rows], drawn, size=side)
            return [found[part] for part in parts[: len(some)]]

        found = rendered(range(full), size)
        if self.small_views:
            side = small_side(size or self.size, self.small_size)
            found += rendered(range(full, views), side)
        return found, [part_of(draws, part) for part in parts]

    def draw(self, index: np.ndarray, epoch: int, view: int | np.ndarray) -> Draws:
        """For every augmentation whether it is `applied` and its parameters, each `(n,)`.

        Parameters are neutral where it is not applied. A `sensitive` augmentation draws the same
        numbers in every view: those of the first. Members of a group are applied to the same
        samples, in the order of their `order`.

        A member that repeats view 0 has that view's group decision and its own `order` there. The
        members that do not repeat decide together anew, and as they draw their `order` anew too,
        its turn among them may be another: the group's whole order repeats if all members do.

        A class steps through the small views: where it is applied, the k-th from 0 has the first
        one's class plus k, modulo their number, so that as many views as classes show each of them
        once. Whether it is applied follows from one number for all of them. A small view that
        repeats view 0 does not step.

        Where a `subset` is selected, probabilities are not asked and members of a group are
        selected one by one.

        Where views show different samples, numbers that views share are those of the sample in
        the view they are shared from: of a `sensitive` augmentation, of the sample in view 0.

        Args:
            index: Which samples `(n,)`; or the sample that each view shows, `(n, views)`.
            epoch: Which pass over the data, from 0.
            view: Which view, from 0: one for all samples or one for each `(n,)`.
        """
        counts: dict[Stream, int] = {}
        if self.select == "subset":
            counts = {SUBSET: 1} | {(name, True): 1 for name in self.augmentations}
        for name, augmentation in self.augmentations.items():
            sources = self._plans[name].sources
            counts[name, sources] = 2 + augmentation.num_uniforms
            if augmentation.group and self.select == "each":
                counts[augmentation.group, sources] = 1
        numbers = uniforms(counts, seed=self.seed, epoch=epoch, index=index, view=view)
        applied = self._applied(numbers, view)
        draws: Draws = {}
        for name, augmentation in self.augmentations.items():
            plan = self._plans[name]
            own = numbers[name, plan.sources]
            draws[name] = _drawn(augmentation, plan, applied[name], own, view)
        return draws

    def target(self, name: str, *, views: Sequence[int] = (0,)) -> Target:
        """What a predictor recovers of an augmentation from views, and how it is distributed.

        Measured over draws of the first epoch for a fixed range of indices, whatever the data.

        Raises:
            TwofoldError: If the augmentation is unknown or not drawn, or never changes anything.

        Example:
            >>> from twofold.augment import IMAGE
            >>> views = Views(IMAGE, {"rotate": "sensitive"}, channels=3, size=8)
            >>> round(views.target("rotate").chance, 3)  # ln 4
            1.386
        """
        if name not in self.augmentations:
            raise unknown("drawn augmentation", name, self.augmentations)
        index = np.tile(np.arange(MEASURED_DRAWS), len(views))
        drawn = self.draw(index, epoch=0, view=np.repeat(views, MEASURED_DRAWS))[name]
        return measure(name, self.augmentations[name], drawn)

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
        side = size or self.size
        return self.renderer(self.augmentations, images, draws, size=side, views=views)

    @property
    def differ(self) -> bool:
        """Whether two views of one image can differ: a view draws what the first does not."""
        first = (0,) * (self.num_views + self.small_views)
        return any(plan.sources not in (True, first) for plan in self._plans.values())

    def num_values(self, size: int) -> int:
        """How many numbers all views of one image hold, `size` pixels a side or small."""
        small, power = small_side(size, self.small_size), 1 if self.signals else 2
        large: int = self.num_views * size**power
        return self.channels * (large + self.small_views * int(small**power))

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

    def _plan(self, name: str) -> _Plan:
        augmentation, views = self.augmentations[name], range(self.num_views + self.small_views)
        shared, repeated = self.prescription[name] == "sensitive", self.repeats.get(name, ())
        sources = [0 if view in repeated else view for view in views]
        steps = [0] * len(views)
        if augmentation.target == "classes":
            for step, view in enumerate(views[self.num_views :]):
                if view not in repeated:
                    sources[view], steps[view] = sources[self.num_views], step
        alike = (augmentation.probability,) * len(views)
        probabilities = self.asymmetry.get(name, alike)
        return _Plan(
            sources=shared or (tuple(sources) if sources != list(views) else False),
            probabilities=tuple(
                probabilities[0 if shared or view in repeated else view] for view in views
            ),
            steps=tuple(steps),
        )

    def _applied(
        self, numbers: Mapping[Stream, np.ndarray], view: int | np.ndarray
    ) -> dict[str, np.ndarray]:
        """Which samples each augmentation is applied to, bool `(n,)` by name."""
        if self.select == "subset":
            size = numbers[SUBSET][:, 0]
            members = [numbers[name, True][:, 0] for name in self.augmentations]
            chosen = subset(size, np.reshape(members, (len(members), len(size))))
            return dict(zip(self.augmentations, chosen, strict=True))
        applied = {}
        for name, augmentation in self.augmentations.items():
            plan = self._plans[name]
            decider = numbers[augmentation.group or name, plan.sources]
            applied[name] = decider[:, 0] < np.take(plan.probabilities, view)
        return applied


def _drawn(
    augmentation: Augmentation,
    plan: _Plan,
    applied: np.ndarray,
    numbers: np.ndarray,
    view: int | np.ndarray,
) -> dict[str, np.ndarray]:
    """The first number has decided, the second orders, the others are the parameters'."""
    drawn = {"applied": applied} | ({"order": numbers[:, 1]} if augmentation.group else {})
    values = augmentation.draw(numbers[:, 2:])
    if augmentation.target == "classes":
        for parameter in augmentation.parameters:
            stepped = values[parameter] + np.take(plan.steps, view)
            values[parameter] = stepped % augmentation.num_classes
    for parameter, value in values.items():
        drawn[parameter] = np.where(applied, value, augmentation.neutral[parameter])
    return drawn
