"""Predict: its chance values, its loss against loops, and that it learns from what is rendered."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from twofold import Method, TwofoldError
from twofold.augment import IMAGE, Views
from twofold.augment.spatial import Flip
from twofold.objectives import Batch, Encoded, Known, Predict

KINDS = {
    "rotate": IMAGE["rotate"],
    "flip": Flip(probability=0.5),
    "brightness": IMAGE["brightness"],
}
SEVEN = ("crop", "flip", "brightness", "contrast", "saturation", "hue", "grayscale")
ENCODER = SimpleNamespace(num_features=6)


def views_of(kinds, **settings):
    return Views(kinds, dict.fromkeys(kinds, "both"), channels=3, size=8, **settings)


def known_of(views, names):
    return Known(targets={name: views.target(name) for name in names})


def encoded(views, known, rows=7, count=2):
    """Random features of a few items, and what was drawn for each of their views."""
    generator = torch.Generator().manual_seed(0)
    return Encoded(
        views=(),
        draws=tuple(views.draw(np.arange(rows), 0, view) for view in range(count)),
        index=torch.arange(rows),
        features=tuple(torch.randn(rows, 6, generator=generator) for _ in range(count)),
        known=known,
    )


def heads_of(objective, known, seed=0):
    torch.manual_seed(seed)
    return nn.ModuleDict(objective.heads(ENCODER, known))


def by_hand(kind, outputs, value):
    """The loss of one row: cross-entropies in full, or the mean of squares."""
    if kind == "continuous":
        return sum((o - v) ** 2 for o, v in zip(outputs, value, strict=True)) / len(outputs)
    odds = [0.0, *outputs] if kind == "binary" else outputs
    return math.log(sum(map(math.exp, odds))) - odds[int(value)]


def drawn_value(name, kind, drawn, row, target):
    if kind == "binary":
        return float(drawn["applied"][row])
    if kind == "classes":
        return int(drawn["turns"][row])
    assert name == "brightness"
    return [(drawn["factor"][row] - target.mean[0]) / target.std[0]]


def difference(kind, first, second):
    if kind == "binary":
        return float(first != second)
    if kind == "classes":
        return (first - second) % 4
    return [(a - b) / math.sqrt(2) for a, b in zip(first, second, strict=True)]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("names", ["rotate", ("flip",), ("brightness",), ("flip", *KINDS)])
def test_each_view_on_its_own_against_loops(names, applied):
    views = views_of(KINDS)
    objective = Predict(names, applied=applied, hidden=(5,), norm="none")
    known = known_of(views, objective.names)
    heads, batch = heads_of(objective, known), encoded(views, known)
    losses = []
    for view in range(2):
        for row in range(7):
            outputs = heads.predictor(batch.features[view][row : row + 1])[0].tolist()
            for name in objective.names:
                target = known.targets[name]
                kind = "binary" if applied else target.kind
                mine = [outputs.pop(0) for _ in range({"classes": 4}.get(kind, 1))]
                value = drawn_value(name, kind, batch.draws[view][name], row, target)
                losses.append(by_hand(kind, mine, value))
            assert not outputs
    assert objective.loss(heads, batch).item() == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("names", [("rotate",), ("flip",), ("brightness",), tuple(KINDS)])
def test_how_two_views_differ_against_loops(names, applied):
    views = views_of(KINDS)
    settings = {"applied": applied, "hidden": (5,), "norm": "none"}
    objective = Predict(names, compare="difference", views=(1, 0), **settings)
    known = known_of(views, names)
    heads, batch = heads_of(objective, known), encoded(views, known)
    losses = []
    for row in range(7):
        features = torch.cat([batch.features[1][row], batch.features[0][row]])
        outputs = heads.predictor(features[None])[0].tolist()
        for name in names:
            target = known.targets[name]
            kind = "binary" if applied else target.kind
            mine = [outputs.pop(0) for _ in range({"classes": 4}.get(kind, 1))]
            drawn = [
                drawn_value(name, kind, batch.draws[view][name], row, target) for view in (1, 0)
            ]
            losses.append(by_hand(kind, mine, difference(kind, *drawn)))
    assert objective.loss(heads, batch).item() == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("names", "chance"),
    [
        ("rotate", math.log(4)),
        ("flip", math.log(2)),
        ("brightness", 1.0),
        (tuple(KINDS), (math.log(4) + math.log(2) + 1) / 3),
    ],
)
@pytest.mark.parametrize("compare", ["each", "difference"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_it_begins_at_chance(names, chance, compare, norm):
    views = views_of(KINDS)
    objective = Predict(names, compare=compare, norm=norm)
    known = known_of(views, objective.names)
    assert objective.bounds(256, known) == pytest.approx((chance, 0.0), abs=2e-3)
    batch = encoded(views, known, rows=2000)
    loss = objective.loss(heads_of(objective, known), batch)
    assert loss.item() == pytest.approx(chance, rel=0.12)


def test_whether_any_of_seven_was_applied_costs_the_entropy_of_four_in_seven():
    """MT-SLVR's loss: the mean over batch and augmentations, views stacked."""
    views = views_of({name: IMAGE[name] for name in SEVEN}, select="subset")
    objective = Predict(SEVEN, applied=True, hidden=(5,), norm="none")
    known = known_of(views, SEVEN)
    assert objective.bounds(100, known)[0] == pytest.approx(0.68291, abs=1.5e-3)
    heads, batch = heads_of(objective, known), encoded(views, known)
    applied = [[drawn[name]["applied"] for name in SEVEN] for drawn in batch.draws]
    expected = nn.functional.binary_cross_entropy_with_logits(
        heads.predictor(torch.cat(batch.features)),
        torch.from_numpy(np.concatenate(applied, axis=1).T).float(),
    )
    torch.testing.assert_close(objective.loss(heads, batch), expected)


class Upright(nn.Module):
    """A small network for images of 8 pixels."""

    num_features = 16

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU())

    def forward(self, images):
        return self.layers(images)


@pytest.mark.parametrize(("rendered", "left"), [(True, (0.0, 0.1)), (False, (1.3, 2.0))])
def test_what_is_drawn_but_never_rendered_cannot_be_learned(rendered, left):
    torch.manual_seed(0)
    views = views_of({"rotate": KINDS["rotate"]}, num_views=1)
    objective = Predict("rotate", views=(0,), hidden=(32,), norm="none")
    method = Method(Upright(), {"predict": objective}, known=known_of(views, ["rotate"]))
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2)
    brighter_above = torch.linspace(1, 0, 8).view(1, 1, 8, 1)
    losses = []
    for step in range(120):
        index = np.arange(64) + 64 * step  # items never come back
        upright = (brighter_above + torch.rand(64, 3, 8, 8)) / 2
        (turned,), draws = views(upright, index, 0)
        seen = turned if rendered else upright
        batch = Batch(views=(seen - 0.5,), draws=tuple(draws), index=torch.from_numpy(index))
        loss = method(batch)["predict"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert left[0] <= np.mean(losses[-20:]) <= left[1]


def test_it_reads_the_views_it_names_alone():
    views = views_of(KINDS, num_views=3)
    objective = Predict("rotate", views=(2,), hidden=(5,), norm="none")
    assert objective.reads == (2,)
    assert objective.names == ("rotate",)
    known = known_of(views, objective.names)
    heads, batch = heads_of(objective, known), encoded(views, known, count=3)
    nothing = torch.empty(0)
    alone = {**vars(batch), "features": (nothing, nothing, batch.features[2])}
    loss = objective.loss(heads, Encoded(**alone))
    turns = torch.from_numpy(batch.draws[2]["rotate"]["turns"]).long()
    expected = nn.functional.cross_entropy(heads.predictor(batch.features[2]), turns)
    torch.testing.assert_close(loss, expected)


def test_it_is_completed_only_if_it_names_none():
    assert Predict().completed(("flip", "crop")).names == ("flip", "crop")
    assert Predict("hue").completed(("flip",)).names == ("hue",)
    assert Predict(("hue", "flip")).without({"hue"}) == Predict(("flip",))
    assert Predict("hue").without({"hue"}) is None
    assert Predict().without({"hue"}) == Predict()


def test_a_predictor_of_nothing_is_refused():
    with pytest.raises(TwofoldError, match="Predict names no augmentation; name some") as error:
        Method(Upright(), {"predict": Predict()})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"views": ()}, r"views is \(\); it must name views, from 0"),
        ({"views": (-1,)}, r"views is \(-1,\); it must name views, from 0"),
        ({"views": (0, 1, 2), "compare": "difference"}, r"compare='difference' compares two views"),
        ({"hidden": (8, 0)}, r"hidden is \(8, 0\); it needs one width or more"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(TwofoldError, match=words) as error:
        Predict("rotate", **settings)
    assert "\n" not in str(error.value)


def test_an_augmentation_that_no_view_draws_is_told():
    known = known_of(views_of(KINDS), KINDS)
    with pytest.raises(TwofoldError, match="recover 'rotat'; did you mean 'rotate'"):
        Predict("rotat").heads(ENCODER, known)
