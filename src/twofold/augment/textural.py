"""Augmentations that look at a pixel's surroundings or add to it; rendered last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold import augment
from twofold.augment.augmentation import Augmentation, between, span, within

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from twofold.augment.augmentation import Values


@dataclass(frozen=True, kw_only=True)
class Blur(Augmentation):
    """Gaussian blur with a random sigma.

    Reference: Chen et al., 2020, arXiv:2002.05709 (appendix A)
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    sigma: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest standard deviation in pixels of the view, in [0.01, 100]."""
    kernel: float = 0.1
    """Kernel's side as a share of the view's, rounded to an odd number of pixels >= 3."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"sigma": 0.0}
    target = "continuous"
    words = "blur σ {sigma:.1f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "sigma", 0.01, 100)
        within(self, "kernel", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The standard deviation in pixels."""
        return {"sigma": between(numbers[:, 0], *self.sigma)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `filters.gaussian_blur`."""
        side = self.side(images.shape[-1])
        return augment.filters.gaussian_blur(images, values["sigma"], side)

    def side(self, size: int) -> int:
        """Side of the kernel in pixels, for views of `size` pixels."""
        return max(3, int(size * self.kernel) | 1)


@dataclass(frozen=True, kw_only=True)
class MotionBlur(Augmentation):
    """The mean along a short line in a random direction."""

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""
    length: tuple[float, float] = (3.0, 9.0)
    """Smallest and largest length of the line in pixels of the view, in [1, 100]."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"length": 1.0, "angle": 0.0}
    target = "continuous"
    words = "motion {length:.0f} px {angle:.0f}°"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "length", 1, 100)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The length in pixels and the direction in [0, 180) degrees."""
        return {
            "length": between(numbers[:, 0], *self.length),
            "angle": between(numbers[:, 1], 0, 180),
        }

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `filters.motion_blur`."""
        points = math.ceil(self.length[1])
        return augment.filters.motion_blur(images, values["length"], values["angle"], points)


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """Gaussian noise added to every value: `clip(x + sigma * normal)`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    sigma: tuple[float, float] = (0.02, 0.1)
    """Smallest and largest standard deviation, in [0, 1]."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"sigma": 0.0, "key": 0.0}
    target = "continuous"
    parameters = ("sigma",)
    words = "noise σ {sigma:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "sigma", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The standard deviation, and the 32-bit key that every pixel's number follows from."""
        return {"sigma": between(numbers[:, 0], *self.sigma), "key": numbers[:, 1] * 2.0**32}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `filters.noise`."""
        return augment.filters.noise(images, values["sigma"], values["key"])


@dataclass(frozen=True, kw_only=True)
class Cutout(Augmentation):
    """A square of the view replaced by the view's mean colour.

    Reference: DeVries and Taylor, 2017, arXiv:1708.04552
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    side: float = 0.5
    """Side of the square as a share of the view's, in [0, 1]."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"top": 0.0, "left": 0.0}
    words = "cutout"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "side", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Where the square lies, as shares of the room that it leaves."""
        return {"top": numbers[:, 0], "left": numbers[:, 1]}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `filters.cutout`."""
        return augment.filters.cutout(images, values, self.side)


@dataclass(frozen=True, kw_only=True)
class Sobel(Augmentation):
    """The strength of the gray image's edges, in every channel."""

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "filter"
    words = "sobel"

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `filters.sobel`."""
        del values
        return augment.filters.sobel(images)
