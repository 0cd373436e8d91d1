import math

import pytest
import torch

from twofold.balance import DWA


def epoch(balancer, first, second):
    """One epoch of two losses, and the factors it had."""
    for a, b in zip(first, second, strict=True):
        balancer.backward({"a": torch.tensor(a, requires_grad=True), "b": torch.tensor(b)})
    weights = list(balancer.record()["weights"].values())
    balancer.end_epoch()
    return weights


def test_factors_follow_the_falls_of_the_epoch_means():
    balancer = DWA(["a", "b"], temperature=2.0)
    assert epoch(balancer, [9.0, 7.0], [2.0, 2.0]) == [1, 1]  # means 8, 2
    assert epoch(balancer, [4.0, 2.0, 3.0, 3.0], [1.0, 1.0, 2.0, 2.0]) == [1, 1]  # 3, 1.5
    falls = [3 / 8, 1.5 / 2]
    exps = [math.exp(fall / 2) for fall in falls]
    third = epoch(balancer, [1.5], [1.5])
    assert third == pytest.approx([2 * e / sum(exps) for e in exps], rel=1e-6)
    exps = [math.exp(fall / 2) for fall in (0.5, 1.0)]
    assert epoch(balancer, [1.0], [1.0]) == pytest.approx([2 * e / sum(exps) for e in exps])


def test_losses_that_fall_alike_weigh_alike():
    balancer = DWA(["a", "b"])
    for value in (8.0, 4.0, 1.0):
        weights = epoch(balancer, [value], [value / 16])
    assert weights == pytest.approx([1, 1])


def test_a_loss_with_a_negative_floor_is_counted_from_it():
    """From 0 to -1/2 of a floor at -1 is a fall by half, as from 2 to 1."""
    balancer = DWA(["a", "b"], floors={"a": -1.0}, weights={"a": 3.0})
    for value in (0.0, -0.5, -0.5):
        weights = epoch(balancer, [value], [2 + 2 * value])
    assert weights == pytest.approx([3, 1])
