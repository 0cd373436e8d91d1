import subprocess
import sys

import pytest
import torch
from torch import nn

from twofold import TwofoldError, build_encoder
from twofold.networks import ENCODERS, check_reads, mlp, num_features


@pytest.mark.parametrize("channels", [1, 2, 3, 13])
@pytest.mark.parametrize("size", [8, 28, 96])
def test_own_encoders_take_any_channels_and_size(channels, size):
    encoder = build_encoder("resnet-small", channels=channels, image_size=size)
    features = encoder(torch.zeros(2, channels, size, size))
    assert features.shape == (2, encoder.num_features)


@pytest.mark.parametrize(
    ("name", "size", "stem"),
    [
        ("resnet18", 32, (3, 1)),
        ("resnet18", 224, (7, 2)),
        ("resnet-small", 28, (3, 2)),
        ("resnet-small", 8, (3, 1)),
        ("resnet-small", 224, (7, 2)),
    ],
)
def test_the_stem_follows_the_image_size(name, size, stem):
    conv = build_encoder(name, image_size=size).conv1
    assert (conv.kernel_size[0], conv.stride[0]) == stem


def test_the_stem_can_be_set():
    encoder = build_encoder("resnet18", image_size=224, stem="low-resolution")
    assert encoder.conv1.stride == (1, 1)


@pytest.mark.parametrize(("width", "features"), [(0.25, 128), (0.5, 256), (2.0, 1024)])
def test_width_scales_the_channels(width, features):
    assert build_encoder("resnet18", width=width).num_features == features


@pytest.mark.parametrize("name", ["timm/resnet10t", "timm/vit_tiny_patch16_224"])
def test_timm_models_are_encoders(name):
    encoder = build_encoder(name, channels=2, image_size=32)
    assert encoder(torch.zeros(2, 2, 32, 32)).shape == (2, num_features(encoder))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "vgg11"])
def test_torchvision_classifiers_lose_their_last_layer(name):
    if name == "squeezenet1_1":
        with pytest.raises(TwofoldError, match="no linear layer"):
            build_encoder(f"torchvision/{name}", channels=2, image_size=64)
        return
    encoder = build_encoder(f"torchvision/{name}", channels=2, image_size=64).eval()
    assert encoder(torch.zeros(2, 2, 64, 64)).shape == (2, num_features(encoder))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnt18", "did you mean 'resnet18'"),
        ("timm/vit_tny_patch16_224", "nearest is 'vit_tiny_patch16_224'"),
        ("torchvision/resnt18", "nearest is 'resnet18'"),
        ("timm/", "names no model"),
    ],
)
def test_wrong_names_suggest_the_nearest(name, words):
    with pytest.raises(TwofoldError, match=words):
        build_encoder(name)


def test_options_that_do_not_apply_are_refused():
    with pytest.raises(TwofoldError, match="only twofold's own ResNets have these"):
        build_encoder("timm/resnet10t", width=0.5)
    with pytest.raises(TwofoldError, match="must be positive"):
        build_encoder("resnet18", channels=0)


def test_an_encoder_without_num_features_is_refused():
    with pytest.raises(TwofoldError, match="Linear has no attribute num_features"):
        num_features(nn.Linear(2, 2))


def test_names_are_known_without_torch():
    code = "import sys; from twofold.networks.names import ENCODERS; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert "resnet-small" in ENCODERS


def test_mlp_as_simclr_published_it():
    head = mlp(8, 16, 4, norm=True, last="scaled")
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert head[0].bias is None
    assert not head[-1].bias.requires_grad


class Flat(nn.Module):
    """A network of the user's own, right or wrong in one way."""

    def __init__(self, num_features=4, reads=64):
        super().__init__()
        self.num_features = num_features
        self.linear = nn.Linear(reads, 4)

    def forward(self, images):
        return self.linear(images.flatten(1))


def test_an_encoder_is_tried_before_it_is_trained():
    encoder = Flat().train()
    check_reads(encoder, (1, 8, 8))
    assert encoder.training
    with pytest.raises(TwofoldError, match=r"cannot read images of shape \(2, 1, 9, 9\)"):
        check_reads(encoder, (1, 9, 9))
    with pytest.raises(TwofoldError, match=r"returns \(2, 4\) for 2 images; it must .* \(2, 5\)"):
        check_reads(Flat(num_features=5), (1, 8, 8))
    with pytest.raises(TwofoldError, match="cannot read images"):
        check_reads(build_encoder("timm/vit_tiny_patch16_224", image_size=32), (3, 16, 16))


@pytest.mark.parametrize(
    ("last", "bias", "norm"),
    [("affine", True, None), ("linear", False, None), ("scaled", False, 1), ("standard", False, 0)],
)
def test_the_last_layer_of_a_head_ends_as_asked(last, bias, norm):
    """`norm` is how many learned vectors its BatchNorm has, None if there is none."""
    head = mlp(8, 16, 4, norm=True, last=last)
    linear = [layer for layer in head if isinstance(layer, nn.Linear)][-1]
    assert (linear.bias is not None) == bias
    found = sum(p.requires_grad for p in head[-1].parameters()) if head[-1] is not linear else None
    assert found == norm
    assert head(torch.randn(6, 8)).shape == (6, 4)
