import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twofold import TwofoldError, build_encoder
from twofold.adapters import adapt
from twofold.networks import ResNet15, check_reads
from twofold.networks.resnet15 import PlainBlock
from twofold.optim import layer_shares


def by_hand(state, images, stride):
    """The published network, one convolution after the other, from a state dict."""

    def conv(name, maps, **how):
        return F.conv2d(maps, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    maps = F.max_pool2d(conv("conv1", images, stride=stride, padding=1).relu(), 2)
    for block in ("layer1.0", "layer1.1", "layer1.2", "layer2.0", *(f"layer3.{i}" for i in "012")):
        step = 2 if block == "layer2.0" else 1
        inner = conv(f"{block}.conv1", maps, stride=step, padding=1).relu()
        inner = conv(f"{block}.conv2", inner, padding=1)
        shortcut = conv(f"{block}.downsample", maps, stride=2) if step == 2 else maps
        maps = (inner + shortcut).relu()
    return F.adaptive_max_pool2d(maps, 1).flatten(1)


@pytest.mark.parametrize(("stem", "stride"), [("strided", 2), ("low-resolution", 1)])
@pytest.mark.parametrize(("channels", "size"), [(3, 125), (8, 40), (1, 7)])
def test_features_and_gradients_are_those_of_the_published_network(stem, stride, channels, size):
    torch.manual_seed(0)
    net = ResNet15(channels=channels, stem=stem).double()
    images = torch.rand(2, channels, size, size, dtype=torch.float64).relu_() ** 8  # mostly dark
    images[:, :, size // 2 :] = 0  # where maps tie, the gradient has to take one of them
    state = {name: value.detach().requires_grad_() for name, value in net.state_dict().items()}
    found, expected = net(images), by_hand(state, images, stride)
    assert found.shape == (2, 32)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, state[name].grad)


def test_it_has_15_convolutions_and_86208_parameters_all_in_use():
    net = build_encoder("resnet15", channels=3, image_size=125)
    assert sum(isinstance(layer, nn.Conv2d) for layer in net.modules()) == 15 + 1  # a shortcut
    assert sum(parameter.numel() for parameter in net.parameters()) == 86_208
    net(torch.rand(2, 3, 125, 125)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    with_output = nn.Sequential(net, nn.Linear(net.num_features, 1))
    assert sum(parameter.numel() for parameter in with_output.parameters()) == 86_241


def test_maps_shrink_as_published():
    net, sizes = build_encoder("resnet15", image_size=125), []
    for layer in (net.conv1, net.maxpool, net.layer1, net.layer2, net.layer3):
        layer.register_forward_hook(lambda module, args, maps: sizes.append(maps.shape[-1]))
    net(torch.zeros(1, 3, 125, 125))
    assert sizes == [61, 30, 30, 15, 15]


def test_weights_start_as_torch_starts_them():
    torch.manual_seed(0)
    net = ResNet15(width=64)
    for conv in (layer for layer in net.modules() if isinstance(layer, nn.Conv2d)):
        reach = (conv.in_channels * conv.kernel_size[0] ** 2) ** -0.5
        for values in (conv.weight, conv.bias):
            assert 0.9 * reach < values.abs().max() <= reach


@pytest.mark.parametrize(
    ("size", "stem", "stride"),
    [(64, None, 1), (65, None, 2), (125, "low-resolution", 1), (40, "strided", 2)],
)
def test_the_stem_follows_the_image_size_unless_set(size, stem, stride):
    net = build_encoder("resnet15", channels=8, image_size=size, stem=stem)
    assert net.conv1.stride == (stride, stride)
    assert net.conv1.in_channels == 8


@pytest.mark.parametrize(("width", "features"), [(0.5, 16), (2.0, 64)])
def test_width_scales_the_channels(width, features):
    net = build_encoder("resnet15", width=width)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, features)


def test_an_item_has_the_same_features_in_any_batch():
    net, images = build_encoder("resnet15").train(), torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(net(images)[:1], net(images[:1]))


def test_what_it_has_not_is_refused():
    with pytest.raises(TwofoldError, match="no stem 'imagenet'; choose from strided, low-resol"):
        build_encoder("resnet15", stem="imagenet")
    with pytest.raises(TwofoldError, match="resnet15 has no published weights"):
        build_encoder("resnet15", pretrained=True)


@pytest.mark.parametrize(("stem", "least"), [("strided", 7), ("low-resolution", 6)])
def test_images_that_leave_no_map_are_refused_in_one_line(stem, least):
    net = build_encoder("resnet15", image_size=least, stem=stem)
    check_reads(net, (3, least, least))
    with pytest.raises(TwofoldError, match="cannot read images of shape") as refusal:
        check_reads(net, (3, least - 1, least - 1))
    assert "\n" not in str(refusal.value)


def test_one_pixel_maps_have_sound_gradients_in_bfloat16():
    torch.manual_seed(0)
    block = PlainBlock(16, 32, stride=2)
    with torch.autocast("cpu", torch.bfloat16):
        block(torch.randn(256, 16, 1, 1)).float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())
    # all taps but the centre read padding alone, so their gradient is exactly zero
    assert block.conv1.weight.grad[..., 0, 0].abs().max() == 0


def test_the_learning_rate_decays_block_by_block():
    shares = layer_shares(ResNet15(), 0.5)
    assert shares["layer3.2.conv1.weight"] == shares["layer3.2.conv2.bias"] == 1
    assert shares["layer3.0.conv1.weight"] == 0.25
    assert shares["layer2.0.downsample.weight"] == shares["layer2.0.conv1.weight"] == 0.125
    assert shares["conv1.weight"] == shares["conv1.bias"] == 0.5**7


@pytest.mark.parametrize("kind", ["parallel", "series", "split"])
def test_routes_start_as_the_network_and_learn(kind):
    torch.manual_seed(0)
    net, images = ResNet15(), torch.rand(4, 3, 32, 32)
    adapted = adapt(net, kind=kind)
    torch.testing.assert_close(adapted(images, route="sensitive"), net(images))
    adapted(images, route="sensitive").square().sum().backward()
    matrices = [p for p in adapted.route_parameters("sensitive") if p.ndim > 1]
    assert all(parameter.grad.abs().max() > 0 for parameter in matrices)
    assert len(matrices) == (1 if kind == "split" else 14)  # all but the stem and the shortcut


def test_it_has_no_norms_to_route():
    with pytest.raises(TwofoldError, match=r"kind norm needs a norm .* and ResNet15 has none; use"):
        adapt(ResNet15(), kind="norm")
