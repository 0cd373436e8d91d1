"""Encoders to export, and how the tests look at what becomes of them."""

import pytest
import torch
from torch import nn

from twofold import adapt, build_encoder
from twofold.encoder import Encoder
from twofold.preprocess import Preprocess


def _settled(network):
    """A network as if it were trained: no norm is as it began."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 1.5, generator=generator)
                norm.bias.normal_(0, 0.1, generator=generator)
                norm.running_mean.normal_(0, 0.1, generator=generator)
                norm.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


@pytest.fixture
def make():
    """Makes an encoder by name, for bytes."""

    def make(name="resnet-small", channels=1, size=12, adapters=None, width=1.0, **parts):
        torch.manual_seed(0)
        spec = {"name": name, "channels": channels, "image_size": size, "width": width}
        network = build_encoder(**spec)
        if adapters:
            network, spec = adapt(network, **adapters), spec | {"adapters": adapters}
        mean = tuple(0.4 + 0.1 * channel for channel in range(channels))
        std = tuple(0.2 + 0.1 * channel for channel in range(channels))
        preprocess = Preprocess(low=0.0, high=255.0, mean=mean, std=std, size=size)
        return Encoder(_settled(network).eval(), preprocess, spec, **parts)

    return make
