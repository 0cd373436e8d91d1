"""Collapse of each kind, provoked by training, is named; a training that works never is."""

import pytest
import torch
from torch import nn

import twofold
from twofold.evaluate import health
from twofold.evaluate.health import COLLAPSED, CONSTANT, HEALTHY, SHORTCUT
from twofold.networks import mlp
from twofold.objectives import BYOL, BarlowTwins, Batch, SimCLR, SimSiam, VICReg

DIM, ITEMS, STEPS = 32, 256, 300
WIDTHS = (64, DIM)


class Attract(SimSiam):
    """SimSiam without predictor and stop-gradient: nothing keeps points apart."""

    def heads(self, encoder, known):
        return {"projector": mlp(encoder.num_features, DIM)}

    def loss(self, heads, batch):
        first, second = (heads.projector(features) for features in batch.features)
        return -nn.functional.cosine_similarity(first, second).mean()


def judged(objective, *, kept=DIM, noise=0.3, other=3.0, rate=0.1, seed=0):
    """The health of features after some hundred steps.

    Items are points of as many directions as dimensions, and views add noise: a little along the
    `kept` first of them, and `other` along the rest.
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(ITEMS, DIM, generator=generator)
    deviation = torch.where(torch.arange(DIM) < kept, noise, other)
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(DIM, 64), nn.ReLU(), nn.Linear(64, DIM))
    encoder.num_features = DIM
    method = twofold.Method(encoder, {"learned": objective})
    optimizer = torch.optim.SGD(method.parameters(), lr=rate, momentum=0.9, weight_decay=0.01)

    def views():
        drawn = (torch.randn(points.shape, generator=generator) for _ in range(2))
        return tuple(points + deviation * noise for noise in drawn)

    for number in range(1, STEPS + 1):
        batch = Batch(views=views(), draws=({}, {}), index=torch.arange(ITEMS))
        optimizer.zero_grad()
        method(batch)["learned"].backward()
        optimizer.step()
        method.after_update(number / STEPS)
    with torch.no_grad():
        first, second = map(encoder, views())
    return health(first, pair=second)


@pytest.mark.parametrize(
    ("objective", "rate"),
    [
        (SimCLR(projector=WIDTHS), 0.1),
        (BYOL(projector=WIDTHS, predictor=(64,)), 0.1),
        (SimSiam(projector=WIDTHS, predictor=(16,)), 0.1),
        (BarlowTwins(projector=WIDTHS), 0.03),
        (VICReg(projector=WIDTHS), 0.01),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_works_is_healthy(objective, rate):
    found = judged(objective, rate=rate)
    assert found.verdict == HEALTHY, found.sentence


@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_so_for_other_seeds(seed):
    assert judged(SimCLR(projector=WIDTHS), seed=seed).verdict == HEALTHY


def test_attraction_alone_is_constant():
    found = judged(Attract())
    assert found.verdict == CONSTANT, found.sentence


@pytest.mark.parametrize("seed", [0, 1])
def test_views_too_strong_for_all_but_two_directions_are_dimensional_collapse(seed):
    found = judged(SimCLR(projector=WIDTHS), kept=2, noise=0.5, seed=seed)
    assert found.verdict == COLLAPSED, found.sentence
    assert found.rankme < 4


@pytest.mark.parametrize("seed", [0, 1])
def test_an_easy_cue_that_no_view_changes_is_a_suspected_shortcut(seed):
    found = judged(SimCLR(projector=WIDTHS), kept=2, noise=0.01, other=1.0, seed=seed)
    assert found.verdict == SHORTCUT, found.sentence
