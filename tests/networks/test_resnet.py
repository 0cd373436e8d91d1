import pytest
import torch
from torch.nn import functional as F

from twofold.networks import ResNet, build_encoder, convolve
from twofold.networks.resnet import Block


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_names_shapes_and_outputs_are_torchvisions(name):
    from torchvision import models

    theirs = models.get_model(name, weights=None)
    theirs.fc = torch.nn.Identity()
    ours = build_encoder(name, channels=3, image_size=224)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 65, 65)
    assert torch.allclose(ours.eval()(images), theirs.eval()(images), atol=1e-5)


@pytest.mark.parametrize(
    ("stem", "kernel", "stride", "pooled"),
    [("imagenet", 7, 2, True), ("low-resolution", 3, 1, False), ("strided", 3, 2, False)],
)
def test_stems(stem, kernel, stride, pooled):
    net = ResNet((1, 1), width=8, stem=stem)
    assert net.conv1.kernel_size == (kernel, kernel)
    assert net.conv1.stride == (stride, stride)
    assert isinstance(net.maxpool, torch.nn.MaxPool2d) is pooled


@pytest.mark.parametrize("convs", [2, 3])
def test_a_block_starts_as_the_identity(convs):
    block = ResNet((2,), width=8, convs=convs).eval().layer1[1]
    maps = torch.rand(2, block.num_channels, 5, 5)
    assert torch.equal(block(maps.clone()), maps)


@pytest.mark.parametrize(
    ("name", "stem", "side"), [("resnet18", "imagenet", 32), ("resnet18", None, 8)]
)
def test_images_that_differ_in_the_middle_have_features_that_differ(name, stem, side):
    """Maps end in one place here, and all that shortcuts read of an image is its corner."""
    torch.manual_seed(0)
    images = torch.zeros(64, 1, side, side)
    images[:, :, side // 2 :, side // 2 :] = torch.randn(64, 1, side // 2, side // 2)
    features = build_encoder(name, channels=1, image_size=side, stem=stem, width=0.25)(images)
    assert features.std(dim=0).max() > 0.1


@pytest.mark.parametrize("convs", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_pixel_maps_have_sound_gradients(dtype, convs):
    torch.manual_seed(0)
    block = Block(64, 128, 2, convs)
    maps = torch.randn(256, 64, 1, 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        block(maps).float().pow(2).mean().backward()
    for parameter in block.parameters():
        assert torch.isfinite(parameter.grad).all()
    # all taps but the centre read padding alone, so their gradient is exactly zero
    assert block.conv1.weight.grad[..., 0, 0].abs().max() == 0


def test_one_pixel_is_convolved_as_with_the_stride():
    block = Block(4, 8, 2, 1).eval()
    maps = torch.randn(3, 4, 1, 1)
    seen = {}
    block.bn1.register_forward_pre_hook(lambda module, args: seen.update(convolved=args[0]))
    block(maps)
    expected = F.conv2d(maps, block.conv1.weight, stride=2, padding=1)
    assert torch.allclose(seen["convolved"], expected, atol=1e-6)


@pytest.mark.parametrize(
    "conv",
    [
        torch.nn.Conv1d(4, 8, 5, stride=2, padding=2, groups=2),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=4, dilation=2),
        torch.nn.Conv2d(4, 8, (1, 3), stride=3, padding=(2, 3), bias=False),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=2, padding_mode="replicate"),
        torch.nn.Conv3d(4, 8, 3, stride=2, padding=1),
        torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(4, 8, 3, 2, 1)),
    ],
    ids=str,
)
def test_every_convolution_of_one_pixel_is_as_with_its_stride(conv):
    maps = torch.randn(3, 4, *[1] * len(conv.kernel_size))
    assert torch.allclose(convolve(conv, maps), conv(maps), atol=1e-6)


@pytest.mark.parametrize("size", [1, 6])
def test_a_convolution_with_another_weight(size):
    conv, maps = torch.nn.Conv2d(4, 8, 3, 2, 1), torch.randn(3, 4, size, size)
    weight = torch.randn_like(conv.weight, requires_grad=True)
    found = convolve(conv, maps, weight=weight)
    assert torch.allclose(found, F.conv2d(maps, weight, conv.bias, 2, 1), atol=1e-5)
    found.sum().backward()
    assert weight.grad is not None
    assert conv.weight.grad is None


@pytest.mark.parametrize("layer", [torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d])
def test_one_pixel_in_bfloat16_has_a_sound_gradient(layer):
    torch.manual_seed(0)
    conv = layer(64, 64, 3, stride=2, padding=1, bias=False)
    maps = torch.randn(256, 64, *[1] * len(conv.kernel_size))
    with torch.autocast("cpu", torch.bfloat16):
        convolve(conv, maps).float().pow(2).mean().backward()
    assert torch.isfinite(conv.weight.grad).all()
    assert conv.weight.grad.flatten(2)[..., 0].abs().max() == 0
