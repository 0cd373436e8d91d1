"""A small net with two heads, and losses that disagree about what they share."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn


@pytest.fixture
def two_heads():
    """Makes the net anew from a seed: its trunk, its heads, and the losses of its one batch."""

    def make(seed=0, count=2):
        torch.manual_seed(seed)
        trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))
        heads = nn.ModuleList(nn.Linear(4, 3) for _ in range(count))
        inputs, targets = torch.randn(16, 5), torch.randn(count, 16, 3)

        def losses(noise=0.0):
            features = trunk(inputs + noise)
            return {
                name: (head(features) - target).square().mean()
                for name, head, target in zip("abcd", heads, targets, strict=False)
            }

        return SimpleNamespace(
            trunk=trunk,
            heads=heads,
            losses=losses,
            names=list("abcd"[:count]),
            shared=list(trunk.parameters()),
            layer=trunk[2].weight,
            everything=[*trunk.parameters(), *heads.parameters()],
        )

    return make
