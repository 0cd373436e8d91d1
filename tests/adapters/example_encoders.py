"""Encoders to adapt, and how the tests look at them."""

import torch
from torch import nn

from twofold.networks import build_encoder

KINDS = ["parallel", "series", "norm", "split"]
ROUTES = ("invariant", "sensitive")


class Signals(nn.Module):
    """A 1-D network with an unpadded, a dilated, a grouped and a strided convolution."""

    num_features = 12

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(2, 8, 7), nn.BatchNorm1d(8), nn.ReLU())
        self.middle = nn.Sequential(
            nn.Conv1d(8, 8, 3, dilation=2, padding=1),
            nn.GroupNorm(2, 8),
            nn.ReLU(),
            nn.Conv1d(8, 8, 4, groups=4, bias=False),
            nn.BatchNorm1d(8),
            nn.ReLU(),
        )
        self.last = nn.Conv1d(8, 12, 5, stride=2, padding=2)

    def forward(self, signals):
        return self.last(self.middle(self.stem(signals))).mean(dim=2)


class OneConv(nn.Module):
    """One convolution and one norm, whose outputs are the features."""

    num_features = 1

    def __init__(self, conv):
        super().__init__()
        dims = len(conv.kernel_size)
        self.conv = conv
        self.norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}[dims](conv.out_channels)

    def forward(self, maps):
        return self.norm(self.conv(maps)).flatten(1)


ENCODERS = {
    "small": (lambda: build_encoder("resnet-small", channels=1, image_size=16), (1, 16, 16)),
    "one pixel": (lambda: build_encoder("resnet-small", channels=1, image_size=4), (1, 4, 4)),
    "resnet18": (lambda: build_encoder("resnet18", image_size=16, width=0.125), (3, 16, 16)),
    "torchvision": (lambda: build_encoder("torchvision/resnet18"), (3, 32, 32)),
    "timm": (lambda: build_encoder("timm/resnet18"), (3, 32, 32)),
    "depthwise": (lambda: build_encoder("timm/mobilenetv2_035"), (3, 32, 32)),
    "signals": (Signals, (2, 40)),
}


def made(name):
    """An encoder whose norms have seen data, and items for it."""
    torch.manual_seed(0)
    build, shape = ENCODERS[name]
    encoder, items = build(), torch.randn(6, *shape)
    with torch.no_grad():
        for norm in encoder.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0.1)
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return encoder.eval(), items


def disturbed(adapted):
    """With all that belongs to a route drawn at random, the same for every run of the tests."""
    torch.manual_seed(1)
    with torch.no_grad():
        for route in adapted.routes:
            for parameter in adapted.route_parameters(route):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return adapted


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
