"""Residual networks, with stems for large and small images and parameter names as torchvision's."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Stem = Literal["imagenet", "low-resolution", "strided"]


class ResNet(nn.Module):
    """A residual network that ends in globally averaged features.

    Stems: `imagenet` is the 7x7 convolution of stride 2 and max-pooling of He et al.;
    `low-resolution` one 3x3 convolution of stride 1 for images of 32 px or less (Chen et al.,
    2020, appendix B.9); `strided` one 3x3 convolution of stride 2, four times cheaper.
    The last BatchNorm of each block starts at zero, so that each block starts as the identity.

    Args:
        depths: Residual blocks in each stage; every stage after the first halves the resolution.
        bottleneck: Whether blocks are 1x1-3x3-1x1 (ResNet-50) or 3x3-3x3 (ResNet-18).
        width: Channels of the stem; each stage doubles them.
        channels: Channels of the images, any number >= 1.
        stem: How the image enters.

    Example:
        >>> import torch
        >>> net = ResNet((1, 1), width=8, channels=5, stem="strided")
        >>> net(torch.zeros(2, 5, 28, 28)).shape == (2, net.num_features)
        True

    Reference: He et al., 2015, arXiv:1512.03385.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        *,
        bottleneck: bool = False,
        width: int = 64,
        channels: int = 3,
        stem: Stem = "imagenet",
    ) -> None:
        super().__init__()
        kernel, stride = {"imagenet": (7, 2), "low-resolution": (3, 1), "strided": (3, 2)}[stem]
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        read = width
        self.stages: list[str] = []
        for stage, depth in enumerate(depths):
            blocks: list[nn.Module] = []
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(read, width * 2**stage, stride, bottleneck))
                read = width * 2**stage * (4 if bottleneck else 1)
            self.stages.append(f"layer{stage + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*blocks))
        self.num_features: int = read
        self._initialise()

    def forward(self, images: Tensor) -> Tensor:
        """Features `(batch, num_features)` of images `(batch, channels, height, width)`."""
        maps: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in self.stages:
            maps = self.get_submodule(stage)(maps)
        return maps.mean(dim=(2, 3))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Block):
                nn.init.zeros_(module.last_norm.weight)


class Block(nn.Module):
    """One residual block: `relu(shortcut(x) + norm(conv(...)))`."""

    def __init__(self, read: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        write = width * 4 if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(read, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.conv3 = nn.Conv2d(width, write, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(write)
        else:
            self.conv1 = nn.Conv2d(read, width, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or read != write:
            self.downsample = nn.Sequential(
                nn.Conv2d(read, write, 1, stride, bias=False), nn.BatchNorm2d(write)
            )

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The normalisation just before the shortcut is added."""
        return self.bn3 if self.bottleneck else self.bn2

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps `(batch, read, h, w)` to `(batch, write, h / stride, w / stride)`."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu(self.bn1(_convolve(self.conv1, maps)))
        maps = self.bn2(_convolve(self.conv2, maps))
        if self.bottleneck:
            maps = self.bn3(self.conv3(self.relu(maps)))
        result: Tensor = self.relu(maps.add_(shortcut))
        return result


def _convolve(conv: nn.Conv2d, maps: Tensor) -> Tensor:
    """`conv(maps)`; on maps of one pixel with stride 1, where the stride changes nothing.

    There torch 2.14 computes garbage for the bfloat16 gradient of a strided 3x3 weight on CPUs.
    """
    if maps.shape[-2:] == (1, 1):
        return F.conv2d(maps, conv.weight, padding=conv.padding)
    result: Tensor = conv(maps)
    return result
