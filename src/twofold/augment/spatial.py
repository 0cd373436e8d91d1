"""Augmentations that move pixels: all of a sample's compose to one matrix, rendered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold import augment
from twofold.augment.augmentation import Augmentation, between, circular, span, within

if TYPE_CHECKING:
    import numpy as np

    from twofold.augment.augmentation import Values


@dataclass(frozen=True, kw_only=True)
class ResizedCrop(Augmentation):
    """A random box of the image, resized to the view.

    Reference: Szegedy et al., 2014, arXiv:1409.4842
    """

    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the image's area, in (0, 1]."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width over height, relative to the image's own, > 0."""

    stage = "crop"
    neutral: ClassVar[Mapping[str, float]] = {"height": 1.0, "width": 1.0, "top": 0.0, "left": 0.0}
    num_uniforms = 22
    target = "continuous"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "scale", 1e-6, 1)
        span(self, "ratio", 1e-3, 1e3)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Height and width as shares of the image; top and left as shares of the room left."""
        return augment.geometry.draw_crop(numbers, self.scale, self.ratio)

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """Where the box's centre lies and how large it is, as shares of the image."""
        height, width = values["height"], values["width"]
        return {
            "centre_x": values["left"] * (1 - width) + width / 2,
            "centre_y": values["top"] * (1 - height) + height / 2,
            "height": height,
            "width": width,
        }

    def box(self, values: Values, height: int, width: int) -> np.ndarray:
        """See `geometry.crop_box`."""
        return augment.geometry.crop_box(values, height, width)

    def caption(self, values: Mapping[str, float]) -> str:
        """The share of the area that is kept."""
        return f"crop {100 * values['height'] * values['width']:.0f} %"


@dataclass(frozen=True, kw_only=True)
class Flip(Augmentation):
    """Left and right exchanged."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "geometry"
    words = "flip"

    def matrix(self, values: Values) -> np.ndarray:
        """Mirrors x where applied."""
        return augment.geometry.mirror(values["applied"], axis=0)


@dataclass(frozen=True, kw_only=True)
class VerticalFlip(Augmentation):
    """Top and bottom exchanged."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "geometry"
    words = "flip ↕"

    def matrix(self, values: Values) -> np.ndarray:
        """Mirrors y where applied."""
        return augment.geometry.mirror(values["applied"], axis=1)


@dataclass(frozen=True, kw_only=True)
class Rotate(Augmentation):
    """A counter-clockwise rotation by 0, 1, 2 or 3 quarter turns, all equally likely.

    Reference: Gidaris et al., 2018, arXiv:1803.07728
    """

    stage = "geometry"
    neutral: ClassVar[Mapping[str, float]] = {"turns": 0.0}
    target = "classes"
    num_classes = 4

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The number of quarter turns."""
        return {"turns": numbers[:, 0] * 4 // 1}

    def matrix(self, values: Values) -> np.ndarray:
        """See `geometry.quarter_turns`."""
        return augment.geometry.quarter_turns(values["turns"])

    def caption(self, values: Mapping[str, float]) -> str:
        """The angle."""
        return f"rot {90 * values['turns']:.0f}°"


@dataclass(frozen=True, kw_only=True)
class RotateFree(Augmentation):
    """A rotation by any angle; what turns into view repeats the crop's edge."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    degrees: float = 30.0
    """Largest angle either way, in [0, 180] degrees."""

    stage = "geometry"
    neutral: ClassVar[Mapping[str, float]] = {"angle": 0.0}
    target = "continuous"
    words = "rot {angle:+.0f}°"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "degrees", 0, 180)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The angle in degrees, counter-clockwise."""
        return {"angle": between(numbers[:, 0], -self.degrees, self.degrees)}

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """The angle, or its sine and cosine where turns either way come close to meeting."""
        if self.degrees > 90:
            return circular(values["angle"] / 360)
        return super().quantities(values)

    def matrix(self, values: Values) -> np.ndarray:
        """See `geometry.rotation`."""
        return augment.geometry.rotation(values["angle"])


@dataclass(frozen=True, kw_only=True)
class Affine(Augmentation):
    """Shifted, scaled and sheared; what moves into view repeats the crop's edge."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    translate: float = 0.1
    """Largest shift either way, in [0, 1] of the view's side."""
    scale: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest magnification, in [0.1, 10]."""
    shear: float = 10.0
    """Largest horizontal shear either way, in [0, 60] degrees."""

    stage = "geometry"
    neutral: ClassVar[Mapping[str, float]] = {"right": 0.0, "down": 0.0, "scale": 1.0, "shear": 0.0}
    target = "continuous"
    words = "shift {right:+.2f} {down:+.2f} zoom ×{scale:.2f} shear {shear:+.0f}°"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "translate", 0, 1)
        span(self, "scale", 0.1, 10)
        within(self, "shear", 0, 60)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The shifts in shares of the side, the magnification, and the shear in degrees."""
        smallest, largest = self.scale
        return {
            "right": between(numbers[:, 0], -self.translate, self.translate),
            "down": between(numbers[:, 1], -self.translate, self.translate),
            "scale": smallest * (largest / smallest) ** numbers[:, 2],
            "shear": between(numbers[:, 3], -self.shear, self.shear),
        }

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """The shifts, the logarithm of the magnification, and the shear."""
        import numpy as np

        moved = super().quantities(values)
        return {**moved, "scale": np.log(moved["scale"])}

    def matrix(self, values: Values) -> np.ndarray:
        """See `geometry.affine`."""
        return augment.geometry.affine(values)
