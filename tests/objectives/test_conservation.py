"""Objectives of conserved quantities: what they read, and what a method that conserves gives."""

import pytest
import torch
from torch import nn

from twofold import Method, TwofoldError
from twofold.losses import noise_variance, square_ratio
from twofold.objectives import Batch, ConCerNet, ConservNet, Siamese


class Squares(nn.Module):
    """The energy of a spring, and how it was asked for it."""

    num_features = 1

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))
        self.seen = []

    def forward(self, states):
        self.seen.append(states)
        return self.factor * states.flatten(1).square().sum(dim=1, keepdim=True)


def method_and_batch(objective, orbits=6, views=3):
    torch.manual_seed(0)
    method = Method(Squares(), {"conserve": objective})
    with torch.no_grad():
        method.heads["conserve"].projector[0].weight.fill_(1.0)
        method.heads["conserve"].projector[0].bias.zero_()
    angle = 6.28 * torch.rand(views, orbits)
    states = torch.stack([angle.cos(), angle.sin()], dim=2) * (1 + torch.arange(orbits))[:, None]
    batch = Batch(views=tuple(states), draws=({},) * views, index=torch.arange(orbits))
    return method, batch


@pytest.mark.parametrize("members", [2, 3])
def test_con_cer_net_reads_as_many_views_as_members(members):
    method, batch = method_and_batch(ConCerNet(members=members))
    assert method(batch)["conserve"].item() < 1e-10
    shuffled = Batch(
        views=tuple(view[torch.randperm(6)] for view in batch.views),
        draws=batch.draws,
        index=batch.index,
    )
    found = method(shuffled)["conserve"]
    rows = torch.stack(shuffled.views[:members]).square().sum(dim=2, keepdim=True)
    assert found.item() == pytest.approx(square_ratio(rows).item(), rel=1e-5)


def test_conserv_net_moves_every_state_and_encodes_it_again():
    objective = ConservNet(members=3, reach=0.25)
    method, batch = method_and_batch(objective)
    loss = method(batch)["conserve"]
    still, moved = method.encoder.seen
    step = (moved - still).norm(dim=1)
    assert 0 < step.min() <= step.max() <= 0.25
    z, noisy = (rows.square().sum(dim=1).reshape(3, 6, 1) for rows in (still, moved))
    assert loss.item() == pytest.approx(noise_variance(z, noisy).item(), rel=1e-5)
    loss.backward()
    assert method.encoder.factor.grad.abs() > 0


def test_siamese_learns_that_distance_tells_orbits_apart():
    method, batch = method_and_batch(Siamese())
    logit = method.heads["conserve"].logit
    with torch.no_grad():
        logit.weight.fill_(-10.0)
        logit.bias.fill_(5.0)
    assert method(batch)["conserve"].item() < 0.01
    with torch.no_grad():
        logit.weight.zero_()
        logit.bias.zero_()
    assert method(batch)["conserve"].item() == pytest.approx(Siamese().bounds(6)[0])


def test_chance_counts_all_other_states():
    assert ConCerNet(members=4).bounds(8) == (1 / 31, 0.0)
    assert ConservNet(spread=2.0, noise_weight=3.0).bounds(8) == (6.0, 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConCerNet(members=1), "members is 1; it must be at least 2"),
        (lambda: ConservNet(reach=0.0), "reach is 0.0"),
        (lambda: Siamese(projector=()), "projector is"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(TwofoldError, match=message):
        make()
