"""Augmentations that change values pixel by pixel: colour jitter, grayscale and the like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold import augment
from twofold.augment.augmentation import Augmentation, between, circular, within

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from twofold.augment.augmentation import Values


@dataclass(frozen=True, kw_only=True)
class Brightness(Augmentation):
    """Blended with black: `clip(factor * x)`."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.4
    """How far the factor may be from 1, >= 0; factors below 0 are not drawn."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"factor": 1.0}
    group = "jitter"
    target = "continuous"
    words = "bright ×{factor:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "strength", 0, math.inf)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factor."""
        return {"factor": _factor(numbers[:, 0], self.strength)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.brightness`."""
        return augment.colour.brightness(images, values["factor"])


@dataclass(frozen=True, kw_only=True)
class Contrast(Augmentation):
    """Blended with the image's mean gray: `clip(factor * x + (1 - factor) * mean)`."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.4
    """How far the factor may be from 1, >= 0; factors below 0 are not drawn."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"factor": 1.0}
    group = "jitter"
    target = "continuous"
    words = "contrast ×{factor:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "strength", 0, math.inf)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factor."""
        return {"factor": _factor(numbers[:, 0], self.strength)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.contrast`."""
        return augment.colour.contrast(images, values["factor"])


@dataclass(frozen=True, kw_only=True)
class Saturation(Augmentation):
    """Blended with the gray image: `clip(factor * x + (1 - factor) * gray)`."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.4
    """How far the factor may be from 1, >= 0; factors below 0 are not drawn."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"factor": 1.0}
    group = "jitter"
    target = "continuous"
    words = "saturation ×{factor:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "strength", 0, math.inf)

    def for_channels(self, channels: int) -> Augmentation | None:
        """A gain per channel in its place; nothing for one channel."""
        if channels == 3:
            return self
        settings = {"probability": self.probability, "strength": self.strength}
        return ChannelGain(channels=channels, **settings) if channels > 1 else None

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factor."""
        return {"factor": _factor(numbers[:, 0], self.strength)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.saturation`."""
        return augment.colour.saturation(images, values["factor"])


@dataclass(frozen=True, kw_only=True)
class Hue(Augmentation):
    """The hue of HSV turned by a share of the colour circle."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.1
    """Largest turn either way, in [0, 0.5] of the circle."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"shift": 0.0}
    group = "jitter"
    target = "continuous"
    words = "hue {shift:+.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "strength", 0, 0.5)

    def for_channels(self, channels: int) -> Augmentation | None:
        """An offset per channel in its place; nothing for one channel."""
        if channels == 3:
            return self
        settings = {"probability": self.probability, "strength": self.strength}
        return ChannelOffset(channels=channels, **settings) if channels > 1 else None

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The turn in shares of the circle."""
        return {"shift": between(numbers[:, 0], -self.strength, self.strength)}

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """The turn, or its sine and cosine where turns either way come close to meeting."""
        if self.strength > 0.25:
            return circular(values["shift"])
        return super().quantities(values)

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.hue`."""
        return augment.colour.hue(images, values["shift"])


@dataclass(frozen=True, kw_only=True)
class Grayscale(Augmentation):
    """Colour dropped, the channels kept."""

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "colour"
    words = "gray"

    def for_channels(self, channels: int) -> Augmentation | None:
        """The mean of the channels in its place; nothing for one channel."""
        if channels == 3:
            return self
        return ChannelMean(probability=self.probability) if channels > 1 else None

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.grayscale`."""
        del values
        return augment.colour.grayscale(images)


@dataclass(frozen=True, kw_only=True)
class Solarize(Augmentation):
    """Bright pixels inverted: `1 - x` where `x >= threshold`.

    Reference: Grill et al., 2020, arXiv:2006.07733
    """

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""
    threshold: float = 0.5
    """Smallest value that is inverted, in [0, 1]."""

    stage = "colour"
    words = "solarize"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "threshold", 0, 1)

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.solarize`."""
        del values
        return augment.colour.solarize(images, self.threshold)


@dataclass(frozen=True, kw_only=True)
class Equalize(Augmentation):
    """The histogram of every channel made flat, in 256 levels."""

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "colour"
    words = "equalize"

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.equalize`."""
        del values
        return augment.colour.equalize(images)


@dataclass(frozen=True, kw_only=True)
class ChannelGain(Augmentation):
    """What saturation becomes without RGB: every channel multiplied by its own factor."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.4
    """How far the factors may be from 1, >= 0; factors below 0 are not drawn."""
    channels: int
    """Channels of the images."""

    stage = "colour"
    group = "jitter"
    target = "continuous"
    effect = "every channel is multiplied by its own factor"

    @property
    def neutral(self) -> Mapping[str, float]:
        """A factor of 1 for every channel."""
        return {f"factor_{channel}": 1.0 for channel in range(self.channels)}

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The factors."""
        factors = _factor(numbers, self.strength)
        return {name: factors[:, channel] for channel, name in enumerate(self.neutral)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.gain`."""
        return augment.colour.gain(images, [values[name] for name in self.neutral])

    def caption(self, values: Mapping[str, float]) -> str:
        """The factors."""
        return "gain " + " ".join(f"×{values[name]:.2f}" for name in self.neutral)


@dataclass(frozen=True, kw_only=True)
class ChannelOffset(Augmentation):
    """What hue becomes without RGB: every channel moved by its own offset."""

    probability: float = 0.8
    """Share of the samples that the colour jitter is applied to, in [0, 1]."""
    strength: float = 0.1
    """Largest offset either way, in [0, 1]."""
    channels: int
    """Channels of the images."""

    stage = "colour"
    group = "jitter"
    target = "continuous"
    effect = "every channel is moved by its own offset"

    @property
    def neutral(self) -> Mapping[str, float]:
        """An offset of 0 for every channel."""
        return {f"offset_{channel}": 0.0 for channel in range(self.channels)}

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The offsets."""
        offsets = between(numbers, -self.strength, self.strength)
        return {name: offsets[:, channel] for channel, name in enumerate(self.neutral)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.offset`."""
        return augment.colour.offset(images, [values[name] for name in self.neutral])

    def caption(self, values: Mapping[str, float]) -> str:
        """The offsets."""
        return "offset " + " ".join(f"{values[name]:+.2f}" for name in self.neutral)


@dataclass(frozen=True, kw_only=True)
class ChannelMean(Augmentation):
    """What grayscale becomes without RGB: every channel replaced by the mean of all."""

    probability: float = 0.2
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "colour"
    words = "channel mean"
    effect = "every channel becomes the mean of all"

    def render(self, images: Tensor, values: Values) -> Tensor:
        """See `colour.grayscale`."""
        del values
        return augment.colour.grayscale(images)


def _factor(number: np.ndarray, strength: float) -> np.ndarray:
    return between(number, max(0.0, 1 - strength), 1 + strength)
