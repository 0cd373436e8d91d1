"""Graphs that run without the code of the network, and the check that every file has to pass."""

import dataclasses
import io
import json

import numpy as np
import onnx
import pytest
import torch
from energies import AMOUNTS, ENERGIES
from torch import nn

import twofold
from twofold.encoder import Encoder
from twofold.erasure import Eraser
from twofold.errors import TwofoldError
from twofold.interchange import export, graphs
from twofold.networks import mlp
from twofold.preprocess import Preprocess

ROUTES = {"kind": "parallel", "routes": ["invariant", "sensitive"]}


def stored(count, channels=1, size=12):
    shape = (count, channels, size, size)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def run(found, images):
    """The features that the printed lines compute."""
    own = torch.from_numpy(images) if found.format == "torch" else images
    names = {"images": own}
    exec(found.code, names)
    return np.asarray(names["features"])


def eraser(dim):
    made = Eraser(dim, 3)
    generator = torch.Generator().manual_seed(0)
    for buffer in made.buffers():
        buffer.copy_(0.2 * torch.randn(buffer.shape, generator=generator))
    return made


@pytest.fixture
def routed(make):
    """An encoder with two routes that differ, a head, and erasers of both."""
    torch.manual_seed(0)
    head = mlp(64, 16, 12, norm=True, last="scaled").eval()
    erasers = {"sensitive": eraser(64), "projector.2": eraser(12)}
    encoder = make(width=0.25, adapters=ROUTES, projector=head, erasers=erasers)
    with torch.no_grad():
        for parameter in encoder.backbone.route_parameters("sensitive"):
            parameter.add_(0.1)
    return encoder


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("e.pt2", {}),
        ("e.pt2", {"route": "invariant"}),
        ("e.pt2", {"layer": "projector.2"}),
        ("e.onnx", {"route": "sensitive"}),
    ],
)
def test_the_lines_alone_give_the_same_features(routed, tmp_path, name, reading):
    found = export(routed, tmp_path / name, **reading)
    assert "twofold" not in found.code.replace(str(tmp_path), "")
    for count in (1, 2, 7):
        expected = routed.embed(stored(count), **reading)
        features = run(found, stored(count).astype(np.float32))
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max())
    assert found.max_difference <= 1e-4 * found.scale
    assert found.opset is None if name == "e.pt2" else found.opset >= 18


def test_readings_of_one_encoder_differ(routed, tmp_path):
    """So that no file holds another reading than it says."""
    ways = [{}, {"route": "sensitive"}, {"route": "sensitive", "without_erasers": True}]
    images = stored(2).astype(np.float32)
    both, kept, whole = (run(export(routed, tmp_path / "e.pt2", **way), images) for way in ways)
    assert both.shape == (2, 128)
    np.testing.assert_allclose(both[:, 64:], kept, atol=1e-5)
    assert np.abs(kept - whole).max() > 1e-2
    backbone = routed.backbone(routed.preprocess(stored(2)), "sensitive").detach()
    np.testing.assert_allclose(whole, backbone, atol=1e-5)


@pytest.mark.parametrize("name", ["e.pt2", "e.onnx"])
def test_scaling_is_in_the_graph_unless_it_is_left_out(make, tmp_path, name):
    scale = Preprocess(
        low=-1.5, high=2.0, mean=(0.2, 0.6), std=(0.3, 0.5), size=12, dtype="float64"
    )
    encoder = make(channels=2, width=0.25)
    encoder = Encoder(encoder.backbone, scale, encoder.spec)
    images = np.random.default_rng(1).uniform(-2.0, 2.5, (3, 2, 12, 12)).astype(np.float32)
    expected = encoder.embed(images)
    inside = export(encoder, tmp_path / name)
    np.testing.assert_allclose(run(inside, images), expected, atol=1e-5)
    assert "float32 (batch, 2, 12, 12), as stored: values from -1.5 to 2" in inside.code
    outside = export(encoder, tmp_path / name, preprocess=False)
    standardised = dataclasses.replace(scale, dtype="float32")(images).numpy()
    np.testing.assert_allclose(run(outside, standardised), expected, atol=1e-5)
    assert np.abs(run(outside, images) - expected).max() > 1e-2
    assert "scaled as the encoder reads them" in outside.code


@pytest.mark.parametrize("name", ["e.pt2", "e.onnx"])
@pytest.mark.parametrize("scale", AMOUNTS)
def test_amounts_are_scaled_in_the_graph_as_in_training(make, tmp_path, name, scale):
    encoder = make(channels=3, width=0.25)
    encoder = Encoder(encoder.backbone, scale, encoder.spec)
    found = export(encoder, tmp_path / name)
    np.testing.assert_allclose(run(found, ENERGIES), encoder.embed(ENERGIES), rtol=1e-4, atol=1e-5)
    assert "as stored: amounts" in found.code


def facts_of(path):
    if path.suffix == ".onnx":
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    files = {graphs.FACTS: ""}
    torch.export.load(io.BytesIO(path.read_bytes()), extra_files=files)
    return json.loads(files[graphs.FACTS])


@pytest.mark.parametrize("name", ["e.pt2", "e.onnx"])
def test_the_file_carries_the_scaling_and_the_lines(make, tmp_path, name):
    found = export(make(width=0.25), tmp_path / name)
    facts = facts_of(tmp_path / name)
    assert facts["load"] == found.code.replace(str(found.path), name)
    assert facts["input"] == "as stored"
    told = {key: json.loads(facts[key]) for key in ("low", "high", "mean", "std", "size")}
    assert told == {"low": 0.0, "high": 255.0, "mean": [0.4], "std": [0.2], "size": 12}
    assert facts["twofold"] == twofold.__version__


class Own(nn.Module):
    """A network of a user's own; `branches` on what it sees."""

    num_features = 4

    def __init__(self, *, branches=False):
        super().__init__()
        self.conv, self.branches = nn.Conv2d(1, 4, 3), branches

    def forward(self, images):
        maps = self.conv(images)
        if self.branches and maps.sum() > 0:
            maps = -maps
        return maps.mean(dim=(2, 3))


SCALE = Preprocess(low=0.0, high=1.0, mean=(0.5,), std=(0.25,), size=8, dtype="float32")


def test_a_network_of_the_users_own_is_a_graph_like_any_other(tmp_path):
    torch.manual_seed(0)
    encoder = Encoder(Own(), SCALE)
    images = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
    found = export(encoder, tmp_path / "e.pt2")
    np.testing.assert_allclose(run(found, images), encoder.embed(images), atol=1e-5)


def test_a_network_that_is_no_fixed_graph_is_refused_in_one_line(tmp_path):
    with pytest.raises(TwofoldError, match="the network is no fixed graph") as caught:
        export(Encoder(Own(branches=True), SCALE), tmp_path / "e.pt2")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [lambda x: x + 1e-2, lambda x: x * float("nan")])
def test_a_file_with_other_features_is_never_left(monkeypatch, tmp_path, wrong):
    real = graphs.Program.read

    def read(self, data):
        network = real(self, data)
        return lambda images: wrong(network(images))

    monkeypatch.setattr(graphs.Program, "read", read)
    with pytest.raises(TwofoldError, match=r"torch.export computes features that differ by"):
        export(Encoder(Own(), SCALE), tmp_path / "e.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_difference_is_the_largest_of_any_feature(monkeypatch, tmp_path):
    real = graphs.Program.read

    def read(self, data):
        network = real(self, data)
        nudge = torch.tensor([0.0, -2e-6, 1e-6, 0.0])
        return lambda images: network(images) + nudge * (len(images) > 1)

    monkeypatch.setattr(graphs.Program, "read", read)
    found = export(Encoder(Own(), SCALE), tmp_path / "e.pt2")
    assert found.max_difference == pytest.approx(2e-6, rel=0.1)


def test_nothing_is_printed_and_the_encoder_stays_as_it_was(make, tmp_path, capfd):
    encoder = make(width=0.25)
    encoder.backbone.train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    export(encoder, tmp_path / "e.onnx")
    assert capfd.readouterr() == ("", "")
    assert encoder.backbone.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "an eraser makes these features blind, and torchvision has no place for it"),
        ({"layer": "projector.1"}, "layer is for formats onnx and torch"),
        ({"preprocess": False}, "preprocess is for formats onnx and torch"),
    ],
)
def test_weights_alone_cannot_say_everything(make, tmp_path, options, words):
    parts = {"projector": mlp(512, 8), "erasers": {"features": eraser(512)}}
    encoder = make("resnet18", **parts)
    with pytest.raises(TwofoldError, match=words):
        export(encoder, tmp_path / "e.safetensors", format="torchvision", **options)
    assert list(tmp_path.iterdir()) == []


def test_erasers_can_be_left_out_of_weights(make, tmp_path):
    encoder = make("resnet18", erasers={"features": eraser(512)})
    file = tmp_path / "e.safetensors"
    found = export(encoder, file, format="torchvision", without_erasers=True)
    names = {"images": torch.from_numpy(stored(2)).float()}
    exec(found.code, names)
    backbone = encoder.backbone(encoder.preprocess(stored(2)))
    torch.testing.assert_close(names["features"], backbone)
    assert np.abs(names["features"].detach().numpy() - encoder.embed(stored(2))).max() > 1e-2


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(TwofoldError, match=rf"needs {package}, .*pip install twofold\[onnx\]"):
        export(Encoder(Own(), SCALE), tmp_path / "e.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"route": "sensitiv"}, "unknown route 'sensitiv'"),
        ({"layer": "projector.1"}, "unknown layer 'projector.1'"),
        ({"format": "onnx"}, "its name must end in .onnx"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, options, words):
    with pytest.raises(TwofoldError, match=words):
        export(Encoder(Own(), SCALE), tmp_path / "e.pt2", **options)


def test_the_public_name_is_the_function():
    assert twofold.export is export
