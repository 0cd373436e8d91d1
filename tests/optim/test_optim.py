import math

import pytest
import torch
from torch import nn

from twofold import TwofoldError
from twofold.balance import Balance, build_balancer
from twofold.hardware import detect
from twofold.networks import build_encoder
from twofold.optim import LARS, Optimizer, build_optimizer, parameter_groups
from twofold.train import step


def test_lars_one_step_oracle():
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    weight.grad = torch.tensor([0.0, 1.0], dtype=torch.float64)
    LARS([weight], lr=2.0, momentum=0.0).step()
    assert weight.tolist() == pytest.approx([3.0, 3.99], abs=1e-12)


@pytest.mark.parametrize(("clip", "length"), [(None, 5.0), (10.0, 5.0), (2.0, 2.0)])
def test_a_gradient_is_shortened_to_the_clip(clip, length):
    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            return {"slope": (3 * self.a + 4 * self.b).sum()}

    method = Slope()
    balancer = build_balancer(Balance(), ["slope"], shared=list(method.parameters()))
    optimizer = torch.optim.SGD(method.parameters(), lr=1.0)
    step(method, None, balancer, optimizer, detect(device="cpu", precision="float32"), clip)
    moved = torch.cat([method.a, method.b]).detach()
    assert moved.norm().item() == pytest.approx(length)
    torch.testing.assert_close(moved / length, torch.tensor([-0.6, -0.8]))


def test_a_clip_is_positive():
    with pytest.raises(TwofoldError, match=r"optimizer.clip is 0.0; must be > 0"):
        Optimizer(clip=0.0)


def test_lars_holds_the_learning_rate_inside_its_momentum():
    """v <- m v + lr r g: a change of rate touches the new gradient alone."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = LARS([{"params": [weight], "adapt": False}], lr=1.0, momentum=0.5)
    expected, velocity = 1.0, 0.0
    for rate, slope in [(1.0, 0.1), (0.1, 0.3), (2.0, -0.2)]:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([slope], dtype=torch.float64)
        optimizer.step()
        velocity = 0.5 * velocity + rate * slope
        expected -= velocity
    assert weight.item() == pytest.approx(expected, abs=1e-15)


def test_lars_may_hold_the_learning_rate_outside():
    """v <- m v + r g, w <- w - lr v: a change of rate touches the whole velocity."""
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    group = {"params": [weight], "adapt": False}
    optimizer = LARS([group], lr=1.0, momentum=0.5, rate_inside=False)
    expected, velocity = 1.0, 0.0
    for rate, slope in [(1.0, 0.1), (0.1, 0.3), (2.0, -0.2)]:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([slope], dtype=torch.float64)
        optimizer.step()
        velocity = 0.5 * velocity + slope
        expected -= rate * velocity
    assert weight.item() == pytest.approx(expected, abs=1e-15)
    settings = Optimizer(name="lars", lars_rate="outside")
    assert not build_optimizer(settings, nn.Linear(1, 1)).param_groups[0]["rate_inside"]


def test_every_trained_parameter_is_in_one_group():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    net[2].bias.requires_grad_(False)
    groups = parameter_groups(net, weight_decay=0.1, vector_rate=0.5, fixed=("2",))
    found = [
        (len(group["params"]), group["weight_decay"], group["share"], group["fixed"])
        for group in groups
    ]
    assert found == [
        (1, 0.1, 1.0, False),
        (3, 0, 0.5, False),
        (1, 0.1, 1.0, True),
        (0, 0, 0.5, True),
    ]


@pytest.mark.parametrize(("weight", "slope"), [(0.0, 1.0), (1.0, 0.0)])
def test_lars_trusts_fully_where_a_norm_is_zero(weight, slope):
    parameter = nn.Parameter(torch.tensor([weight]))
    parameter.grad = torch.tensor([slope])
    LARS([parameter], lr=0.5, momentum=0.0).step()
    assert parameter.item() == pytest.approx(weight - 0.5 * slope)


def test_lars_adds_decay_before_adapting():
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    weight.grad = torch.tensor([0.0, 1.0], dtype=torch.float64)
    LARS([weight], lr=1.0, momentum=0.0, weight_decay=0.1).step()
    slope = torch.tensor([0.3, 1.4], dtype=torch.float64)
    expected = torch.tensor([3.0, 4.0]) - 1e-3 * 5 / slope.norm() * slope
    assert weight.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


def test_norms_and_biases_are_neither_decayed_nor_adapted():
    net = build_encoder("resnet-small", channels=1, image_size=28)
    decayed, plain = parameter_groups(net, weight_decay=0.1)
    assert all(p.ndim > 1 for p in decayed["params"])
    names = {id(p): name for name, p in net.named_parameters()}
    assert all("bn" in names[id(p)] or "downsample.1" in names[id(p)] for p in plain["params"])
    assert plain["weight_decay"] == 0
    assert len(decayed["params"]) + len(plain["params"]) == len(names)
    lars = build_optimizer(Optimizer(name="lars"), net)
    assert [group["adapt"] for group in lars.param_groups] == [True, False]


def test_frozen_parameters_are_left_out():
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    assert [len(g["params"]) for g in parameter_groups(net, weight_decay=0.1)] == [1, 0]


@pytest.mark.parametrize(
    ("scaling", "batch", "expected"),
    [("linear", 512, 0.6), ("sqrt", 1024, 0.6), ("none", 4096, 0.3), ("linear", 64, 0.075)],
)
def test_scaling_with_the_batch(scaling, batch, expected):
    settings = Optimizer(learning_rate=0.3, scaling=scaling)
    assert settings.rate(0, steps=10, batch_size=batch) == pytest.approx(expected)


def test_both_scalings_of_simclr_meet_at_4096():
    """0.3 B/256 and 0.075 sqrt(B) are both 4.8 there (0.075 sqrt(256) = 1.2 at batch 256)."""
    linear = Optimizer(learning_rate=0.3).rate(0, steps=1, batch_size=4096)
    root = Optimizer(learning_rate=1.2, scaling="sqrt").rate(0, steps=1, batch_size=4096)
    assert linear == pytest.approx(4.8)
    assert root == pytest.approx(4.8)


def test_warm_up_and_cosine():
    settings = Optimizer(learning_rate=1.0, warmup=0.1, final=0.2)
    rates = [settings.rate(step, steps=100, batch_size=256) for step in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.2 + 0.8 * 0.5)
    assert rates[100] == pytest.approx(0.2)
    assert rates[32] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * 22 / 90)) / 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", 0.0), ("weight_decay", -1.0), ("momentum", 1.0), ("warmup", 1.0)],
)
def test_wrong_settings_are_refused(field, value):
    with pytest.raises(TwofoldError, match=f"optimizer.{field} is {value}; must be"):
        Optimizer(**{field: value})


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_every_optimiser_descends(name):
    torch.manual_seed(0)
    net = nn.Linear(4, 1)
    optimizer = build_optimizer(Optimizer(name=name), net)
    inputs, targets = torch.randn(64, 4), torch.randn(64, 1)
    before = nn.functional.mse_loss(net(inputs), targets)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(inputs), targets)
        loss.backward()
        optimizer.step()
    assert loss < before
