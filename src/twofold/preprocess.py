"""From stored values to what an encoder reads: one recorded scale for training and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.clips import Clips, clips_of
from twofold.errors import TwofoldError
from twofold.items import Items, Shuffled
from twofold.spectrogram import Spectrogram

_PIECE = 2**24  # values looked at together
FULL_SCALES = {"int16": 2.0**15, "float32": 1.0, "float64": 1.0}
"""Stored value of a signal that is 1 on the scale of the views, by type."""
_DTYPE_RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "bool": (0.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Maps stored items to the scale that views are made on, and that to what the encoder reads.

    Views are made of `y = (x - low) / (high - low)`, clipped to [0, 1] if values are bounded, as
    those of images are. Amounts, which are not, are 0 where |x| < `zero_below`, and multiplied by
    the gain of their channel up to `clip`. The encoder reads `(y - mean) / std`; of logarithmic
    amounts `sign(y) log(1 + |y|)` takes the place of y, and of signals their spectrogram if there
    is a front end.

    Example:
        >>> items = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4)
        >>> preprocess = measure(items)
        >>> round(preprocess.unit(items).max().item() * 255, 4)
        31.0
        >>> abs(preprocess(items).mean().item()) < 1e-5
        True
    """

    low: float
    """Stored value that becomes 0."""
    high: float
    """Stored value that becomes 1."""
    mean: tuple[float, ...]
    """What is subtracted from each channel that the encoder reads; for images their mean over the
    training items."""
    std: tuple[float, ...]
    """What each is divided by, > 0; for images their standard deviation."""
    size: int
    """Height and width of an item in pixels; samples of a signal."""
    dtype: str = "uint8"
    """Type that items are stored in; any float will do for any other."""
    domain: str = "image"
    """What kind of items they are."""
    bounded: bool = True
    """Whether values end at 0 and 1 on that scale; amounts such as energies do not."""
    zero_below: float = 0.0
    """Stored values nearer to 0 than this become 0."""
    gains: tuple[float, ...] = ()
    """Factor on each channel; 1 if none."""
    clip: float | None = None
    """Largest amount on the scale of the views, if they are not bounded."""
    log: bool = False
    """Whether the encoder reads logarithms of amounts."""
    sample_rate: int | None = None
    """Samples a second, if items are signals."""
    front_end: Spectrogram | None = None
    """What the encoder reads in place of signals; the signals themselves if None."""

    @property
    def channels(self) -> int:
        """How many channels an item must have."""
        return len(self.mean) // (1 if self.front_end is None else self.front_end.planes)

    @property
    def height(self) -> int:
        """Height of an item in pixels: a signal is one row."""
        return self.size if self.sample_rate is None else 1

    def read_shape(self, size: int | None = None) -> tuple[int, int, int]:
        """Channels, height and width that the encoder reads of views of a size."""
        if self.sample_rate is None:
            return self.channels, size or self.size, size or self.size
        if self.front_end is None:
            return self.channels, 1, size or self.size
        return (len(self.mean), *self.front_end.shape(size or self.size))

    @property
    def window(self) -> dict[str, Any]:
        """How `open_data` gives what this reads: sample rate, seconds and channels of signals."""
        if self.sample_rate is None:
            return {}
        seconds = self.size / self.sample_rate
        return {"sample_rate": self.sample_rate, "seconds": seconds, "mono": self.channels == 1}

    @property
    def values(self) -> str:
        """What stored values are, in words."""
        if self.sample_rate is not None:
            return f"waveforms of full scale 1 at {self.sample_rate:,} Hz"
        return f"values from {self.low:g} to {self.high:g}" if self.bounded else "amounts"

    @overload
    def stored(self, items: np.ndarray | Clips | Tensor) -> np.ndarray | Clips: ...
    @overload
    def stored(self, items: Items | Tensor) -> Items: ...
    def stored(self, items: Items | Tensor) -> Items:
        """A user's array as training stored its own: channels first, in the stored type.

        Args:
            items: `(n, channels, height, width)`, `(n, height, width, channels)`, or
                `(n, height, width)` for one channel; `(n, channels)` for states; of signals
                `(n, channels, samples)`, or `(n, samples)` for one channel.

        Raises:
            TwofoldError: If it has other channels, or whole numbers that the type cannot hold.
        """
        if not isinstance(items, np.ndarray | Tensor) and items.shape[1:2] == (self.channels,):
            return items
        array = items.detach().cpu().numpy() if isinstance(items, Tensor) else np.asarray(items)
        if self.sample_rate is not None:
            return clips_of(array, self.channels, window=self.size, sample_rate=self.sample_rate)
        if array.ndim == 3:
            array = array[:, None]
        if array.ndim == 2 and self.size == 1:
            array = array[:, :, None, None]
        if array.ndim == 4 and array.shape[3] == self.channels != array.shape[1]:
            array = np.moveaxis(array, 3, 1)
        if array.ndim != 4 or array.shape[1] != self.channels:
            raise TwofoldError(
                f"items have shape {tuple(items.shape)}; this encoder reads "
                f"(n, {self.channels}, height, width)"
            )
        whole = array.dtype.kind in "uib" and np.dtype(self.dtype).kind in "uib"
        if whole and array.dtype != self.dtype:
            converted = array.astype(self.dtype)
            if not np.array_equal(converted, array):
                raise TwofoldError(
                    f"items are {array.dtype} from {array.min()} to {array.max()}, but this "
                    f"encoder was trained on {self.dtype}"
                )
            return converted
        return array

    def unit(self, items: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Stored items `(batch, channels, height, width)` as float32 on the scale of the views.

        It is [0, 1] if values are bounded.
        """
        found = str(items.dtype).removeprefix("torch.")
        high = self.high
        if self.sample_rate is not None and found in FULL_SCALES:
            high = FULL_SCALES[found]
        elif _kind(found) != _kind(self.dtype):
            raise TwofoldError(
                f"items are {found}, but this encoder was trained on {self.dtype} from "
                f"{self.low:g} to {self.high:g}; convert them to that type and range"
            )
        images = _as_float(items, device)
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise TwofoldError(
                f"items have shape {tuple(images.shape)}; this encoder reads "
                f"(batch, {self.channels}, height, width)"
            )
        if self.zero_below:
            images.masked_fill_(images.abs() < self.zero_below, 0)
        images.sub_(self.low).div_(high - self.low)
        if self.gains:
            images.mul_(images.new_tensor(self.gains).view(1, -1, 1, 1))
        return images.clamp_(0, 1) if self.bounded else images.clamp_(max=self.clip or torch.inf)

    @property
    def of_views(self) -> Preprocess:
        """From the scale of the views, stored as float32, to what the encoder reads."""
        return replace(
            self, low=0.0, high=1.0, dtype="float32", zero_below=0.0, gains=(), clip=None
        )

    def standardize(self, images: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Items on the scale of views as the encoder reads them, in `out` if given and as large."""
        if self.front_end is not None:
            images = out = self.front_end(images)
        if self.log:
            images = images.abs().log1p_().mul_(images.sign())
        mean = images.new_tensor(self.mean).view(1, -1, 1, 1)
        std = images.new_tensor(self.std).view(1, -1, 1, 1)
        return torch.sub(images, mean, out=out).div_(std)

    def __call__(self, items: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Stored items as the encoder reads them in evaluation: resized, scaled, standardised.

        Raises:
            TwofoldError: If amounts would have to be resized, which changes what they add up to.
        """
        return self.standardize(self.fitted(self.unit(items, device)))

    def fitted(self, images: Tensor, size: int | None = None) -> Tensor:
        """Items on the scale of views, images of them resized to `size` or the encoder's.

        Raises:
            TwofoldError: If amounts would have to be resized, which changes what they add up to.
        """
        found, size = tuple(images.shape[-2:]), size or self.size
        if self.bounded:
            return resize(images, size)
        if self.sample_rate is not None and found != (1, size):
            raise TwofoldError(
                f"items are windows of {found[1]} samples, but this encoder reads {size}"
            )
        if self.sample_rate is None and min(found) != size:
            raise TwofoldError(
                f"items are {found[0]}x{found[1]}, but this encoder reads {size}x{size}, and "
                "amounts are not resized; bin them anew"
            )
        return images if self.sample_rate is not None else resize(images, size)


def resize(images: Tensor, size: int) -> Tensor:
    """Square images `(batch, channels, size, size)`: short side to `size`, then the centre."""
    height, width = images.shape[-2:]
    if (height, width) == (size, size):
        return images
    scale = size / min(height, width)
    shape = (max(size, round(height * scale)), max(size, round(width * scale)))
    images = F.interpolate(images, size=shape, mode="bilinear", antialias=True)
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    return images[..., top : top + size, left : left + size]


def measure(
    items: Items,
    *,
    size: int | None = None,
    sample: int = 10_000,
    low: float | None = None,
    high: float | None = None,
) -> Preprocess:
    """The preprocessing that fits images `(n, channels, height, width)`, measured on a sample.

    Integer types use their full range; floats already in [0, 1] keep it; other floats use the
    smallest and largest value found in all items.

    Args:
        items: Training items, as stored.
        size: Height and width the encoder reads; the items' short side if None.
        sample: How many evenly spaced items the mean and deviation are measured on.
        low: Stored value that becomes 0 instead.
        high: Stored value that becomes 1 instead.

    Raises:
        TwofoldError: If all values are the same, or `low` is not below `high`.
    """
    if low is None or high is None:
        found = _value_range(items)
        low, high = found[0] if low is None else low, found[1] if high is None else high
    if not low < high:
        raise TwofoldError(
            f"stored values from {low:g} to {high:g} would become 0 to 1; the first must be smaller"
        )
    preprocess = Preprocess(
        low=low,
        high=high,
        mean=(0.0,) * items.shape[1],
        std=(1.0,) * items.shape[1],
        size=size or min(items.shape[-2:]),
        dtype=items.dtype.name,
    )
    return standardized(preprocess, items, sample=sample)


def standardized(preprocess: Preprocess, items: Items, *, sample: int = 10_000) -> Preprocess:
    """`preprocess` with the mean and deviation of each channel that it gives a sample of `items`.

    A channel that is the same everywhere carries nothing: it is left at zero.
    """
    count = len(preprocess.mean)
    plain = replace(preprocess, mean=(0.0,) * count, std=(1.0,) * count)
    step = 1 if isinstance(items, Shuffled) else max(1, len(items) // sample)
    index = np.arange(0, len(items), step)[:sample]
    size = max(1, _PIECE // int(np.prod(items.shape[1:])))
    pieces = [index[start : start + size] for start in range(0, len(index), size)]

    def average(measured: Callable[[Tensor], Tensor]) -> Tensor:
        """Of each channel, over the sample, of which one piece at a time is in memory."""
        total = torch.zeros(count, dtype=torch.float64)
        for piece in pieces:
            images = plain.standardize(plain.unit(items[piece])).to(torch.float64)
            total += measured(images).mean(dim=(0, 2, 3)) * (len(piece) / len(index))
        return total

    mean = average(lambda images: images)
    std = average(lambda images: (images - mean.view(1, -1, 1, 1)).square_()).sqrt()
    std[std < 1e-6] = 1.0
    return replace(plain, mean=tuple(mean.tolist()), std=tuple(std.tolist()))


def read_preprocess(facts: Mapping[str, Any]) -> Preprocess:
    """The preprocessing that a file describes; what it does not say is as it always was."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
    }
    front_end = plain.get("front_end")
    return Preprocess(**plain | {"front_end": front_end and Spectrogram(**front_end)})


def _kind(dtype: str) -> str:
    return "float" if dtype.startswith(("float", "bfloat")) else dtype


def _as_float(items: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """A float32 copy; a byte crosses to the device as a byte, a quarter of the traffic."""
    if isinstance(items, Tensor):
        return items.to(device=device, dtype=torch.float32, copy=True)
    if items.dtype == np.uint8 and items.flags.writeable:
        return torch.from_numpy(items).to(device).to(torch.float32)
    return torch.from_numpy(items.astype(np.float32)).to(device)


def _value_range(items: Items) -> tuple[float, float]:
    if items.dtype.name in _DTYPE_RANGES:
        return _DTYPE_RANGES[items.dtype.name]
    low, high = _extremes(items)
    if low >= 0 and high <= 1 and items.dtype.kind == "f":
        return 0.0, 1.0
    if low == high:
        raise TwofoldError(f"every value of the items is {low}; there is nothing to learn from")
    return low, high


def _extremes(items: Items) -> tuple[float, float]:
    """The smallest and the largest value, found in pieces that fit in memory."""
    if isinstance(items, Shuffled):
        return items.extremes
    step = max(1, _PIECE // int(np.prod(items.shape[1:])))
    pieces = (items[start : start + step] for start in range(0, len(items), step))
    ends = [(float(piece.min()), float(piece.max())) for piece in pieces]
    return min(low for low, _ in ends), max(high for _, high in ends)
