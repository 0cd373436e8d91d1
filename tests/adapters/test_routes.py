import copy
import pickle

import pytest
import torch
from example_encoders import KINDS, ROUTES, disturbed, equal, made
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from twofold.adapters import adapt
from twofold.errors import TwofoldError


class Fragile(nn.Module):
    """A network that fails on what is not finite."""

    num_features = 4

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, vectors):
        if not vectors.isfinite().all():
            raise ValueError("not finite")
        return self.norm(vectors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["small", "depthwise", "signals"])
def test_a_loss_on_one_route_leaves_the_other_alone(name, kind):
    encoder, items = made(name)
    adapted = disturbed(adapt(encoder, kind=kind)).train()
    for route, other in (ROUTES, ROUTES[::-1]):
        adapted.zero_grad()
        kept, moved = buffers(adapted, other), buffers(adapted, route)
        adapted(items, route).square().sum().backward()
        assert all(parameter.grad is None for parameter in adapted.route_parameters(other))
        assert all(parameter.grad is not None for parameter in adapted.route_parameters(route))
        assert all(parameter.grad is not None for parameter in adapted.shared_parameters())
        assert equal(buffers(adapted, other), kept)
        assert kind == "split" or not equal(buffers(adapted, route), moved)


def buffers(adapted, route):
    return {k: v.clone() for k, v in adapted.named_buffers() if f".routes.{route}." in k}


@pytest.mark.parametrize("kind", ["parallel", "series", "norm"])
def test_the_order_of_routes_does_not_matter(kind):
    encoder, items = made("small")
    first = disturbed(adapt(encoder, kind=kind, shared=())).train()
    second = copy.deepcopy(first)
    forth = {route: first(items, route) for route in ROUTES}
    back = {route: second(items, route) for route in ROUTES[::-1]}
    assert equal(forth, {route: back[route] for route in ROUTES})
    assert equal(first.state_dict(), second.state_dict())
    assert not torch.equal(forth["invariant"], forth["sensitive"])


@pytest.mark.parametrize("kind", KINDS)
def test_routes_side_by_side(kind):
    encoder, items = made("small")
    adapted = disturbed(adapt(encoder, ("a", "b", "c"), kind))
    expected = torch.cat([adapted(items, route) for route in ("a", "b", "c")], dim=1)
    assert torch.equal(adapted(items, "all"), expected)
    assert torch.equal(adapted(items), adapted(items, "a"))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_copied_and_pickled_networks_are_the_same_and_apart(kind):
    encoder, items = made("small")
    adapted = disturbed(adapt(encoder, kind=kind))
    restored = adapt(encoder, kind=kind)
    restored.load_state_dict(adapted.state_dict())
    copies = [restored, copy.deepcopy(adapted), pickle.loads(pickle.dumps(adapted))]
    expected = adapted(items, "all")
    for other in copies:
        assert torch.equal(other(items, "all"), expected)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
    assert torch.equal(adapted(items, "all"), expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_a_switch_of_its_own(duplicate):
    adapted = disturbed(adapt(Fragile(), kind="norm", shared=()))
    other, vectors = duplicate(adapted), torch.randn(5, 4)
    expected = F.batch_norm(vectors, None, None, *adapted.route_parameters("sensitive"), True)

    def run_the_copy(*_):
        with pytest.raises(TwofoldError, match="outside its forward pass"):
            other.network(vectors)
        assert not torch.allclose(other(vectors, "invariant"), expected)

    adapted.network.register_forward_pre_hook(run_the_copy)
    assert torch.allclose(adapted(vectors, "sensitive"), expected, atol=1e-6)


def test_a_pass_that_fails_leaves_no_route_behind():
    adapted = adapt(Fragile(), kind="norm", shared=())
    with pytest.raises(ValueError, match="not finite"):
        adapted(torch.full((2, 4), torch.nan), "sensitive")
    with pytest.raises(TwofoldError, match="outside its forward pass"):
        adapted.network(torch.zeros(2, 4))


def test_a_block_run_again_in_the_backward_pass_is_refused():
    """Its route is gone by then; the first route's gradients would be silently wrong."""
    encoder, items = made("small")
    adapted = adapt(encoder)
    stage = adapted.network.layer4
    forward = stage.forward
    stage.forward = lambda maps: checkpoint(forward, maps, use_reentrant=False)
    features = adapted(items, "sensitive")
    with pytest.raises(TwofoldError, match="outside its forward pass"):
        features.sum().backward()
    stage.forward = forward
    checkpoint(adapted, items, "sensitive", use_reentrant=False).sum().backward()
