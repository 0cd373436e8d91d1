import pytest
import torch
from example_encoders import ROUTES, OneConv, disturbed, made
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional as F

from twofold.adapters import adapt
from twofold.networks import build_encoder

CONVOLUTIONS = [
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, 3, stride=2, padding=1),
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(2, 1), bias=False),
    nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2),
    nn.Conv2d(4, 4, 2, stride=2, groups=4),
    nn.Conv1d(4, 6, 5, stride=3, padding=1, dilation=2),
    nn.Conv1d(4, 6, 4, padding=3),
]


@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kind", ["parallel", "series"])
def test_a_layer_is_its_formula(conv, kind):
    torch.manual_seed(0)
    maps = torch.randn(3, 4, *(11, 13)[: len(conv.kernel_size)])
    adapted = disturbed(adapt(OneConv(conv).eval(), kind=kind, shared=()))
    outputs = conv(maps)
    for route in ROUTES:
        part = adapted.network.conv.routes[route]
        if kind == "parallel":
            expected = outputs + by_output(part.weight, conv, maps, outputs)
        else:
            norm, pointwise = part
            read = outputs * norm.weight.view(-1, *[1] * (maps.ndim - 2)) / (1 + norm.eps) ** 0.5
            read = read + norm.bias.view(-1, *[1] * (maps.ndim - 2))
            expected = outputs + grouped(pointwise.weight, read, conv.groups)
        expected = adapted.network.norm.routes[route](expected).flatten(1)
        assert torch.allclose(adapted(maps, route), expected, atol=1e-5)


def by_output(weight, conv, maps, outputs):
    """The adapter applied to what lies under the middle of the kernel, output by output."""
    result = torch.zeros_like(outputs)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in outputs.shape[2:])).view(
        -1, maps.ndim - 2
    ):
        source = [
            int(i) * s - p + d * ((k - 1) // 2)
            for i, s, p, d, k in zip(
                index, conv.stride, conv.padding, conv.dilation, conv.kernel_size, strict=True
            )
        ]
        if all(0 <= at < size for at, size in zip(source, maps.shape[2:], strict=True)):
            place = (..., *index)
            result[place] = grouped(weight, maps[(..., *source)], conv.groups)
    return result


def grouped(weight, maps, groups):
    """A matrix `(out, in / groups, 1...)` times the channels of maps, group by group."""
    matrices = weight.flatten(1).chunk(groups)
    parts = maps.chunk(groups, dim=1)
    pairs = zip(matrices, parts, strict=True)
    return torch.cat([torch.einsum("oi,bi...->bo...", m, part) for m, part in pairs], dim=1)


@pytest.mark.parametrize(
    ("conv", "shift"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), 0),
        (Conv2dSame(4, 6, 3, stride=2), 1),  # pads even maps on the right alone
    ],
)
def test_a_parallel_adapter_is_a_pointwise_convolution_with_the_stride(conv, shift):
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 8, 8)
    adapted = disturbed(adapt(OneConv(conv).eval(), shared=()))
    weight = adapted.network.conv.routes["sensitive"].weight
    expected = conv(maps) + F.conv2d(maps[..., shift:, shift:], weight, stride=2)
    expected = adapted.network.norm.routes["sensitive"](expected).flatten(1)
    assert torch.allclose(adapted(maps, "sensitive"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["parallel", "series"])
def test_adapters_at_zero_have_gradients(kind):
    encoder, items = made("small")
    adapted = adapt(encoder, kind=kind).train()
    adapted(items, "sensitive").square().sum().backward()
    adapters = [p for p in adapted.route_parameters("sensitive") if p.ndim == 4]
    assert len(adapters) == 4
    assert all(p.grad.abs().max() > 0 for p in adapters)


@pytest.mark.parametrize("kind", ["parallel", "series"])
def test_one_pixel_maps_have_sound_gradients(kind):
    torch.manual_seed(0)
    adapted = disturbed(adapt(build_encoder("resnet-small", image_size=4), kind=kind)).train()
    with torch.autocast("cpu", torch.bfloat16):
        adapted(torch.randn(256, 3, 4, 4)).float().square().sum().backward()
    conv = adapted.network.layer4[0].conv1.conv
    assert conv.weight.grad.isfinite().all()
    # all taps but the centre read padding alone, so their gradient is exactly zero
    assert conv.weight.grad[..., 0, 0].abs().max() == 0
    assert conv.weight.grad[..., 1, 1].abs().max() > 0
