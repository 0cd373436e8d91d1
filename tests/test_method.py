"""Methods with routes: what is encoded, whom gradients reach, and runs that stop and go on."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import Method, Source, TwofoldError, adapt, build_encoder
from twofold.assembly import add_adapters, build_views, find_known
from twofold.balance.settings import Balance
from twofold.folder import read_metrics
from twofold.objectives import Batch, LooC, Predict, SimCLR
from twofold.recipes import RECIPES

ITEMS = np.random.default_rng(0).integers(0, 256, (64, 3, 16, 16), dtype=np.uint8)
SOURCE = Source(name="toy", items=ITEMS, ids=[str(i) for i in range(64)])
SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "threads": 1, "quiet": True}
CONTRAST = SimCLR(projector=(24, 16))


def narrow(name, **changes):
    """The recipe with a narrow head where its contrast has one."""
    recipe = RECIPES[name]()
    contrast = dataclasses.replace(recipe.objectives["contrast"], projector=(24, 16))
    objectives = {**recipe.objectives, "contrast": contrast}
    return dataclasses.replace(recipe, objectives=objectives, **changes)


def method_of(recipe):
    torch.manual_seed(0)
    views = build_views(recipe, SOURCE, 0)
    network = build_encoder("resnet-small", channels=3, image_size=16, width=0.25)
    network, _ = add_adapters(recipe, network, None)
    known = find_known(recipe, SOURCE, views)
    method = Method(network, recipe.learned, encode=recipe.encode, known=known)
    index = np.arange(8)
    rendered, draws = views(torch.from_numpy(ITEMS[index]) / 255, index, 0)
    batch = Batch(views=tuple(rendered), draws=tuple(draws), index=torch.from_numpy(index))
    return method, batch


def passes(method, batch):
    """The route and the shape of the images of every pass through the encoder."""
    found = []

    def note(module, arguments):
        images, *route = arguments
        found.append((*route, *images.shape[::2]))

    with method.encoder.register_forward_pre_hook(note):
        method(batch)
    return found


BOTH = Predict("flip", views=(0, 1))
TURN = Predict("rotate", views=(2,))


@pytest.mark.parametrize("encode", ["joint", "separate"])
@pytest.mark.parametrize(
    ("objectives", "joint", "separate"),
    [
        (
            {"contrast": CONTRAST, "flip": BOTH},
            [("invariant", 16, 16), ("sensitive", 16, 16)],
            [("invariant", 8, 16)] * 2 + [("sensitive", 8, 16)] * 2,
        ),
        (
            {"contrast": CONTRAST, "flip": dataclasses.replace(BOTH, views=(1,))},
            [("invariant", 16, 16), ("sensitive", 8, 16)],
            [("invariant", 8, 16)] * 2 + [("sensitive", 8, 16)],
        ),
        (
            {"contrast": CONTRAST, "flip": BOTH, "rotate": TURN},
            [("invariant", 16, 16), ("sensitive", 16, 16), ("sensitive", 8, 8)],
            [("invariant", 8, 16)] * 2 + [("sensitive", 8, 16)] * 2 + [("sensitive", 8, 8)],
        ),
    ],
)
def test_a_route_encodes_the_views_that_its_objectives_read(objectives, joint, separate, encode):
    recipe = dataclasses.replace(
        RECIPES["simclr"](),
        objectives=objectives,
        prescription={"flip": "both", **({"rotate": "both"} if "rotate" in objectives else {})},
        small_views=1,
        adapters="parallel",
        encode=encode,
    )
    method, batch = method_of(recipe)
    assert passes(method, batch) == {"joint": joint, "separate": separate}[encode]


def test_without_adapters_all_objectives_read_one_pass():
    recipe = dataclasses.replace(
        RECIPES["simclr"](),
        objectives={"contrast": CONTRAST, "flip": BOTH},
        prescription={"flip": "both"},
    )
    assert passes(*method_of(recipe)) == [(16, 16)]


def test_views_that_no_objective_reads_together_are_encoded_apart():
    assert passes(*method_of(RECIPES["e_ssl"]())) == [(16, 16), (8, 8)]
    as_large = dataclasses.replace(RECIPES["e_ssl"](), small_size=1.0)
    assert passes(*method_of(as_large)) == [(16, 16), (8, 16)]
    assert passes(*method_of(RECIPES["loo_c"]())) == [(32, 16)]


@pytest.mark.parametrize("name", ["mt_slvr", "mt_norm", "mt_series", "mt_split"])
def test_a_route_s_losses_never_reach_another_s_adapters(name):
    routes = {"contrast": "invariant", "predict": "sensitive"}
    method, batch = method_of(narrow(name))
    for objective, own in routes.items():
        method.zero_grad()
        method(batch)[objective].backward()
        for route in routes.values():
            reached = [p.grad is not None for p in method.encoder.route_parameters(route)]
            assert reached == [route == own] * len(reached)
            assert reached
        shared = [p.grad for p in method.encoder.shared_parameters()]
        assert all(grad is not None and grad.abs().max() > 0 for grad in shared)


def test_gradients_are_compared_on_the_last_weight_that_all_share():
    network = build_encoder("resnet-small", channels=3, image_size=16, width=0.25)
    plain, routed = (
        Method(encoder, {"contrast": CONTRAST}) for encoder in (network, adapt(network))
    )
    name, weight = plain.shared_layer()
    assert weight is network.get_submodule(name).weight
    assert weight is [p for p in network.parameters() if p.ndim > 1 and p.shape[-1] > 1][-1]
    name, weight = routed.shared_layer()
    assert weight is routed.encoder.get_submodule(name).weight
    assert any(weight is parameter for parameter in routed.encoder.shared_parameters())
    assert routed.shared_layer("network.conv1")[1] is routed.encoder.network.conv1.weight
    for wrong, words in {
        "network.conv2": "unknown shared layer 'network.conv2'; did you mean 'network.conv1'",
        "network.bn1": "unknown shared layer 'network.bn1'",
    }.items():
        with pytest.raises(TwofoldError, match=words) as error:
            routed.shared_layer(wrong)
        assert "\n" not in str(error.value)


def test_an_encoder_without_a_weight_to_compare_on_is_refused():
    encoder = torch.nn.Flatten()
    encoder.num_features = 4
    with pytest.raises(TwofoldError, match="no layer whose weight every route uses"):
        Method(encoder, {"contrast": SimCLR(projector=(8, 4))}).shared_layer()


def test_the_first_projector_is_the_one_to_read():
    network = build_encoder("resnet-small", channels=3, image_size=16, width=0.25)
    named = {"first": LooC((), projector=(8, 4)), "contrast": CONTRAST}
    method = Method(network, named)
    assert method.projector() is method.heads["first"].projector
    assert Method(network, {}).projector() is None


def test_adapters_without_two_routes_are_refused():
    recipe = dataclasses.replace(RECIPES["simclr"](), adapters="series")
    words = "adapters is 'series', but every objective reads the route 'invariant'; prescribe an"
    with pytest.raises(TwofoldError, match=words):
        add_adapters(recipe, torch.nn.Flatten(), None)


def pretrain(recipe, out, **changes):
    return twofold.pretrain(recipe, data=ITEMS, out=out, **SMALL | changes)


def test_a_prediction_of_no_weight_leaves_the_parameters_of_its_base(tmp_path):
    """The same draws, the same first weights, and gradients of exactly nothing beside."""
    weightless = narrow("e_ssl", weights={"predict": 0.0})
    runs = {
        "simclr": pretrain(narrow("simclr"), tmp_path / "simclr", epochs=2),
        "e_ssl": pretrain(weightless, tmp_path / "e_ssl", epochs=2),
        "weighed": pretrain(narrow("e_ssl"), tmp_path / "weighed", epochs=2),
    }
    first, second, third = (list(run.encoder().backbone.parameters()) for run in runs.values())
    assert all(map(torch.equal, first, second))
    assert not any(map(torch.equal, first, third))
    heads = [list(runs[name].encoder().projector.parameters()) for name in ("simclr", "e_ssl")]
    assert all(map(torch.equal, *heads))


def test_a_balancer_goes_on_with_the_same_bits(tmp_path, interrupted_at):
    recipe = narrow("mt_slvr", balance=Balance(name="gradnorm"))
    run = pretrain(recipe, tmp_path / "whole", epochs=3)
    with interrupted_at(6):
        pretrain(recipe, tmp_path / "stopped", epochs=3)
    twofold.resume(tmp_path / "stopped", data=ITEMS, recipe=recipe, quiet=True)
    whole, resumed = (
        load_file(max((tmp_path / name / "checkpoints").iterdir())) for name in ("whole", "stopped")
    )
    assert whole.keys() == resumed.keys()
    assert {"balancer.weights", "balancer.initial"} <= whole.keys()
    assert whole["balancer.weights"].std() > 0
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [
        [line for line in read_metrics(tmp_path / name) if line["kind"] == "step"]
        for name in ("whole", "stopped")
    ]
    assert len(lines[0]) == len(lines[1]) > 6
    for one, other in zip(*lines, strict=True):
        assert one["balance"] == other["balance"]
        assert one["losses"] == other["losses"]
        assert set(one["balance"]) == {"weights", "gradient_norms", "gradient_cosines"}
        assert sum(one["balance"]["weights"].values()) == pytest.approx(2, rel=1e-5)
        assert list(one["balance"]["gradient_cosines"]) == ["contrast|predict"]
        assert set(one["chance"]) == {"contrast", "predict"}
    assert run.config.recipe.balance.name == "gradnorm"
