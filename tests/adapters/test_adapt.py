import copy

import pytest
import torch
from example_encoders import ENCODERS, KINDS, ROUTES, OneConv, Signals, disturbed, equal, made
from torch import nn

from twofold.adapters import adapt
from twofold.errors import TwofoldError


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_route_starts_as_the_encoder(name, kind):
    encoder, items = made(name)
    adapted, before = adapt(encoder, kind=kind), copy.deepcopy(encoder.state_dict())
    assert adapted.num_features == encoder.num_features
    assert all(torch.equal(adapted(items, route), encoder(items)) for route in ROUTES)
    features = [adapted.train()(items, route) for route in ROUTES]
    assert equal(encoder.state_dict(), before)
    assert all(torch.equal(encoder.train()(items), found) for found in features)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", [True, False])
def test_an_adapted_encoder_is_in_its_mode(kind, mode):
    encoder = Signals().train(mode)
    assert {module.training for module in adapt(encoder, kind=kind).modules()} == {mode}


@pytest.mark.parametrize("name", ["small", "one pixel", "depthwise", "signals"])
@pytest.mark.parametrize("kind", ["parallel", "series", "norm"])
def test_every_route_starts_as_the_encoder_in_autocast_and_channels_last(name, kind):
    encoder, items = made(name)
    if items.ndim == 4:
        encoder = encoder.to(memory_format=torch.channels_last)
        items = items.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(adapt(encoder, kind=kind)(items, "sensitive"), encoder(items))


@pytest.mark.parametrize("name", ["small", "signals"])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_of_the_encoders_type(name, kind):
    encoder, items = made(name)
    encoder, items = encoder.bfloat16(), items.bfloat16()
    assert torch.equal(adapt(encoder, kind=kind)(items, "sensitive"), encoder(items))


def test_counts():
    encoder, _ = made("small")
    total = sum(p.numel() for p in encoder.parameters())
    wide = {n: m for n, m in encoder.named_modules() if getattr(m, "kernel_size", 0) == (3, 3)}
    norms = {n: m for n, m in encoder.named_modules() if isinstance(m, nn.BatchNorm2d)}
    del wide["conv1"], norms["bn1"]
    scales = sum(2 * norm.num_features for norm in norms.values())
    ninth = sum(conv.weight.numel() for conv in wide.values()) // 9
    squares = sum(conv.out_channels**2 + 2 * conv.out_channels for conv in wide.values())
    wanted = {
        "parallel": (total - scales, ninth + scales),
        "series": (total - scales, squares + scales),
        "norm": (total - scales, scales),
        "split": (total, 256 * 256 + 256),
    }
    for kind, (shared, own) in wanted.items():
        adapted = adapt(encoder, kind=kind)
        assert adapted.counts() == {"shared": shared, "invariant": own, "sensitive": own}
        assert sum(adapted.counts().values()) == sum(p.numel() for p in adapted.parameters())


def test_what_is_shared_stays_as_it_is():
    encoder, _ = made("small")
    adapted = adapt(encoder, shared=("conv1", "bn1", "layer1", "layer2.0.bn1"))
    routed = {
        name.split(".routes.")[0] for name, _ in adapted.named_modules() if ".routes." in name
    }
    assert {n for n in routed if "layer1" in n or "layer2" in n} == {
        "network.layer2.0.conv1",
        "network.layer2.0.downsample.1",
    }
    stem = adapt(encoder).network
    assert isinstance(stem.conv1, nn.Conv2d)
    assert isinstance(stem.bn1, nn.BatchNorm2d)
    assert not isinstance(stem.layer1[0].bn1, nn.BatchNorm2d)
    assert not isinstance(adapt(encoder, shared=()).network.bn1, nn.BatchNorm2d)


def test_a_layer_in_two_places_stays_one():
    encoder = OneConv(nn.Conv1d(4, 4, 3, padding=1))
    encoder.again = encoder.conv
    adapted = adapt(encoder, shared=())
    assert adapted.network.again is adapted.network.conv


@pytest.mark.parametrize("kind", KINDS)
def test_only_adapters_are_trained_on_request(kind):
    encoder, items = made("small")
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)  # as a frozen pretrained network comes
    adapted = disturbed(adapt(encoder, kind=kind, train="adapters")).eval().train()
    before = copy.deepcopy(adapted.state_dict())
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for route in ROUTES:
        adapted(items, route).square().sum().backward()
    optimizer.step()
    for name, after in adapted.state_dict().items():
        assert torch.equal(after, before[name]) == (".routes." not in name), name
    assert not any(p.requires_grad for p in adapted.shared_parameters())


def test_all_is_trained_as_the_encoder_was():
    encoder, _ = made("small")
    encoder.conv1.weight.requires_grad_(False)
    encoder.layer1[0].bn1.bias.requires_grad_(False)
    frozen = {name for name, p in adapt(encoder).named_parameters() if not p.requires_grad}
    norms = {f"network.layer1.0.bn1.routes.{route}.bias" for route in ROUTES}
    assert frozen == {"network.conv1.weight"} | norms


def test_normalised_weights_are_adapted_in_series_alone():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=1))
    encoder, signals = OneConv(conv).eval(), torch.randn(2, 4, 9)
    adapted = adapt(encoder, kind="series", shared=())
    assert torch.equal(adapted(signals, "sensitive"), encoder(signals))
    with pytest.raises(TwofoldError, match="use kind series"):
        adapt(encoder, shared=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "paralel"}, "unknown kind of adapters 'paralel'; did you mean 'parallel'"),
        ({"train": "adapter"}, "unknown part to train 'adapter'; did you mean 'adapters'"),
        ({"shared": ("layer11",)}, "unknown shared module 'layer11'; did you mean 'layer1'"),
        ({"shared": ("layer",)}, "unknown shared module 'layer'"),
        ({"routes": ()}, "one or more different names"),
        ({"routes": ("a", "a")}, "one or more different names"),
        ({"routes": ("all",)}, "'all' is not free"),
        ({"routes": ("a", "shared")}, "'shared' is not free"),
        ({"routes": ("train",)}, "'train' is not free"),
        ({"routes": ("a.b",)}, "'a.b' is not free"),
        ({"kind": "split", "shared": ("conv1",)}, "leave out shared"),
        ({"shared": ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")}, "share less"),
    ],
)
def test_mistakes_are_told_in_one_line(change, message):
    encoder, _ = made("small")
    with pytest.raises(TwofoldError, match=message) as caught:
        adapt(encoder, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "layers", "wanted"),
    [
        ("parallel", [nn.Linear(4, 4), nn.BatchNorm1d(4)], "a convolution wider than 1"),
        ("series", [nn.Conv1d(4, 4, 1)], "a convolution wider than 1"),
        ("norm", [nn.Conv1d(4, 4, 3), nn.InstanceNorm1d(4)], "a norm"),
    ],
)
def test_what_has_nothing_to_adapt_is_refused_but_can_be_split(kind, layers, wanted):
    encoder = nn.Sequential(*layers)
    encoder.num_features = 4
    with pytest.raises(TwofoldError, match=f"needs {wanted} outside") as caught:
        adapt(encoder, kind=kind, shared=())
    assert "\n" not in str(caught.value)
    assert adapt(encoder, kind="split").counts()["sensitive"] == 20


def test_an_unknown_route_is_refused():
    encoder, items = made("small")
    with pytest.raises(TwofoldError, match="unknown route 'sensitiv'; did you mean 'sensitive'"):
        adapt(encoder)(items, "sensitiv")
