"""Readings: every route and layer by name, as a run leaves them and as they are loaded again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import twofold
from twofold import TwofoldError, adapt, build_encoder
from twofold.erasure import fit_eraser
from twofold.networks import mlp
from twofold.reading import Reading, Readings
from twofold.recipes import RECIPES

SMALL = {
    "encoder": "resnet-small",
    "width": 0.25,
    "batch_size": 16,
    "epochs": 1,
    "threads": 1,
    "quiet": True,
}
STORED = np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8)
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network():
    """A network whose routes differ, in evaluation mode."""
    torch.manual_seed(0)
    adapted = adapt(build_encoder("resnet-small", channels=3, image_size=8, width=0.25))
    with torch.no_grad():
        for parameter in adapted.route_parameters("sensitive"):
            parameter.add_(0.1)
    return adapted.eval()


@pytest.fixture
def head(network):
    return mlp(network.num_features, 16, 12, norm=True, last="scaled").eval()


def test_without_routes_there_are_features_and_the_layers_of_the_head():
    torch.manual_seed(0)
    plain = build_encoder("resnet-small", channels=3, image_size=8, width=0.25).eval()
    head = mlp(plain.num_features, 16, 12).eval()
    readings = Readings(plain, head)
    assert readings.names == readings.layers == ("features", "projector.1", "projector.2")
    found = readings(IMAGES)
    assert tuple(found) == readings.names
    torch.testing.assert_close(found["features"], plain(IMAGES))
    torch.testing.assert_close(found["projector.1"], head[:2](plain(IMAGES)))
    torch.testing.assert_close(found["projector.2"], head(plain(IMAGES)))
    for name in readings.names:
        reading = Reading(readings, layer=name)
        torch.testing.assert_close(reading(IMAGES), found[name])
        assert reading.num_features == found[name].shape[1]
    assert Readings(plain).names == ("features",)


def test_the_head_reads_the_first_route(network, head):
    readings = Readings(network, head)
    assert readings.names == ("invariant", "sensitive", "projector.1", "projector.2")
    found = readings(IMAGES)
    routes = {name: network(IMAGES, name) for name in network.routes}
    assert not torch.allclose(*routes.values())
    for name, features in routes.items():
        torch.testing.assert_close(found[name], features)
        torch.testing.assert_close(Reading(readings, route=name)(IMAGES), features)
    torch.testing.assert_close(found["projector.2"], head(routes["invariant"]))
    last = Reading(readings, layer="projector.2", route="invariant")
    torch.testing.assert_close(last(IMAGES), head(routes["invariant"]))
    every = Reading(readings)
    torch.testing.assert_close(every(IMAGES), torch.cat(list(routes.values()), dim=1))
    assert every.num_features == 2 * network.num_features == every(IMAGES).shape[1]


def test_what_is_erased_is_erased_from_its_reading_alone(network, head):
    plain = Readings(network, head)
    many = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    targets = torch.eye(2)[torch.arange(200) % 2]
    with torch.no_grad():
        before = plain(many)
        erasers = {name: fit_eraser(before[name], targets) for name in ("invariant", "projector.1")}
        readings = Readings(network, head, erasers)
        after = readings(many)
        for name, embeddings in before.items():
            expected = erasers[name](embeddings) if name in erasers else embeddings
            torch.testing.assert_close(after[name], expected)
            assert torch.equal(after[name], embeddings) == (name not in erasers)
        every = Reading(readings)(many)
        torch.testing.assert_close(every, torch.cat([after[r] for r in network.routes], dim=1))
        layer = Reading(readings, layer="projector.1")
        torch.testing.assert_close(layer(many), after["projector.1"])


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"route": "sensitiv"}, "unknown route 'sensitiv'; did you mean 'sensitive'"),
        ({"layer": "projector.3"}, "unknown layer 'projector.3'; did you mean 'projector"),
        (
            {"layer": "projector.1", "route": "sensitive"},
            "'projector.1' is of the head that reads the route 'invariant'; leave out route 'sens",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(network, head, asked, words):
    with pytest.raises(TwofoldError, match=words) as error:
        Reading(Readings(network, head), **asked)
    assert "\n" not in str(error.value)


def test_readings_move_with_their_erasers(network):
    embeddings = torch.randn(40, 4)
    eraser = fit_eraser(embeddings, embeddings[:, :1])
    assert (
        Readings(network, erasers={"invariant": eraser}).double().erasers["invariant"].mean.dtype
        == torch.float64
    )


def pretrain(name, out, **changes):
    """A run of one epoch with narrow heads."""
    recipe = RECIPES[name]()
    contrast = replace(recipe.objectives["contrast"], projector=(24, 16))
    recipe = replace(recipe, objectives={**recipe.objectives, "contrast": contrast})
    return twofold.pretrain(recipe, data=STORED, out=out, **SMALL | changes)


def test_every_reading_of_a_run_with_adapters_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr("twofold.evaluate.prescription._ROWS", 300)  # 20,000 take their time
    run = pretrain("mt_slvr", tmp_path / "run", prescription={"flip": "blind", "hue": "invariant"})
    encoder = run.encoder()
    assert encoder.routes == ("invariant", "sensitive")
    assert encoder.layers == ("features", "projector.1", "projector.2")
    assert encoder.backbone.kind == "parallel"
    assert set(encoder.readings.erasers) == {"invariant", "projector.1", "projector.2"}
    dim = encoder.backbone.num_features
    shapes = {"invariant": dim, "sensitive": dim, "projector.1": 24, "projector.2": 16}
    with torch.no_grad():
        expected = encoder.readings.eval()(encoder.preprocess(STORED))
    for name, width in shapes.items():
        asked = {"layer": name} if "." in name else {"route": name}
        found = encoder.embed(STORED, **asked)
        assert found.shape == (60, width)
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-4)
    every = encoder.embed(STORED, route="all")
    routes = [encoder.embed(STORED, route=name) for name in encoder.routes]
    np.testing.assert_allclose(every, np.concatenate(routes, axis=1), rtol=1e-5, atol=1e-6)
    assert not np.allclose(*routes)
    assert np.array_equal(encoder.embed(STORED), every)
    assert np.array_equal(twofold.load(tmp_path / "run").embed(STORED), every)


def test_a_run_without_words_leaves_no_erasers(tmp_path):
    run = pretrain("simclr", tmp_path / "run")
    assert not (tmp_path / "run" / "erasers.safetensors").exists()
    encoder = run.encoder()
    assert encoder.routes == ()
    with pytest.raises(TwofoldError, match="unknown route 'sensitive'"):
        encoder.embed(STORED, route="sensitive")
    head = nn.Sequential(*encoder.projector)
    with torch.no_grad():
        features = torch.from_numpy(encoder.embed(STORED))
        found = encoder.embed(STORED, layer="projector.2")
        np.testing.assert_allclose(found, head(features), rtol=1e-4, atol=1e-4)


def test_another_epoch_than_the_last_comes_with_its_head(tmp_path):
    run = pretrain("simclr", tmp_path / "run", choose="rankme")
    assert run.encoder().layers == ("features", "projector.1", "projector.2")
