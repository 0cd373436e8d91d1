"""The renderer of jet images: deposits are moved and changed, then summed in the cells they reach.

Nothing is interpolated, so what moves keeps its energy, but for what leaves the window.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from twofold.augment.augmentation import Augmentation
from twofold.augment.draws import Draws, philox
from twofold.domains.jet.channels import energies, parts

_NORMAL_KEY = zlib.crc32(b"deposits")


class Change(Protocol):
    """What an augmentation of jet images does."""

    def change(self, deposits: Deposits, drawn: Mapping[str, Tensor]) -> None:
        """Changes deposits; `drawn` holds what was drawn for each of them, `(deposits,)`."""


@dataclass(eq=False)
class Deposits:
    """The filled cells of some views, each tensor `(deposits,)`."""

    view: Tensor
    """Which view."""
    channel: Tensor
    """Which channel."""
    cell: Tensor
    """Where in the image it was, counted over channels, rows and columns."""
    eta: Tensor
    """Cells from the image's centre along η."""
    phi: Tensor
    """Cells from the image's centre along φ."""
    value: Tensor
    """Energy, or whatever the channel holds."""
    shape: tuple[int, int, int]
    """Channels, height and width of the images."""

    @property
    def width(self) -> int:
        """How many cells span φ."""
        return self.shape[2]

    @property
    def part(self) -> Tensor:
        """The place in `channels.PARTS` of what measured it."""
        return torch.tensor(parts(self.shape[0]), device=self.channel.device)[self.channel]

    def set_energy(self, energy: Tensor) -> None:
        """Replaces values that are energies; impact parameters and pixel hits stay."""
        channels, measured = self.shape[0], energies(self.shape[0])
        if len(measured) < channels:
            holds = torch.tensor([which in measured for which in range(channels)])
            energy = energy.where(holds.to(energy.device)[self.channel], self.value)
        self.value = energy

    def normal(self, key: Tensor) -> Tensor:
        """A standard normal number for each, a function of its cell and a 32-bit key."""
        zero = torch.zeros_like(self.cell)
        words = philox((self.cell, zero, zero, zero), (key, _NORMAL_KEY))
        length, turn = ((word.float() + 0.5) * 2.0**-32 for word in words[:2])
        return length.log().mul(-2).sqrt() * turn.mul(2 * math.pi).cos()  # Box and Muller's method

    def of(self, rows: Tensor) -> Deposits:
        """Some of them, as a copy."""
        names = ("view", "channel", "cell", "eta", "phi", "value")
        return replace(self, **{name: getattr(self, name).index_select(0, rows) for name in names})


@torch.no_grad()
def render(
    augmentations: Mapping[str, Augmentation],
    images: Tensor,
    draws: Draws,
    *,
    size: int,
    views: int = 1,
) -> Tensor:
    """The views that `draws` describe: the first of every image, the second of every image...

    A deposit lands in the cell where its cell's centre comes to lie. Where nothing is applied, a
    view of the image's size is the image itself. In one of another size, deposits that meet in a
    cell are added, impact parameters and pixel hits, too.

    Args:
        augmentations: Settings by name, in the order applied.
        images: float32 on the scale of the views, mostly zero, `(n, channels, eta, phi)`, on any
            device.
        draws: For the same samples over and over, `(views * n,)`.
        size: Height and width of the views in cells.
        views: How many views of each image the draws describe.

    Returns:
        float32, `(views * n, channels, size, size)`.

    Example:
        >>> from twofold.domains.jet.augmentations import JET
        >>> jets = torch.zeros(1, 1, 2, 2)
        >>> jets[0, 0, 0, 0], jets[0, 0, 1, 0] = 5.0, 7.0
        >>> drawn = {"applied": np.array([True]), "angle": np.array([90.0])}
        >>> render({"rotate": JET["rotate"]}, jets, {"rotate": drawn}, size=2)[0, 0].tolist()
        [[0.0, 0.0], [5.0, 7.0]]
        >>> render({}, jets, {}, size=1).item()
        12.0
    """
    deposits = find(images, views)
    for name, augmentation in augmentations.items():
        _apply(cast("Change", augmentation), deposits, draws[name])
    views_shape = (views * len(images), images.shape[1], size, size)
    return _summed(deposits, images.new_zeros(views_shape))


def find(images: Tensor, views: int = 1) -> Deposits:
    """Every value of images `(n, channels, eta, phi)` that is not zero, in all of their views."""
    count, channels, height, width = images.shape
    flat = images.reshape(-1)
    found = _filled(flat)
    image, cell = found // (channels * height * width), found % (channels * height * width)
    first = count * torch.arange(views, device=images.device)
    return Deposits(
        view=(first[:, None] + image).flatten(),
        channel=(cell // (height * width)).repeat(views),
        cell=cell.repeat(views),
        eta=(cell // width % height + (0.5 - height / 2)).repeat(views),
        phi=(cell % width + (0.5 - width / 2)).repeat(views),
        value=flat[found].repeat(views),
        shape=(channels, height, width),
    )


def _filled(values: Tensor) -> Tensor:
    """The places of what is not zero, `(n,)`."""
    if values.device.type == "cpu":  # NumPy finds them in a fifth of torch's time
        return torch.from_numpy(np.flatnonzero(values.numpy() != 0))
    return values.nonzero()[:, 0]


def _apply(augmentation: Change, deposits: Deposits, drawn: Mapping[str, np.ndarray]) -> None:
    """Changes the deposits of the views that the augmentation is applied to, and no others."""
    rows = _each(drawn["applied"], deposits.view).nonzero()[:, 0]
    some = deposits.of(rows)
    values = {
        name: _each(value.astype(np.int64 if name == "key" else np.float32), some.view)
        for name, value in drawn.items()
        if name != "applied"
    }
    augmentation.change(some, values)
    for name in ("eta", "phi", "value"):
        getattr(deposits, name).index_copy_(0, rows, getattr(some, name))


def _each(drawn: np.ndarray, view: Tensor) -> Tensor:
    """What was drawn for the view of each deposit."""
    return torch.from_numpy(drawn).to(view.device).index_select(0, view)


def _summed(deposits: Deposits, views: Tensor) -> Tensor:
    """Adds the deposits to views `(n, channels, size, size)`, always in the same order."""
    size = views.shape[-1]
    _, height, width = deposits.shape
    # In this order: the numbers stay exact where a cell's centre falls between two of the view's.
    row = (deposits.eta * size / height + size / 2).floor().long()
    column = (deposits.phi * size / width + size / 2).floor().long()
    seen = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    channel = deposits.view * views.shape[1] + deposits.channel
    place, value = ((channel * size + row) * size + column)[seen], deposits.value[seen]
    if views.device.type == "cpu":
        views.view(-1).index_add_(0, place, value)
    else:  # sorts, where `index_add_` adds in any order
        views.view(-1).index_put_((place,), value, accumulate=True)
    return views
