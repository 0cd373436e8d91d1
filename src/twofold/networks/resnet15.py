"""The residual network of the CMS end-to-end jet classifiers: small, and without normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from twofold.errors import TwofoldError
from twofold.networks.resnet import Stem, convolve

_STRIDES = {"strided": 2, "low-resolution": 1}


class ResNet15(nn.Module):
    """A residual network of 15 convolutions that ends in the maximum of each map.

    A 7x7 convolution and max-pooling; three blocks; one that halves the resolution and doubles
    the channels; three more. Every convolution has a bias and none is normalised, so features of
    an item are the same whatever its batch, and sparse images keep their scale. The maximum finds
    a single energetic cell that a mean over thousands of empty ones would lose.

    Stems: `strided`, the 7x7 convolution with stride 2, is that of the quark/gluon classifier;
    `low-resolution`, with stride 1, that of the later mass regression.

    Args:
        width: Channels of the stem and the first blocks; the others, and the features, have twice
            as many.
        channels: Channels of the images, any number >= 1.
        stem: How the image enters.

    Raises:
        TwofoldError: If the stem is none of its own.

    Example:
        >>> import torch
        >>> net = ResNet15(channels=8)
        >>> net(torch.zeros(2, 8, 125, 125)).shape == (2, net.num_features)
        True

    Reference: Andrews et al., 2020, arXiv:1902.08276.
    """

    def __init__(self, *, width: int = 16, channels: int = 3, stem: Stem = "strided") -> None:
        if stem not in _STRIDES:
            raise TwofoldError(f"resnet15 has no stem {stem!r}; choose from {', '.join(_STRIDES)}")
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, _STRIDES[stem], padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(*(PlainBlock(width, width) for _ in range(3)))
        self.layer2 = nn.Sequential(PlainBlock(width, 2 * width, stride=2))
        self.layer3 = nn.Sequential(*(PlainBlock(2 * width, 2 * width) for _ in range(3)))
        self.num_features: int = 2 * width

    def forward(self, images: Tensor) -> Tensor:
        """Features `(batch, num_features)` of images `(batch, channels, height, width)`."""
        maps = self.maxpool(self.relu(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        # Where cells tie, as empty ones do, the gradient goes to one of them; amax divides it.
        result: Tensor = maps.flatten(2).max(dim=2).values
        return result


class PlainBlock(nn.Module):
    """One residual block without normalisation: `relu(shortcut(x) + conv(relu(conv(x))))`."""

    def __init__(self, read: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(read, width, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None if stride == 1 else nn.Conv2d(read, width, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps `(batch, read, h, w)` to `(batch, width, h / stride, w / stride)`."""
        shortcut = maps if self.downsample is None else convolve(self.downsample, maps)
        maps = self.conv2(self.relu(convolve(self.conv1, maps)))
        result: Tensor = self.relu(maps.add_(shortcut))
        return result
