import pytest
import torch

from twofold.balance import GradNorm
from twofold.balance.adam import Adam


def factors_at_rest(norms, losses, *, alpha, steps=1500, rate=0.01, **others):
    """The factors after many steps whose gradients and losses stay as they are.

    The losses of the first step are all 1, so later ones are their ratios to it.
    """
    names = [str(number) for number in range(len(norms))]
    layer = torch.zeros(len(norms), requires_grad=True)
    balancer = GradNorm(names, layer=layer, alpha=alpha, rate=rate, **others)

    def step(values):
        balancer.backward(
            {name: v + n * x for name, v, n, x in zip(names, values, norms, layer, strict=True)}
        )

    step([1.0] * len(norms))
    recent = []
    for number in range(steps):
        balancer.adam.rate = rate / (1 + number / 50)  # signs never settle under a constant rate
        step(losses)
        recent.append(list(balancer.record()["weights"].values()))
    return recent[-1]


@pytest.mark.parametrize(
    ("norms", "ratios", "alpha", "expected"),
    [
        ((1, 3), (1, 1), 0.0, (1.5, 0.5)),
        ((1, 2, 4), (1, 1, 1), 0.0, (1.7143, 0.8571, 0.4286)),
        ((1, 3), (1.5, 0.5), 1.0, (1.8, 0.2)),
        ((1, 3), (0.6, 0.2), 1.0, (1.8, 0.2)),  # ratios count relative to their mean
        ((1, 3), (1, 1), 1.5, (1.5, 0.5)),  # and their power is 1 where they are equal
    ],
)
def test_factors_settle_where_the_paper_wants_them(norms, ratios, alpha, expected):
    found = factors_at_rest(norms, ratios, alpha=alpha)
    assert found == pytest.approx(expected, abs=5e-3)


def test_other_exponents_settle_near_the_naive_point_not_at_it():
    """mean(r^1.5) is not 1, so no factors make the loss zero; by simulation elsewhere."""
    found = factors_at_rest((1, 3), (1.5, 0.5), alpha=1.5)
    assert found == pytest.approx((1.8665, 0.1335), abs=5e-3)


def test_the_slope_is_that_of_autograd_through_the_gradient_norms(two_heads):
    """By double backward: d/dw sum |G_i(w) - sg[target_i]| with G_i = ||d(w_i L_i)/dW||."""
    net = two_heads(count=3)
    alpha, initial = 0.7, torch.tensor([1.5, 0.8, 2.0])
    weights = torch.tensor([1.2, 0.5, 1.3], requires_grad=True)
    losses = torch.stack(list(net.losses().values()))
    sizes = torch.stack(
        [
            torch.autograd.grad(w * loss, net.layer, create_graph=True, retain_graph=True)[0].norm()
            for w, loss in zip(weights, losses, strict=True)
        ]
    )
    ratios = losses / initial
    target = (sizes.mean() * (ratios / ratios.mean()) ** alpha).detach()
    (slope,) = torch.autograd.grad((sizes - target).abs().sum(), weights)

    balancer = GradNorm(net.names, layer=net.layer, alpha=alpha, rate=0.1)
    balancer.weights, balancer.initial = weights.detach().clone(), initial
    slopes = []
    balancer.adam.step = lambda values, slope: slopes.append(slope) or values
    balancer.backward(net.losses())
    assert torch.allclose(slopes[0], slope, rtol=1e-4)
    assert {-1, 1} == set(slope.sign().tolist())  # both sides of the kink


def test_the_network_is_updated_with_the_factors_as_they_were(two_heads):
    net = two_heads()
    balancer = GradNorm(net.names, layer=net.layer, rate=0.3)
    balancer.weights = torch.tensor([1.6, 0.4])
    losses = net.losses()
    expected = torch.autograd.grad(
        1.6 * losses["a"] + 0.4 * losses["b"], net.everything, retain_graph=True
    )
    balancer.backward(losses)
    for weight, gradient in zip(net.everything, expected, strict=True):
        assert torch.allclose(weight.grad, gradient, atol=1e-7)
    assert list(balancer.record()["weights"].values()) == pytest.approx([1.6, 0.4])
    assert (balancer.weights - torch.tensor([1.6, 0.4])).abs().min() > 0.01
    assert balancer.weights.sum().item() == pytest.approx(2)


def test_factors_stay_positive_and_sum_to_the_number_of_losses():
    """A step of Adam is as long as its rate: without the clamp one factor would be -4."""
    found = factors_at_rest((1.0, 1000.0), (1, 1), alpha=0.0, rate=5.0, steps=3)
    assert min(found) > 0
    assert sum(found) == pytest.approx(2)


def test_a_loss_with_a_negative_floor_is_counted_from_it():
    """Cosine losses from 0 to -0.5 of a floor at -1 have half their way left."""
    layer = torch.ones(1, requires_grad=True)
    shifted = GradNorm(["a", "b"], layer=layer, alpha=1.0, weights={"a": 2.0}, floors={"a": -1.0})
    for value in (0.0, -0.5):
        zero = layer.sum() - 1
        shifted.backward({"a": value + zero, "b": 2 + value + 3 * zero})
    plain = GradNorm(["a", "b"], layer=layer, alpha=1.0)
    for value in (1.0, 0.5):
        zero = layer.sum() - 1
        plain.backward({"a": 2 * (value + zero), "b": 1 + value + 3 * zero})
    assert shifted.initial.tolist() == [2.0, 2.0]
    assert torch.equal(shifted.weights, plain.weights)


def test_adam_is_torchs():
    torch.manual_seed(0)
    ours, values = Adam(3, rate=0.05), torch.zeros(3)
    weight = torch.zeros(3, requires_grad=True)
    theirs = torch.optim.Adam([weight], lr=0.05)
    for slope in torch.randn(20, 3):
        values = ours.step(values, slope)
        weight.grad = slope
        theirs.step()
    assert torch.allclose(values, weight, atol=1e-6)
