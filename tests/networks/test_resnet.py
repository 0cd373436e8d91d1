import pytest
import torch
from torch.nn import functional as F

from twofold.networks import ResNet, build_encoder
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
