"""From stored values to what an encoder reads: one recorded scale for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from twofold.errors import TwofoldError

_DTYPE_RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "bool": (0.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Maps stored items to [0, 1] and then to zero mean and unit variance per channel.

    `x -> (clip((x - low) / (high - low), 0, 1) - mean) / std`

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
    """Mean of each channel on the [0, 1] scale, measured on the training items."""
    std: tuple[float, ...]
    """Standard deviation of each channel on the [0, 1] scale, > 0."""
    size: int
    """Height and width in pixels that the encoder reads."""
    dtype: str = "uint8"
    """Type that items are stored in; any float will do for any other."""

    @property
    def channels(self) -> int:
        """How many channels an item must have."""
        return len(self.mean)

    def stored(self, items: np.ndarray | Tensor) -> np.ndarray:
        """A user's array as training stored its own: channels first, in the stored type.

        Args:
            items: `(n, channels, height, width)`, `(n, height, width, channels)`, or
                `(n, height, width)` for one channel.

        Raises:
            TwofoldError: If it has other channels, or whole numbers that the type cannot hold.
        """
        array = items.detach().cpu().numpy() if isinstance(items, Tensor) else np.asarray(items)
        if array.ndim == 3:
            array = array[:, None]
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
        """Stored items `(batch, channels, height, width)` as float32 in [0, 1] on `device`."""
        found = str(items.dtype).removeprefix("torch.")
        if _kind(found) != _kind(self.dtype):
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
        return images.sub_(self.low).div_(self.high - self.low).clamp_(0, 1)

    def standardize(self, images: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Images in [0, 1] at zero mean and unit variance per channel, in `out` if given."""
        mean = images.new_tensor(self.mean).view(1, -1, 1, 1)
        std = images.new_tensor(self.std).view(1, -1, 1, 1)
        return torch.sub(images, mean, out=out).div_(std)

    def __call__(self, items: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Stored items as the encoder reads them in evaluation: resized, scaled, standardised."""
        return self.standardize(resize(self.unit(items, device), self.size))


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


def measure(items: np.ndarray, *, size: int | None = None, sample: int = 10_000) -> Preprocess:
    """The preprocessing that fits `items` `(n, channels, height, width)`, measured on a sample.

    Integer types use their full range; floats already in [0, 1] keep it; other floats use the
    smallest and largest value found in all items.

    Args:
        items: Training items, as stored.
        size: Height and width the encoder reads; the items' short side if None.
        sample: How many evenly spaced items the mean and deviation are measured on.
    """
    low, high = _value_range(items)
    step = max(1, len(items) // sample)
    images = _as_float(items[::step][:sample], "cpu").sub_(low).div_(high - low)
    mean = images.mean(dim=(0, 2, 3), dtype=torch.float64)
    std = images.to(torch.float64).var(dim=(0, 2, 3), unbiased=False).sqrt()
    constant = std < 1e-6
    std[constant] = 1.0  # a constant channel carries nothing: leave it at zero after centring
    return Preprocess(
        low=low,
        high=high,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        size=size or min(items.shape[-2:]),
        dtype=items.dtype.name,
    )


def _kind(dtype: str) -> str:
    return "float" if dtype.startswith(("float", "bfloat")) else dtype


def _as_float(items: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """A float32 copy; a byte crosses to the device as a byte, a quarter of the traffic."""
    if isinstance(items, Tensor):
        return items.to(device=device, dtype=torch.float32, copy=True)
    if items.dtype == np.uint8 and items.flags.writeable:
        return torch.from_numpy(items).to(device).to(torch.float32)
    return torch.from_numpy(items.astype(np.float32)).to(device)


def _value_range(items: np.ndarray) -> tuple[float, float]:
    if items.dtype.name in _DTYPE_RANGES:
        return _DTYPE_RANGES[items.dtype.name]
    low, high = float(items.min()), float(items.max())
    if low >= 0 and high <= 1 and items.dtype.kind == "f":
        return 0.0, 1.0
    if low == high:
        raise TwofoldError(f"every value of the items is {low}; there is nothing to learn from")
    return low, high
