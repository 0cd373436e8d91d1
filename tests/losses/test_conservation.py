"""Losses of conserved quantities against loops over pairs of states, and where they end."""

import math

import pytest
import torch

from twofold import TwofoldError
from twofold.losses import noise_variance, same_orbit, square_ratio, within_variance


def states(members=3, groups=4, dim=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(members, groups, dim, dtype=torch.float64, generator=generator)


def test_the_variance_within_is_a_loop_over_groups():
    z = states()
    for group, found in enumerate(within_variance(z)):
        own = z[:, group]
        expected = ((own - own.mean(dim=0)) ** 2).sum() / (len(own) - 1)
        assert found.item() == pytest.approx(expected.item())


def test_noise_variance_is_a_loop_over_groups():
    z, noisy = states(), states(seed=1)
    pairs = zip(within_variance(z), within_variance(noisy), strict=True)
    expected = sum(still + 0.5 * abs(2 - moved) for still, moved in pairs) / 4
    found = noise_variance(z, noisy, spread=2, weight=0.5)
    assert found.item() == pytest.approx(expected.item())


def test_noise_variance_is_zero_where_orbits_are_points_and_noise_spreads_as_told():
    still = torch.tensor([1.0, 7.0]).reshape(1, 2, 1).expand(2, 2, 1)
    moved = still + torch.tensor([1.0, -1.0]).reshape(2, 1, 1)
    assert noise_variance(still, moved, spread=2.0).item() == 0
    assert noise_variance(still, still, spread=2.0).item() == 2


def test_square_ratio_is_a_loop_over_states():
    z = states()
    rows, group = z.reshape(-1, 2), torch.arange(4).repeat(3)
    total = 0.0
    for i, row in enumerate(rows):
        squares = ((rows - row) ** 2).sum(dim=1)
        own = [squares[j] for j in range(len(rows)) if group[j] == group[i] and j != i]
        total += sum(own) / len(own) / squares.sum()
    assert square_ratio(z).item() == pytest.approx(total.item() / len(rows))


def test_square_ratio_of_embeddings_without_structure_is_one_over_the_others():
    found = [square_ratio(states(10, 10, 1, seed)) for seed in range(40)]
    assert torch.stack(found).mean().item() == pytest.approx(1 / 99, rel=0.02)


def test_square_ratio_knows_neither_a_shift_nor_a_factor():
    z = states()
    torch.testing.assert_close(square_ratio(5 * z + 100), square_ratio(z))


def test_collapse_counts_as_no_structure_and_gives_no_nan():
    z = torch.zeros(2, 4, 1, requires_grad=True)
    loss = square_ratio(z)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 7)
    assert z.grad.tolist() == torch.zeros(2, 4, 1).tolist()


def test_same_orbit_is_a_loop_over_pairs():
    first, second = states(2)
    weight, offset = torch.tensor(-0.7), torch.tensor(0.3)
    total = 0.0
    for i in range(4):
        for j, label in ((i, 1), (i - 1, 0)):
            logit = offset + weight * ((first[i] - second[j]) ** 2).sum()
            share = torch.sigmoid(logit)
            total -= math.log(share if label else 1 - share)
    found = same_orbit(first, second, weight, offset)
    assert found.item() == pytest.approx(total / 8, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: within_variance(torch.zeros(1, 3, 2)), r"two members or more; found \(1, 3, 2\)"),
        (lambda: square_ratio(torch.zeros(3, 2)), r"\(members, groups, dim\), .* \(3, 2\)"),
        (lambda: square_ratio(torch.zeros(3, 1, 2)), "at least 2 items"),
        (lambda: noise_variance(states(), states(2)), r"\(3, 4, 2\) and \(2, 4, 2\)"),
        (lambda: noise_variance(states(), states(), spread=0.0), "spread and weight are 0.0"),
        (
            lambda: same_orbit(torch.ones(1, 1), torch.ones(1, 1), torch.ones(()), torch.ones(())),
            "of another orbit",
        ),
    ],
)
def test_mistakes_are_told(call, message):
    with pytest.raises(TwofoldError, match=message):
        call()
