"""What every recipe must do, whatever its method; networks and heads are made small."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import TwofoldError
from twofold.assembly import add_adapters, build_views, find_known
from twofold.config import from_plain
from twofold.domains import Source
from twofold.evaluate import health
from twofold.evaluate.health import HEALTHY
from twofold.networks import build_encoder, mlp
from twofold.objectives import Batch, SimSiam
from twofold.positives import Groups
from twofold.recipes import RECIPES

ITEMS, CLASSES, SIZE = 64, 4, 16
LABELS = np.arange(ITEMS) % CLASSES
IMAGES = np.random.default_rng(0).integers(0, 256, (ITEMS, 3, SIZE, SIZE), dtype=np.uint8)
GROUPS = np.arange(ITEMS) // 4
SOURCE = Source(
    name="toy", items=IMAGES, ids=[str(i) for i in range(ITEMS)], labels=LABELS, groups=GROUPS
)


def small(recipe, **changes):
    """The recipe with a small network, narrow heads and few negatives."""
    limits = {"projector": 32, "predictor": 16}
    objectives = {
        name: dataclasses.replace(
            objective,
            **{
                field: tuple(min(width, limit) for width in getattr(objective, field))
                for field, limit in limits.items()
                if hasattr(objective, field)
            },
            **({"noise": 16} if hasattr(objective, "noise") else {}),
        )
        for name, objective in recipe.objectives.items()
    }
    settings = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "view_size": None}
    return dataclasses.replace(recipe, objectives=objectives, **{**settings, **changes})


LOSS_WITHOUT_BOUNDS = {
    "Supervised": math.log(CLASSES),
    "Distill": math.log(CLASSES),
    # one right among 16 keys in the space that ignores all, among 15 + 3 in the two others
    "LooC": (math.log(16) + 2 * math.log(18)) / 3,
}


def undecided(images):
    """A teacher to whom all classes are the same."""
    return images.new_zeros(len(images), CLASSES)


def method_and_batch(recipe, seed=0):
    torch.manual_seed(seed)
    views = build_views(recipe, SOURCE, seed)
    encoder = build_encoder("resnet-small", channels=3, image_size=SIZE, width=recipe.width)
    encoder, _ = add_adapters(recipe, encoder, None)
    known = dataclasses.replace(find_known(recipe, SOURCE, views), teacher=undecided)
    method = twofold.Method(encoder, recipe.learned, encode=recipe.encode, known=known)
    index = np.arange(recipe.batch_size)
    shown = index
    if recipe.positives == "group":
        shown = Groups(GROUPS, num_views=recipe.all_views, seed=seed).members(index, 0)
    rendered, draws = views(torch.from_numpy(IMAGES[shown.T.reshape(-1)]) / 255, shown, 0)
    batch = Batch(
        views=tuple(2 * view - 1 for view in rendered),
        draws=tuple(draws),
        index=torch.from_numpy(index),
        labels=torch.from_numpy(LABELS[index]),
    )
    return method, batch


@pytest.fixture(params=RECIPES)
def recipe(request):
    return small(RECIPES[request.param]())


def test_losses_are_finite_and_gradients_reach_what_is_trained_and_never_a_target(recipe):
    method, batch = method_and_batch(recipe)
    losses = method(batch)
    assert losses.keys() == recipe.learned.keys()
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in method.named_parameters():
        trained = ".target." not in name and parameter.requires_grad
        assert (parameter.grad is not None) == trained, name
        assert not trained or parameter.grad.isfinite().all(), name
    zero = all(getattr(objective, "zero", False) for objective in recipe.learned.values())
    for part in (method.encoder, *method.heads.values()):
        moves = any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
        assert moves != (zero and part is method.encoder)  # behind a head of zeros nothing moves


def test_swapping_the_views_changes_nothing(recipe):
    compared = any(hasattr(o, "compare") and o.compare != "each" for o in recipe.learned.values())
    uneven = recipe.name in {"conserv_net", "siamese"}  # noise or negatives of one view alone
    if recipe.num_views < 2 or recipe.repeats or compared or uneven:
        pytest.skip("it looks at one view, or at each for something else")
    method, batch = method_and_batch(recipe)
    order = [1, 0, *range(2, recipe.all_views)]
    swapped = dataclasses.replace(
        batch,
        views=tuple(batch.views[view] for view in order),
        draws=tuple(batch.draws[view] for view in order),
    )
    here, there = method(batch), method(swapped)
    for name in here:
        torch.testing.assert_close(here[name], there[name], rtol=1e-4, atol=1e-5)


def test_the_loss_begins_near_what_knowing_nothing_costs(recipe):
    """Cosines of random directions in d dimensions, of variance 1/d, can add to chance."""
    method, batch = method_and_batch(recipe)
    for name, loss in method(batch).items():
        objective = recipe.learned[name]
        if (bounds := objective.bounds(recipe.batch_size, method.known)) is None:
            expected = LOSS_WITHOUT_BOUNDS[type(objective).__name__]
            assert loss.item() == pytest.approx(expected, abs=0.7)
            continue
        chance, floor = bounds
        if getattr(objective, "similarity", "cosine") == "euclidean":
            assert loss.item() > floor  # distances have no end
            continue
        dim = getattr(objective, "projector", (16,))[-1]
        noise = 1 / (2 * dim * getattr(objective, "temperature", math.inf) ** 2)
        assert 0.3 <= (loss.item() - floor) / (chance - floor) <= 1.6 + noise / (chance - floor)


def test_negatives_are_counted_where_there_are_any(recipe):
    for name, objective in recipe.learned.items():
        count = objective.num_negatives(256)
        all_others = dict.fromkeys(("InfoNCE", "Unfolded", "LooC"), 255)
        expected = {**all_others, "SimCLR": 510, "NCE": 16, "Siamese": 1}
        assert count == expected.get(type(objective).__name__), name


def test_a_target_is_moved_by_updates_alone():
    recipe = small(RECIPES["byol"]())
    method, batch = method_and_batch(recipe)
    target = method.heads["predict"].target
    before = [parameter.clone() for parameter in target.parameters()]
    statistics = target.encoder.bn1.running_mean.clone()
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    sum(method(batch).values()).backward()
    optimizer.step()
    assert all(map(torch.equal, before, target.parameters()))
    assert not torch.equal(statistics, target.encoder.bn1.running_mean)  # of its own forwards
    method.after_update(0.5)
    kept = recipe.objectives["predict"].momentum_at(0.5)
    online = [*method.encoder.parameters(), *method.heads["predict"].projector.parameters()]
    for old, new, there in zip(before, target.parameters(), online, strict=True):
        torch.testing.assert_close(new, kept * old + (1 - kept) * there)


def test_a_fixed_rate_stays_at_its_peak():
    method, _ = method_and_batch(small(RECIPES["simsiam"]()))
    optimizer = twofold.optim.build_optimizer(
        twofold.Optimizer(vector_rate=0.5), method, fixed=method.fixed_rate()
    )
    twofold.optim.set_learning_rate(optimizer, 0.1, peak=0.8)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in method.named_parameters():
        peak = 0.8 if "predictor" in name else 0.1
        assert rate[id(parameter)] == peak * (1.0 if parameter.ndim > 1 else 0.5), name


def test_an_unknown_field_is_refused(recipe):
    name = next(iter(recipe.objectives))
    plain = {"objectives": {name: {"temprature": 1.0}}}
    with pytest.raises(TwofoldError, match=rf"unknown key 'objectives.{name}.temprature'"):
        from_plain(recipe, plain)


ONE_OF_EACH = [  # but for distillation, whose runs have a teacher
    name for name in RECIPES if not name.endswith(("_cifar", "_imagenet")) and name != "distill"
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_run_that_was_stopped_ends_with_the_same_bits(name, tmp_path, interrupted_at):
    data = tmp_path / "items.npz"
    np.savez(data, images=IMAGES, labels=LABELS, group=np.arange(ITEMS) // 2)
    recipe, changes = small(RECIPES[name](), epochs=3), {"quiet": True, "threads": 1}
    if recipe.positives == "group":
        recipe = dataclasses.replace(recipe, batch_size=6)  # three steps an epoch, or more
        changes["group_key"] = "group"
    twofold.pretrain(recipe, data=data, out=tmp_path / "whole", **changes)

    with interrupted_at(5):
        twofold.pretrain(recipe, data=data, out=tmp_path / "stopped", **changes)
    assert not (tmp_path / "stopped" / "encoder.safetensors").exists()
    twofold.resume(tmp_path / "stopped", recipe=recipe, quiet=True)
    whole, resumed = (
        load_file(tmp_path / run / "encoder.safetensors") for run in ("whole", "stopped")
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


class Attract(SimSiam):
    """SimSiam without predictor and stop-gradient: nothing is left that keeps points apart."""

    def heads(self, encoder, known):
        return {"projector": mlp(encoder.num_features, 32)}

    def loss(self, heads, batch):
        first, second = (heads.projector(features) for features in batch.features)
        return -torch.nn.functional.cosine_similarity(first, second).mean()


@pytest.mark.parametrize(("kind", "alive"), [(SimSiam, True), (Attract, False)])
def test_collapse_is_told_where_predictor_and_stop_gradient_are_gone(kind, alive):
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16))
    encoder.num_features = 16
    method = twofold.Method(encoder, {"predict": kind(projector=(32, 32), predictor=(16,))})
    items = torch.randn(256, 16)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.2, momentum=0.9)
    for _ in range(600):
        views = tuple(items + 0.5 * torch.randn_like(items) for _ in range(2))
        batch = Batch(views=views, draws=({}, {}), index=torch.arange(256))
        optimizer.zero_grad()
        method(batch)["predict"].backward()
        optimizer.step()
    with torch.no_grad():
        verdict = health(encoder(items)).verdict
    assert (verdict == HEALTHY) == alive, verdict
