import pytest
import torch
from torch import nn

from twofold import TwofoldError
from twofold.adapters import adapt
from twofold.networks import ResNet, build_encoder, check_reads
from twofold.networks.resnet import Block

NAMES = ["resnet-small-1d", "resnet18-1d"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("channels", "rows", "samples"),
    [(1, 1, 16_000), (2, 1, 80_000), (1, 64, 63), (3, 128, 157), (1, 1, 1), (5, 1, 100)],
)
def test_waveforms_and_spectrograms_of_any_length(name, channels, rows, samples):
    encoder = build_encoder(name, channels=channels, rows=rows, image_size=samples, width=0.25)
    check_reads(encoder, (channels, rows, samples))


@pytest.mark.parametrize("name", NAMES)
def test_as_many_weights_as_in_two_dimensions_and_other_rows_are_channels(name):
    def count(encoder):
        return sum(parameter.numel() for parameter in encoder.parameters())

    plain = name.removesuffix("-1d")
    # images of 126 x 126 have as many values as a second at 16 kHz, and get the same stem
    images = build_encoder(plain, channels=1, image_size=126)
    waveforms = build_encoder(name, channels=1, rows=1, image_size=126**2)
    assert count(waveforms) == count(images)
    assert waveforms.num_features == images.num_features
    high = build_encoder(name, channels=1, rows=4, image_size=126**2)
    assert high.conv1.in_channels == 4
    with pytest.raises(TwofoldError, match=r"cannot read images of shape \(2, 1, 5, 999\)"):
        check_reads(high, (1, 5, 999))


@pytest.mark.parametrize(
    ("name", "samples", "stem", "pooled"),
    [
        ("resnet18-1d", 16_000, (49, 4), True),
        ("resnet18-1d", 4096, (9, 1), False),
        ("resnet-small-1d", 16_000, (49, 4), True),
        ("resnet-small-1d", 4096, (9, 4), False),
        ("resnet-small-1d", 63, (9, 1), False),
    ],
)
def test_the_stem_follows_the_length(name, samples, stem, pooled):
    encoder = build_encoder(name, channels=1, rows=1, image_size=samples)
    assert encoder.conv1.kernel_size == (1, stem[0])
    assert encoder.conv1.stride == (1, stem[1])
    assert isinstance(encoder.maxpool, nn.MaxPool2d) is pooled


@pytest.mark.parametrize("name", ["resnet18", "resnet-small", "resnet15", "mlp"])
def test_images_that_are_wider_than_high(name):
    encoder = build_encoder(name, channels=1, rows=8, image_size=157)
    check_reads(encoder, (1, 8, 157))
    if name != "mlp":
        shape = build_encoder(name, channels=1, image_size=8).conv1
        assert (encoder.conv1.kernel_size, encoder.conv1.stride) == (
            shape.kernel_size,
            shape.stride,
        )


def test_transformers_of_timm_read_them():
    pytest.importorskip("timm")
    encoder = build_encoder("timm/vit_tiny_patch16_224", channels=1, rows=64, image_size=96)
    check_reads(encoder, (1, 64, 96))


def test_a_block_is_that_of_one_dimension():
    torch.manual_seed(0)
    block = Block(4, 8, 2, 2, dims=1).eval()
    nn.init.ones_(block.bn2.weight)
    maps = torch.randn(3, 4, 1, 50)

    def conv(layer, signals, stride):
        weight = layer.weight.squeeze(2)
        return nn.functional.conv1d(signals, weight, stride=stride, padding=weight.shape[2] // 2)

    small = 1 / (1 + block.bn1.eps) ** 0.5  # what a fresh norm divides by
    signals = maps.squeeze(2)
    changed = small * conv(block.conv2, (small * conv(block.conv1, signals, 4)).relu(), 1)
    expected = (changed + small * conv(block.downsample[0], signals, 4)).relu()
    assert block.conv1.kernel_size == (1, 9)
    assert torch.allclose(block(maps)[:, :, 0], expected, atol=1e-5)


def test_what_is_late_does_not_change_what_is_early():
    net = ResNet((1, 1), width=8, channels=1, stem="low-resolution", dims=1).eval()
    seen = {}
    net.layer2.register_forward_hook(lambda module, args, maps: seen.update(maps=maps))
    waves = torch.randn(1, 1, 1, 400)
    net(waves)
    before = seen["maps"]
    waves[..., 300:] = 0
    net(waves)
    assert before.shape == (1, 16, 1, 100)
    assert torch.equal(seen["maps"][..., :68], before[..., :68])
    assert not torch.equal(seen["maps"], before)


@pytest.mark.parametrize("kind", ["parallel", "series", "norm", "split"])
@pytest.mark.parametrize("rows", [1, 16])
def test_routes_go_through_them(kind, rows):
    torch.manual_seed(0)
    encoder = build_encoder("resnet18-1d", channels=1, rows=rows, image_size=500, width=0.25)
    adapted, items = adapt(encoder, kind=kind), torch.randn(4, 1, rows, 500)
    expected = encoder(items)
    for route in adapted.routes:
        assert torch.allclose(adapted(items, route=route), expected, atol=1e-5)
    first, second = adapted.routes
    if kind in ("parallel", "series"):
        assert len(list(adapted.route_parameters(first))) > 20
    with torch.no_grad():
        for parameter in adapted.route_parameters(first):
            parameter.add_(0.1 * torch.randn_like(parameter))
    assert not torch.allclose(adapted(items, route=first), expected, atol=1e-2)
    assert torch.allclose(adapted(items, route=second), expected, atol=1e-5)


def test_they_learn_what_a_pitch_is():
    torch.manual_seed(0)
    net = build_encoder("resnet-small-1d", channels=1, rows=1, image_size=1000, width=0.25)
    head = nn.Linear(net.num_features, 2)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-2)
    for _ in range(40):
        labels = torch.arange(32) % 2
        turns = torch.arange(1000) * (0.03 + 0.03 * labels[:, None]) + torch.rand(32, 1)
        waves = (2 * torch.pi * turns).sin() + 0.3 * torch.randn(32, 1000)
        logits = head(net(waves.view(32, 1, 1, 1000)))
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
