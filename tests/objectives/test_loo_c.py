"""LooC: every space against loops, and what features that know the item alone must pay."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from twofold import TwofoldError
from twofold.assembly import build_views
from twofold.domains import Source
from twofold.objectives import Encoded, Known, LooC
from twofold.recipes import RECIPES

ENCODER = SimpleNamespace(num_features=6)


def encoded(features):
    count = len(features[0])
    return Encoded(views=(), draws=(), index=torch.arange(count), features=tuple(features))


def cosine(first, second):
    norms = math.sqrt(sum(a * a for a in first)) * math.sqrt(sum(b * b for b in second))
    return sum(a * b for a, b in zip(first, second, strict=True)) / norms


@pytest.mark.parametrize("names", [("rotate",), ("rotate", "brightness"), ()])
def test_every_space_against_loops(names):
    torch.manual_seed(0)
    objective = LooC(names, projector=(8, 5), temperature=0.3)
    heads = nn.ModuleDict(objective.heads(ENCODER, Known()))
    assert list(heads) == ["projector", *(f"projector_{name}" for name in names)]
    features = [torch.randn(4, 6) for _ in objective.reads]
    assert len(features) == 2 + len(names)
    losses = []
    for space, head in enumerate(heads.values()):
        query, *keys = (head(view).tolist() for view in features)
        for i in range(4):
            own = [cosine(query[i], key[i]) / 0.3 for key in (keys if space else keys[:1])]
            others = [cosine(query[i], keys[space][j]) / 0.3 for j in range(4) if j != i]
            scores = sum(math.exp(score) for score in own + others)
            losses.append(math.log(scores) - own[space])
    loss = objective.loss(heads, encoded(features))
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)
    loss.backward()
    assert all(p.grad.abs().max() > 0 for head in heads.values() for p in head[0].parameters())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_knowing_the_item_alone_leaves_its_keys_to_guess(count):
    """Space 0 is solved; in each other, n + 1 keys of the item are equal: ln(n + 1)."""
    names = tuple("abc"[:count])
    objective = LooC(names, temperature=0.02)
    identity = {name: nn.Identity() for name in objective.heads(ENCODER, Known())}
    loss = objective.loss(nn.ModuleDict(identity), encoded([torch.eye(16)] * (2 + count)))
    assert loss.item() == pytest.approx(count * math.log(count + 1) / (count + 1), abs=1e-5)


def test_the_recipe_repeats_what_each_space_keeps():
    recipe = RECIPES["loo_c"]()
    items = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    views = build_views(recipe, Source(name="toy", items=items, ids=list("abcd")), seed=0)
    draws = [views.draw(np.arange(200), 0, view) for view in range(4)]
    kept = recipe.objectives["contrast"].augmentations
    for name in kept:
        parameter = {"rotate": "turns", "brightness": "factor"}[name]
        values = [draw[name][parameter] for draw in draws]
        repeats = [view for view in range(1, 4) if np.array_equal(values[0], values[view])]
        assert repeats == [2 + kept.index(name)]


def test_it_keeps_what_it_names():
    assert LooC(("rotate", "hue")).keeps() == {"rotate", "hue"}
    assert LooC(("rotate",)).num_negatives(256) == 255
    with pytest.raises(TwofoldError, match="temperature is 0; it must be > 0"):
        LooC(("rotate",), temperature=0)
    with pytest.raises(TwofoldError, match=r"projector is \(8, 1\)"):
        LooC(("rotate",), projector=(8, 1))
