import pytest
import torch
from torch import nn

from twofold.balance import Aggregated
from twofold.balance.aggregate import WEIGHTINGS, build_weighting, project_onto_dual_cone

torchjd = pytest.importorskip("torchjd")

CONFLICT = ((1.0, 0.0), (-1.0, 1.0))


def weighting_of(name):
    if name == "cagrad":
        pytest.importorskip("cvxpy")
        pytest.importorskip("clarabel")
    return build_weighting(name)


def combined(name, gradients):
    """What a weight gets from losses whose gradients are given."""
    weight = torch.zeros(len(gradients[0]), requires_grad=True)
    names = [str(number) for number in range(len(gradients))]
    balancer = Aggregated(names, shared=[weight], weighting=weighting_of(name))
    rows = (torch.tensor(row) for row in gradients)
    balancer.backward({n: (row * weight).sum() for n, row in zip(names, rows, strict=True)})
    return weight.grad


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean", (0.0, 0.5)),
        ("pcgrad", (0.5, 1.5)),
        ("upgrad", (0.25, 0.75)),
        ("dualproj", (0.0, 0.5)),
        ("mgda", (0.2, 0.4)),
    ],
)
def test_two_gradients_that_oppose_each_other(name, expected):
    assert combined(name, CONFLICT).tolist() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "mgda", "cagrad", "imtl_g"])
def test_nothing_is_opposed_by_what_these_combine(name):
    gradients = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    gradients[2] -= gradients[0] + 0.5 * gradients[1]
    found = combined(name, gradients.tolist())
    assert (gradients @ gradients.T).min() < -0.5
    assert (gradients @ found).min() > -1e-2


def test_imtl_g_has_the_same_projection_on_every_gradient():
    gradients = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    projections = nn.functional.normalize(gradients) @ combined("imtl_g", gradients.tolist())
    assert projections.tolist() == pytest.approx([projections[0].item()] * 3, rel=1e-4)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_gradients_are_those_of_torchjd(two_heads, name):
    """Against TorchJD's own backward pass, of the trunk combined and of the heads plain."""
    from torchjd.aggregation import GramianWeightedAggregator
    from torchjd.autojac import jac_to_grad, mtl_backward

    theirs = two_heads(seed=3)
    features = theirs.trunk(torch.randn(16, 5, generator=torch.Generator().manual_seed(5)))
    losses = [(head(features) - 1 - n).square().mean() for n, head in enumerate(theirs.heads)]
    mtl_backward(losses, features=features)
    torch.manual_seed(0)
    jac_to_grad(theirs.shared, GramianWeightedAggregator(weighting_of(name)))

    ours = two_heads(seed=3)
    features = ours.trunk(torch.randn(16, 5, generator=torch.Generator().manual_seed(5)))
    losses = [(head(features) - 1 - n).square().mean() for n, head in enumerate(ours.heads)]
    balancer = Aggregated(ours.names, shared=ours.shared, weighting=weighting_of(name))
    torch.manual_seed(0)
    total = balancer.backward(dict(zip(ours.names, losses, strict=True)))
    assert total.item() == pytest.approx(sum(loss.item() for loss in losses))
    for one, other in zip(ours.everything, theirs.everything, strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_heads_get_the_gradient_of_the_weighted_sum(two_heads):
    """Also where a shared weight is one that some losses do not reach."""
    net = two_heads(count=3)
    lone = torch.ones(2, requires_grad=True)
    losses = net.losses()
    losses["a"] = losses["a"] + lone.sum()
    weights = {"a": 1.0, "b": 0.2, "c": 3.0}
    total = sum(weights[name] * loss for name, loss in losses.items())
    heads = list(net.heads.parameters())
    expected = torch.autograd.grad(total, heads, retain_graph=True)
    balancer = Aggregated(
        net.names,
        weights=weights,
        shared=[*net.shared, lone],
        weighting=lambda gramian: torch.tensor([0.5, 2.0, 1.0]),
    )
    assert balancer.backward(losses).item() == pytest.approx(total.item())
    for head, gradient in zip(heads, expected, strict=True):
        assert torch.allclose(head.grad, gradient, atol=1e-6)
    assert lone.grad.tolist() == [0.5, 0.5]
    assert balancer.record()["weights"] == pytest.approx({"a": 0.5, "b": 0.4, "c": 3.0})


def test_a_record_tells_the_gradients_on_all_that_is_shared(two_heads):
    net = two_heads()
    losses = net.losses()
    flat = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, net.shared, retain_graph=True)])
        for loss in losses.values()
    ]
    balancer = Aggregated(
        net.names, weights={"b": 0.1}, shared=net.shared, weighting=build_weighting("mean")
    )
    balancer.backward(losses)
    record = balancer.record()
    norms = {"a": flat[0].norm().item(), "b": flat[1].norm().item()}
    assert record["gradient_norms"] == pytest.approx(norms, rel=1e-5)
    cosine = nn.functional.cosine_similarity(*flat, dim=0).item()
    assert record["gradient_cosines"] == pytest.approx({"a|b": cosine}, abs=1e-5)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_projection_solves_its_quadratic_program(count):
    """By its conditions: v >= u, slopes G v >= 0, and no slope where v is above u."""
    generator = torch.Generator().manual_seed(count)
    unit = torch.eye(count, dtype=torch.float64)
    for _ in range(20):
        rows = torch.randn(count, count + 2, dtype=torch.float64, generator=generator)
        gramian = rows @ rows.T
        v = project_onto_dual_cone(unit, gramian)
        above, slopes = v - unit, v @ (gramian / gramian.trace() + 1e-4 * unit)
        assert above.min() >= 0
        assert slopes.min() > -1e-12
        assert (above * slopes).abs().max() < 1e-12


def test_the_projection_is_that_of_torchjds_solver():
    pytest.importorskip("qpsolvers")
    pytest.importorskip("quadprog")
    from torchjd.linalg import QuadprogProjector

    rows = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gramian, factors = rows @ rows.T, torch.rand(3, 4, dtype=torch.float64)
    expected = QuadprogProjector()(factors, gramian)
    assert torch.allclose(project_onto_dual_cone(factors, gramian), expected, atol=1e-9)


def test_gradients_that_vanish_move_nothing():
    for name in ("mean", "pcgrad", "upgrad", "dualproj", "mgda", "imtl_g", "aligned_mtl"):
        assert combined(name, ((0.0, 0.0), (0.0, 0.0))).tolist() == [0, 0], name
