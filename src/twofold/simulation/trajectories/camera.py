"""Pictures of two moments of a system: dark bobs on white, each moment in channels of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twofold.simulation.trajectories.conditions import Conditions

_HALF = 1  # a bob is a square of three pixels
_MARGIN = 4  # pixels below the lowest bob
_CLEARED = ((0, 1), (1, 2))  # channels that turn dark at each of the two moments


@dataclass(frozen=True)
class Camera:
    """Where in a picture a bob is seen.

    The centre of the picture is where a pendulum hangs; its string, 11 pixels of 32, is the unit of
    length. Pixels are rounded to, so that two pictures are all that can be told apart.

    With a crop c, the picture is the lower right corner, `size` pixels wide, of one that is
    floor(size / c + 4) pixels wide: the window's centre lies at 1 - c/2 of either side.

    Example:
        >>> Camera(32).string, Camera(64).string, Camera(32, crop=0.5).string
        (11, 27, 29)
    """

    size: int
    """Pixels along each side."""
    crop: float = 1.0
    """Share of the side of the whole picture that is shown."""

    @property
    def whole(self) -> int:
        """Pixels along each side of the whole picture."""
        return self.size if self.crop == 1 else math.floor(self.size / self.crop + _MARGIN)

    @property
    def string(self) -> int:
        """Length of a pendulum, in pixels."""
        return self.whole - _MARGIN - self.whole // 2 - _HALF

    def pixels(self, bobs: np.ndarray) -> np.ndarray:
        """Row and column of the middle of each bob.

        Args:
            bobs: `(..., 2)`, down and right of the centre, in lengths of the string.
        """
        origin = math.floor((1 - self.crop / 2) * self.whole - self.size / 2)
        centre = self.whole // 2 - (origin if self.crop < 1 else 0)
        return np.asarray(centre + np.rint(bobs * self.string), np.int64)

    def sees(self, pixels: np.ndarray) -> np.ndarray:
        """Which rows of pixels `(n, moments, bobs, 2)` show all of every bob."""
        inside = (pixels >= _HALF) & (pixels < self.size - _HALF)
        return np.asarray(inside.all(axis=(1, 2, 3)))

    def shown(self, pixels: np.ndarray) -> np.ndarray:
        """What tells pictures apart: middles of bobs counted from 1, and 0 where nothing is seen.

        Args:
            pixels: Middles of bobs `(..., 2)`.
        """
        inside = (pixels >= -_HALF) & (pixels < self.size + _HALF)
        return np.where(inside.all(axis=-1, keepdims=True), pixels + _HALF + 1, 0)

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures, 255 where nothing is and 0 where a bob is.

        Args:
            pixels: Middles of bobs `(n, 2, bobs, 2)`, anywhere.

        Returns:
            uint8 `(n, 3, size, size)`: channels 0 and 1 are dark at the first moment's bobs,
            channels 1 and 2 at the second's.
        """
        n, _, bobs, _ = pixels.shape
        framed = np.full((n, 3, self.size + 2, self.size + 2), 255, np.uint8)
        square = np.arange(-_HALF, _HALF + 1)
        # What is outside falls into the frame, which is cut off.
        near = np.clip(pixels[..., None] + square, -1, self.size) + 1
        row = np.arange(n)[:, None, None]
        for moment, channels in enumerate(_CLEARED):
            for bob in range(bobs):
                rows, columns = near[:, moment, bob, 0, :, None], near[:, moment, bob, 1, None, :]
                for channel in channels:
                    framed[row, channel, rows, columns] = 0
        return np.ascontiguousarray(framed[:, :, 1:-1, 1:-1])


def camera_of(conditions: Conditions) -> Camera:
    """The camera of some conditions."""
    return Camera(conditions.size, conditions.crop)


def draw_shifts(conditions: Conditions, n: int, rng: np.random.Generator) -> np.ndarray:
    """By how many pixels pictures are shifted, down and right `(n, 2)`: none or one."""
    return np.asarray(rng.random((n, 2)) < 2 * conditions.pixel_noise, np.int64)


def draw_tints(conditions: Conditions, n: int, rng: np.random.Generator) -> np.ndarray:
    """What is added to each channel of pictures `(n, 3)`."""
    most = conditions.pixel_noise / 8
    return rng.uniform(-most, most, (n, 3)).astype(np.float32)


def add_noise(
    pictures: np.ndarray, tints: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Pictures with a tint of every channel and noise of every pixel, rounded to 1/255."""
    grain = rng.standard_normal(pictures.shape, np.float32) * np.float32(strength / 4)
    noisy = pictures / np.float32(255) + grain + tints[:, :, None, None]
    return np.asarray(np.rint(np.clip(noisy, 0, 1) * 255), np.uint8)
