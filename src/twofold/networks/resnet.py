"""Residual networks, with stems for large and small images and parameter names as torchvision's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

Stem = Literal["imagenet", "low-resolution", "strided"]

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d

_STEMS: dict[Stem, tuple[int, int, int]] = {
    "imagenet": (7, 2, 2),
    "low-resolution": (3, 1, 1),
    "strided": (3, 2, 1),
}
"""Kernel and stride of the first convolution, and stride of the pooling after it; 1 for none."""

_Pair = tuple[int, int]

_FUNCTIONS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: F.conv1d,
    nn.Conv2d: F.conv2d,
    nn.Conv3d: F.conv3d,
}


class ResNet(nn.Module):
    """A residual network that ends in globally averaged features.

    Stems: `imagenet` is the 7x7 convolution of stride 2 and max-pooling of He et al.;
    `low-resolution` one 3x3 convolution of stride 1 for images of 32 px or less (Chen et al.,
    2020, appendix B.9); `strided` one 3x3 convolution of stride 2, four times cheaper.
    The last BatchNorm of blocks of two or three convolutions starts at zero, so that each block
    starts as the identity (Goyal et al., 2017, arXiv:1706.02677). Not where maps end in a single
    place: of the shortcuts' strides that is the corner of the image alone, and where corners are
    alike, so would be all features, a point that no gradient leads away from.

    Signals have one dimension. What has k x k weights in an image's network has k² in a row in
    theirs, and each stride is squared, so that both have as many weights and features and cost as
    much for as many values (Donahue et al., 2018, arXiv:1802.04208). The rows of an item, if it
    has more than one, are channels to them: a spectrogram's network hears its pitches together.

    Args:
        depths: Residual blocks in each stage; every stage after the first halves the resolution.
        convs: Convolutions in a block: 1 (3x3, the cheapest), 2 (3x3-3x3, as in ResNet-18) or
            3 (1x1-3x3-1x1 with four times the channels, as in ResNet-50).
        width: Channels of the stem; each stage doubles them.
        channels: Channels of the images, any number >= 1; of signals, times their rows.
        stem: How the image enters.
        dims: 2 for images, 1 for signals, which are read along the width.
        zero_init_residual: Whether blocks start as the identity.

    Example:
        >>> import torch
        >>> net = ResNet((1, 1), width=8, channels=5, stem="strided")
        >>> net(torch.zeros(2, 5, 28, 28)).shape == (2, net.num_features)
        True
        >>> ResNet((1, 1), width=8, channels=1, dims=1)(torch.zeros(2, 1, 1, 16_000)).shape
        torch.Size([2, 16])

    Reference: He et al., 2015, arXiv:1512.03385.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        *,
        convs: Literal[1, 2, 3] = 2,
        width: int = 64,
        channels: int = 3,
        stem: Stem = "imagenet",
        dims: Literal[1, 2] = 2,
        zero_init_residual: bool = True,
    ) -> None:
        super().__init__()
        self.dims = dims
        kernel, stride, pooled = _STEMS[stem]
        self.conv1 = _convolution(channels, width, kernel, stride, dims)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.Identity()
        if pooled > 1:
            self.maxpool = nn.MaxPool2d(*_along(dims, 3, pooled))
        read = width
        self.stages: list[str] = []
        for stage, depth in enumerate(depths):
            blocks: list[nn.Module] = []
            for number in range(depth):
                stride = 2 if stage > 0 and number == 0 else 1
                block = Block(read, width * 2**stage, stride, convs, dims)
                blocks.append(block)
                read = block.num_channels
            self.stages.append(f"layer{stage + 1}")
            self.add_module(self.stages[-1], nn.Sequential(*blocks))
        self.num_features: int = read
        self._initialise(zero_init_residual)

    def forward(self, images: Tensor) -> Tensor:
        """Features `(batch, num_features)` of images `(batch, channels, height, width)`."""
        if self.dims == 1:
            images = images.flatten(1, 2).unsqueeze(2)
        maps: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in self.stages:
            maps = self.get_submodule(stage)(maps)
        return maps.mean(dim=(2, 3))

    def _initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, Block) and module.convs > 1:
                nn.init.zeros_(module.norms[-1].weight)


def total_stride(stem: Stem, stages: int) -> int:
    """Pixels from one place of the last maps to the next.

    Example:
        >>> total_stride("imagenet", 4)  # maps of 32 pixels end in a single place
        32
    """
    _, stride, pooled = _STEMS[stem]
    return stride * pooled << (stages - 1)


class Block(nn.Module):
    """One residual block: `relu(shortcut(x) + norm(conv(... x)))`."""

    def __init__(self, read: int, width: int, stride: int, convs: int, dims: int = 2) -> None:
        super().__init__()
        self.convs = convs
        self.num_channels = width * 4 if convs == 3 else width
        if convs == 3:
            shapes = [(read, width, 1, 1), (width, width, 3, stride), (width, width * 4, 1, 1)]
        else:
            shapes = [(read, width, 3, stride), (width, width, 3, 1)][:convs]
        for number, (into, out, kernel, step) in enumerate(shapes, start=1):
            self.add_module(f"conv{number}", _convolution(into, out, kernel, step, dims))
            self.add_module(f"bn{number}", nn.BatchNorm2d(out))
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or read != self.num_channels:
            self.downsample = nn.Sequential(
                _convolution(read, self.num_channels, 1, stride, dims),
                nn.BatchNorm2d(self.num_channels),
            )

    @property
    def norms(self) -> list[nn.BatchNorm2d]:
        """The normalisations after each convolution."""
        return [self.get_submodule(f"bn{n + 1}") for n in range(self.convs)]  # type: ignore[misc]

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps `(batch, read, h, w)` to `(batch, num_channels, h / stride, w / stride)`."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        for number, norm in enumerate(self.norms, start=1):
            maps = norm(convolve(self.get_submodule(f"conv{number}"), maps))
            if number < self.convs:
                maps = self.relu(maps)
        result: Tensor = self.relu(maps.add_(shortcut))
        return result


def _convolution(read: int, width: int, kernel: int, stride: int, dims: int) -> nn.Conv2d:
    """A convolution that keeps the resolution but for its stride."""
    return nn.Conv2d(read, width, *_along(dims, kernel, stride), bias=False)


def _along(dims: int, kernel: int, stride: int) -> tuple[_Pair, _Pair, _Pair]:
    """Kernel, stride and padding of a window over an image, or of as many values in a row."""
    if dims == 2:
        return (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2)
    return (1, kernel**2), (1, stride**2), (0, kernel**2 // 2)


def convolve(conv: nn.Module, maps: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """`conv(maps)`, with another weight in the place of its own if one is given.

    On maps of one pixel a strided convolution is one of stride 1 that is then subsampled: torch
    2.14 computes garbage for the bfloat16 gradient of its weight on CPUs.

    Example:
        >>> import torch
        >>> convolve(nn.Conv2d(4, 8, 3, stride=2, padding=1), torch.zeros(2, 4, 1, 1)).shape
        torch.Size([2, 8, 1, 1])
    """
    if isinstance(conv, Convolution) and _is_plain(conv) and _is_pixel(maps, conv):
        kernel = conv.weight if weight is None else weight
        settings = (conv.bias, 1, conv.padding, conv.dilation, conv.groups)
        steps: tuple[Any, ...] = (..., *(slice(None, None, step) for step in conv.stride))
        return _FUNCTIONS[type(conv)](maps, kernel, *settings)[steps]
    result: Tensor = (
        conv(maps) if weight is None else functional_call(conv, {"weight": weight}, (maps,))
    )
    return result


def _is_plain(conv: Convolution) -> bool:
    """Whether a function of its weight alone gives what the layer does."""
    computed = not isinstance(conv.weight, nn.Parameter)  # by weight or spectral normalisation
    return type(conv) in _FUNCTIONS and conv.padding_mode == "zeros" and not computed


def _is_pixel(maps: Tensor, conv: Convolution) -> bool:
    return maps.shape[-len(conv.stride) :].numel() == 1
