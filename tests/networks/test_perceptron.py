import pytest
import torch
from torch import nn

from twofold import TwofoldError, build_encoder


def test_it_is_as_published():
    encoder = build_encoder("mlp", channels=2, image_size=1)
    kinds = [type(layer) for stage in encoder.layers for layer in stage]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 4
    assert encoder.num_features == 64
    assert sum(p.numel() for p in encoder.parameters()) == 2 * 64 + 3 * 64**2 + 4 * 2 * 64


@pytest.mark.parametrize(("channels", "size", "width"), [(1, 1, 0.5), (4, 1, 1.0), (3, 8, 2.0)])
def test_it_reads_items_of_any_shape(channels, size, width):
    encoder = build_encoder("mlp", channels=channels, image_size=size, width=width)
    found = encoder(torch.randn(5, channels, size, size))
    assert found.shape == (5, encoder.num_features) == (5, 64 * width)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"pretrained": True}, "mlp has no published weights"),
        ({"stem": "imagenet"}, "stem is 'imagenet', but mlp has none; say stem None"),
    ],
)
def test_what_it_has_not_is_refused(option, words):
    with pytest.raises(TwofoldError, match=words):
        build_encoder("mlp", channels=2, image_size=1, **option)
