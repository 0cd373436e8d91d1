"""Augmentations of states: what is measured badly, and what changes a state as a whole.

Coordinates count in deviations, as `scale.measure` has them, with the origin where it was. Half
of them are positions, and momenta or velocities follow in the same order. Importing this module
loads neither torch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold import augment
from twofold.augment.augmentation import Augmentation, between, span

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from twofold.augment.augmentation import Values


@dataclass(frozen=True, kw_only=True)
class Mirror(Augmentation):
    """The state opposite in phase space: `(q, p) -> (-q, -p)`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    words = "mirror"

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Changes the sign of all coordinates."""
        del values
        return -images


@dataclass(frozen=True, kw_only=True)
class Reverse(Augmentation):
    """The state of the same motion run backwards: `(q, p) -> (q, -p)`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    words = "reverse"

    def for_channels(self, channels: int) -> Augmentation | None:
        """Nothing for an odd number of coordinates, half of which cannot be momenta."""
        return None if channels % 2 else self

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Changes the sign of the second half of the coordinates."""
        del values
        momenta = images.shape[1] // 2
        images[:, momenta:].neg_()
        return images


@dataclass(frozen=True, kw_only=True)
class Stretch(Augmentation):
    """A larger or smaller state: all coordinates times one factor. It changes the energy."""

    factor: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest factor, in [0.01, 100]."""

    neutral: ClassVar[Mapping[str, float]] = {"factor": 1.0}
    target = "continuous"
    words = "stretch {factor:.0%}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "factor", 0.01, 100)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factor."""
        return {"factor": between(numbers[:, 0], *self.factor)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Multiplies by the factor."""
        return images.mul_(augment.colour.column(values["factor"], images))


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """What a measurement adds: `x -> x + sigma normal`, coordinate by coordinate."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    sigma: tuple[float, float] = (0.02, 0.1)
    """Smallest and largest standard deviation, as a share of each coordinate's own; in [0, 10]."""

    neutral: ClassVar[Mapping[str, float]] = {"sigma": 0.0, "key": 0.0}
    target = "continuous"
    parameters = ("sigma",)
    words = "noise σ {sigma:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "sigma", 0, 10)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The deviation, and the 32-bit key that every coordinate's number follows from."""
        return {"sigma": between(numbers[:, 0], *self.sigma), "key": numbers[:, 1] * 2.0**32}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Adds a normal number to every coordinate."""
        import torch

        key = torch.from_numpy(values["key"].astype("int64")).to(images.device)
        normal = augment.filters.normals(key, images.shape[1]).view_as(images)
        return images.add_(normal.mul_(augment.colour.column(values["sigma"], images)))


TRAJECTORY: dict[str, Augmentation] = {
    "mirror": Mirror(),
    "reverse": Reverse(),
    "stretch": Stretch(),
    "noise": Noise(),
}
"""Every augmentation of states by name, in the order applied."""
