"""Forget: the dependence against loops over all pairs, and at its two ends."""

import math

import numpy as np
import pytest
import torch

from twofold.augment import IMAGE, Views
from twofold.augment.spatial import Flip
from twofold.objectives import Encoded, Forget, Known

KINDS = {
    "rotate": IMAGE["rotate"],
    "flip": Flip(probability=0.5),
    "brightness": IMAGE["brightness"],
}
VIEWS = Views(KINDS, dict.fromkeys(KINDS, "both"), channels=3, size=8)
KNOWN = Known(targets={name: VIEWS.target(name) for name in KINDS})


def encoded(*features, draws=None):
    index = np.arange(len(features[0]))
    draws = draws or [VIEWS.draw(index, 0, view) for view in range(len(features))]
    return Encoded(
        views=(), draws=tuple(draws), index=torch.from_numpy(index), features=features, known=KNOWN
    )


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def centred_by_loops(kernel):
    n = len(kernel)
    total = sum(map(sum, kernel)) / n**2
    rows, columns = (
        [sum(row) / n for row in kernel],
        [sum(c) / n for c in zip(*kernel, strict=True)],
    )
    return [[kernel[i][j] - rows[i] - columns[j] + total for j in range(n)] for i in range(n)]


@pytest.mark.parametrize("name", KINDS)
def test_the_dependence_against_loops(name):
    features = normal(9, 4) + 3, normal(9, 4, seed=1)
    batch = encoded(*features)
    rows = torch.cat(features).double().numpy()
    rows = rows - rows.mean(axis=0)
    rows = [row / math.sqrt(sum(row**2)) for row in rows]
    columns = np.concatenate([KNOWN.targets[name].columns(draw[name]) for draw in batch.draws])
    squares = [[sum((a - b) ** 2) for b in rows] for a in rows]
    width = sorted(np.ravel(squares))[(len(rows) ** 2 - 1) // 2]  # the lower median
    kernel = centred_by_loops([[math.exp(-square / width) for square in row] for row in squares])
    other = centred_by_loops([[float(a @ b) for b in columns] for a in columns])
    expected = np.sum(np.multiply(kernel, other)) / (np.linalg.norm(kernel) * np.linalg.norm(other))
    assert Forget(name).loss(None, batch).item() == pytest.approx(expected, rel=1e-4)


def quarter_turns(count):
    turns = np.arange(count) % 4
    return {"rotate": {"applied": np.ones(count, dtype=bool), "turns": turns.astype(float)}}


def test_features_that_are_the_class_depend_on_it_in_full():
    turns = torch.eye(4)[torch.arange(64) % 4]
    batch = encoded(turns, draws=[quarter_turns(64)])
    objective = Forget("rotate", views=(0,))
    assert objective.loss(None, batch).item() == pytest.approx(1.0, abs=1e-5)
    moved = encoded(7 * turns @ torch.linalg.qr(normal(4, 4))[0] + 2, draws=[quarter_turns(64)])
    assert objective.loss(None, moved).item() == pytest.approx(1.0, abs=1e-5)
    assert objective.bounds(64) == (1.0, 0.0)


def test_features_that_know_nothing_hardly_depend_on_it():
    batch = encoded(normal(512, 8), draws=[quarter_turns(512)])
    assert 0 <= Forget("rotate", views=(0,)).loss(None, batch).item() < 0.05


def test_descending_on_it_removes_the_trace():
    draws, noise = [quarter_turns(128)], normal(128, 4, seed=1)
    features = (2 * torch.eye(4)[torch.arange(128) % 4] + noise).requires_grad_()
    objective, optimizer = Forget("rotate", views=(0,)), torch.optim.Adam([features], lr=0.1)
    losses = []
    for _ in range(60):
        loss = objective.loss(None, encoded(features, draws=draws))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.3
    assert losses[-1] < 0.02


def test_collapsed_features_give_no_gradient_rather_than_nan():
    features = torch.ones(8, 4, requires_grad=True)
    loss = Forget("rotate", views=(0,)).loss(None, encoded(features, draws=[quarter_turns(8)]))
    loss.backward()
    assert loss.item() == 0
    assert features.grad.isfinite().all()


def test_it_reads_draws_but_keeps_nothing():
    objective = Forget("hue", views=(1,))
    assert (objective.reads, objective.recovers(), objective.keeps()) == ((1,), {"hue"}, set())
