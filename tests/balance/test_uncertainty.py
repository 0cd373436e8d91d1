import math

import pytest
import torch

from twofold.balance import Uncertainty


def test_log_variances_settle_at_the_log_of_the_loss():
    values = {"a": 4.0, "b": 0.3, "c": 1.0}
    balancer = Uncertainty(list(values), rate=0.02, weights={"c": 2.0})
    losses = {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}
    for _ in range(800):
        total = balancer.backward(losses)
    expected = [math.log(4), math.log(0.3), math.log(2)]
    assert balancer.log_variances.tolist() == pytest.approx(expected, abs=1e-3)
    assert total.item() == pytest.approx(sum((1 + s) / 2 for s in expected), abs=1e-4)


def test_the_step_is_that_of_autograd_on_the_whole_objective(two_heads):
    net = two_heads()
    s = torch.tensor([0.4, -0.7], requires_grad=True)
    losses = torch.stack(list(net.losses().values()))
    objective = (torch.exp(-s) * losses / 2 + s / 2).sum()
    (slope,) = torch.autograd.grad(objective, s, retain_graph=True)
    expected = torch.autograd.grad(objective, net.everything)

    balancer = Uncertainty(net.names)
    balancer.log_variances = s.detach().clone()
    slopes = []
    balancer.adam.step = lambda values, slope: slopes.append(slope) or values
    assert balancer.backward(net.losses()).item() == pytest.approx(objective.item(), rel=1e-6)
    assert torch.allclose(slopes[0], slope, atol=1e-6)
    for weight, gradient in zip(net.everything, expected, strict=True):
        assert torch.allclose(weight.grad, gradient, atol=1e-7)


def test_a_loss_with_a_negative_floor_is_counted_from_it():
    losses = {"a": torch.tensor(-0.5, requires_grad=True), "b": torch.tensor(1.0)}
    balancer = Uncertainty(["a", "b"], floors={"a": -1.0, "b": 0.5}, rate=0.02)
    for _ in range(600):
        total = balancer.backward(losses)
    assert balancer.log_variances.tolist() == pytest.approx([math.log(0.5), 0.0], abs=1e-3)
    assert total.item() == pytest.approx(1 + math.log(0.5) / 2, abs=1e-4)
