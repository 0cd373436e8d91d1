"""What holds for every balancer."""

import importlib.util
import math

import pytest
import torch
from torch.nn import functional as F

from twofold import TwofoldError
from twofold.balance import BALANCERS, Balance, Weighted, build_balancer

FIXED = {"weighted", "gradnorm", "uncertainty", "dwa", "random"}


def build(name, net, **others):
    if name not in FIXED:
        pytest.importorskip("torchjd")
    if name == "cagrad":
        pytest.importorskip("cvxpy")
        pytest.importorskip("clarabel")
    settings = Balance(name=name, measure_every=others.pop("measure_every", 3))
    return build_balancer(settings, net.names, layer=net.layer, shared=net.shared, **others)


def train(net, balancer, steps):
    """Some steps of descent, each of which depends on its number alone; an epoch is four."""
    optimizer = torch.optim.SGD(net.everything, lr=0.05)
    told = []
    for step in steps:
        torch.manual_seed(step)
        optimizer.zero_grad()
        total = balancer.backward(net.losses(0.1 * torch.randn(16, 5)))
        optimizer.step()
        told.append((total.item(), balancer.record()))
        if step % 4 == 3:
            balancer.end_epoch()
    return told


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("stop", [1, 4, 10])
def test_a_resumed_run_ends_with_the_same_bits(two_heads, name, stop):
    """Stopped in the first epoch, after it, and in the middle of the third, of four steps each."""
    whole = two_heads(count=3)
    told = train(whole, build(name, whole), range(19))

    net = two_heads(count=3)
    balancer = build(name, net)
    train(net, balancer, range(stop))
    state = {key: tensor.clone() for key, tensor in balancer.state_dict().items()}
    resumed = build(name, net)
    resumed.load_state_dict(state)
    assert train(net, resumed, range(stop, 19)) == told[stop:]
    for one, other in zip(whole.everything, net.everything, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", BALANCERS)
def test_gradients_join_those_there_are(two_heads, name):
    net = two_heads()
    gradients = []
    for before in (None, 1.0):
        for weight in net.everything:
            weight.grad = None if before is None else torch.full_like(weight, before)
        torch.manual_seed(0)
        build(name, net).backward(net.losses())
        gradients.append([weight.grad.clone() for weight in net.everything])
    for fresh, joined in zip(*gradients, strict=True):
        assert torch.allclose(joined, fresh + 1, atol=1e-5)


@pytest.mark.parametrize("name", BALANCERS)
def test_nothing_that_is_not_the_balancers_own_is_in_its_state(two_heads, name):
    net = two_heads()
    balancer = build(name, net)
    assert not list(balancer.parameters())
    assert all(isinstance(tensor, torch.Tensor) for tensor in balancer.state_dict().values())
    assert all(tensor.numel() <= 4 for tensor in balancer.state_dict().values())


@pytest.mark.parametrize("name", BALANCERS)
def test_fixed_weights_multiply_the_losses_first(two_heads, name):
    """A loss times 3 with weight 1/3 is the loss."""
    ends = []
    for factor in (1.0, 3.0):
        net = two_heads()
        balancer = build(name, net, weights={"b": 0.5 / factor})
        for step in range(6):
            torch.manual_seed(step)
            for weight in net.everything:
                weight.grad = None
            losses = net.losses()
            balancer.backward(losses | {"b": factor * losses["b"]})
            balancer.end_epoch()
        ends.append([weight.grad for weight in net.everything])
    for one, other in zip(*ends, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", BALANCERS)
def test_a_single_loss_is_itself_whatever_balances_it(two_heads, name):
    net = two_heads(count=1)
    balancer = build_balancer(Balance(name=name), net.names, layer=net.layer)
    loss = net.losses()["a"]
    expected = torch.autograd.grad(loss, net.everything, retain_graph=True)
    assert balancer.backward({"a": loss}).item() == loss.item()
    for weight, gradient in zip(net.everything, expected, strict=True):
        assert torch.equal(weight.grad, gradient)
    assert balancer.record() == {}


@pytest.mark.parametrize("measured", [False, True])
def test_the_weighted_sum_has_the_bits_of_the_plain_formula(two_heads, measured):
    weights = {"b": 0.1, "c": 1 / 3}
    net = two_heads(count=4)
    balancer = Weighted(
        net.names, weights=weights, layer=net.layer if measured else None, measure_every=1
    )
    total = balancer.backward(net.losses())
    assert ("gradient_norms" in balancer.record()) == measured

    plain = two_heads(count=4)
    losses = plain.losses()
    expected = torch.stack([weights.get(name, 1.0) * losses[name] for name in losses]).sum()
    expected.backward()
    assert torch.equal(total, expected)
    for one, other in zip(net.everything, plain.everything, strict=True):
        assert torch.equal(one.grad, other.grad)


def test_a_record_tells_norms_and_cosines_of_the_losses_before_any_factor(two_heads):
    net = two_heads(count=3)
    losses = net.losses()
    gradients = {
        name: torch.autograd.grad(loss, net.layer, retain_graph=True)[0].flatten()
        for name, loss in losses.items()
    }
    balancer = Weighted(net.names, weights={"b": 0.25}, layer=net.layer)
    balancer.backward(losses)
    record = balancer.record()
    assert record["weights"] == {"a": 1.0, "b": 0.25, "c": 1.0}
    assert record["gradient_norms"] == pytest.approx(
        {name: gradient.norm().item() for name, gradient in gradients.items()}, rel=1e-5
    )
    assert record["gradient_cosines"] == pytest.approx(
        {
            f"{one}|{other}": F.cosine_similarity(gradients[one], gradients[other], dim=0).item()
            for one, other in ("ab", "ac", "bc")
        },
        abs=1e-6,
    )


def test_gradients_are_measured_as_often_as_asked(two_heads):
    net = two_heads()
    told = train(net, build("weighted", net, measure_every=3), range(7))
    assert [step for step, (_, record) in enumerate(told) if len(record) > 1] == [0, 3, 6]
    told = train(net, build("gradnorm", net, measure_every=3), range(3))
    assert all(len(record) == 3 for _, record in told)


def test_a_loss_that_does_not_reach_the_layer_has_no_gradient_there():
    layer, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    balancer = Weighted(["a", "b"], layer=layer)
    balancer.backward({"a": layer.sum(), "b": other.sum()})
    record = balancer.record()
    assert record["gradient_norms"] == pytest.approx({"a": math.sqrt(2), "b": 0.0})
    assert record["gradient_cosines"] == {"a|b": 0.0}


def test_random_factors_sum_to_the_number_of_losses_and_follow_the_seed(two_heads):
    net = two_heads(count=3)
    told = [record["weights"] for _, record in train(net, build("random", net), range(5))]
    for weights in told:
        assert sum(weights.values()) == pytest.approx(3)
        assert min(weights.values()) > 0
    assert len({weights["a"] for weights in told}) == 5
    torch.manual_seed(2)
    torch.randn(16, 5)  # the noise
    assert list(told[2].values()) == pytest.approx((3 * torch.randn(3).softmax(0)).tolist())


def test_what_no_balancer_can_work_with_is_refused(two_heads, monkeypatch):
    net = two_heads()
    with pytest.raises(TwofoldError, match=r"unknown loss weight 'c'"):
        Weighted(net.names, weights={"c": 1.0})
    with pytest.raises(TwofoldError, match=r"unknown loss floor 'c'"):
        Weighted(net.names, floors={"c": 1.0})
    with pytest.raises(TwofoldError, match=r"weight of loss 'a' is 0; balancer 'dwa' needs it > 0"):
        build_balancer(Balance(name="dwa"), net.names, weights={"a": 0})
    with pytest.raises(TwofoldError, match=r"there is none; name it with --balance\.layer"):
        build_balancer(Balance(name="gradnorm"), net.names)
    with pytest.raises(TwofoldError, match=r"there are none; choose weighted"):
        build_balancer(Balance(name="pcgrad"), net.names)
    monkeypatch.setitem(__import__("sys").modules, "torchjd.aggregation", None)
    with pytest.raises(TwofoldError, match=r"needs TorchJD.*; pip install twofold\[balance\]"):
        build_balancer(Balance(name="pcgrad"), net.names, shared=net.shared)


@pytest.mark.skipif(importlib.util.find_spec("cvxpy") is not None, reason="cvxpy is installed")
def test_a_solver_that_is_missing_is_named(two_heads):
    pytest.importorskip("torchjd")
    net = two_heads()
    with pytest.raises(TwofoldError, match=r"solver that is not installed; pip install torchjd\[c"):
        build_balancer(Balance(name="cagrad"), net.names, shared=net.shared)


@pytest.mark.parametrize(
    ("field", "value"),
    [("alpha", -1), ("rate", 0), ("softness", 0), ("measure_every", 0)],
)
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(TwofoldError, match=rf"balance\.{field} is {value}; must be"):
        Balance(**{field: value})
