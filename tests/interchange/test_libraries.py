"""Weights in torchvision's and timm's own networks."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torchvision
from energies import AMOUNTS, ENERGIES
from safetensors import safe_open
from safetensors.torch import load_file

import twofold
from twofold import Encoder, Preprocess, TwofoldError, build_encoder
from twofold.interchange import export, libraries

VIT = "timm/vit_tiny_patch16_224"
ENCODERS = [
    ("resnet18", 1, 28, "torchvision"),
    ("resnet18", 1, 28, "timm"),
    ("resnet34", 3, 96, "torchvision"),
    ("resnet50", 2, 32, "timm"),
    ("timm/resnet10t", 2, 32, "timm"),
    (VIT, 3, 32, "timm"),
    ("torchvision/mobilenet_v3_small", 2, 64, "torchvision"),
    pytest.param("torchvision/vit_b_16", 3, 32, "torchvision", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "channels", "size", "library"), ENCODERS)
def test_the_lines_alone_give_the_same_features(make, tmp_path, name, channels, size, library):
    encoder = make(name, channels, size)
    found = export(encoder, tmp_path / "e.safetensors", format=library)
    images = 400 * torch.rand(3, channels, size, size) - 50  # some values are out of range
    names = {"images": images}
    assert "twofold" not in found.code.replace(str(tmp_path), "")
    with torch.no_grad():
        exec(found.code, names)
        expected = encoder(replace(encoder.preprocess, dtype="float32")(images))
    assert expected.abs().max() > 1e-6
    torch.testing.assert_close(names["features"], expected, rtol=1e-4, atol=1e-5)
    assert found.max_difference < 1e-5
    assert (found.format, found.opset) == (library, None)


def test_torchvision_takes_the_weights_of_a_common_network_as_they_are(make, tmp_path):
    export(make("resnet18", 3, 96), tmp_path / "e.safetensors", format="torchvision")
    tensors = load_file(tmp_path / "e.safetensors")
    missing, unexpected = torchvision.models.resnet18().load_state_dict(tensors, strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])


def test_timm_takes_the_weights_of_a_common_network_as_they_are(make, tmp_path):
    export(make("resnet34", 5, 96), tmp_path / "e.safetensors", format="timm")
    network = timm.create_model("resnet34", num_classes=0, in_chans=5)
    network.load_state_dict(load_file(tmp_path / "e.safetensors"))


def test_only_layers_that_differ_are_replaced(make, tmp_path):
    found = export(make("resnet18", 1, 28), tmp_path / "e.safetensors", format="timm")
    replaced = [line for line in found.code.splitlines() if "set_submodule" in line]
    assert replaced == [
        "model.set_submodule('conv1', torch.nn.Conv2d(1, 64, kernel_size=(3, 3), stride=(1, 1), "
        "padding=(1, 1), bias=False))",
        "model.set_submodule('maxpool', torch.nn.Identity())",
    ]


def test_the_file_carries_the_scaling_and_the_lines(make, tmp_path):
    found = export(make("resnet18", 2, 28), tmp_path / "e.safetensors", format="timm")
    with safe_open(tmp_path / "e.safetensors", framework="pt") as file:
        facts = file.metadata()
    assert facts.pop("load") == found.code.replace(str(found.path), "e.safetensors")
    assert facts == {
        "twofold": twofold.__version__,
        "network": "resnet18",
        "route": "all",
        "layer": "features",
        "input": "standardised",
        "channels": "2",
        "low": "0.0",
        "high": "255.0",
        "mean": json.dumps([0.4, 0.5]),
        "std": json.dumps([0.2, 0.30000000000000004]),
        "size": "28",
        "dtype": '"uint8"',
        "domain": '"image"',
        "bounded": "true",
        "zero_below": "0.0",
        "gains": "[]",
        "clip": "null",
        "log": "false",
        "sample_rate": "null",
        "front_end": "null",
    }


@pytest.mark.parametrize("scale", AMOUNTS)
def test_the_lines_scale_amounts_as_training_did(make, tmp_path, scale):
    encoder = make("resnet18", 3, 12)
    encoder = Encoder(encoder.backbone, scale, encoder.spec)
    found = export(encoder, tmp_path / "e.safetensors", format="timm")
    names = {"images": torch.from_numpy(ENERGIES)}
    exec(found.code, names)
    features = names["features"].detach().numpy()
    np.testing.assert_allclose(features, encoder.embed(ENERGIES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "library", "words"),
    [
        ({}, "timm", "resnet-small is none of timm's networks; use format onnx or torch"),
        (
            {"name": "resnet18", "width": 0.25},
            "torchvision",
            "resnet18 of width 0.25 is none of torchvision's networks",
        ),
        (
            {"name": "resnet18", "adapters": {"kind": "norm"}},
            "timm",
            "resnet18 with routes is none of timm's networks",
        ),
        (
            {"name": "timm/resnet10t", "size": 32},
            "torchvision",
            "is none of torchvision's networks; use format timm, onnx or torch",
        ),
    ],
)
def test_what_a_library_has_no_network_for_is_refused(make, tmp_path, how, library, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        export(make(**how), tmp_path / "e.safetensors", format=library)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_description_leaves_out_is_as_build_encoder_has_it(tmp_path):
    preprocess = Preprocess(low=0.0, high=1.0, mean=(0.5,) * 3, std=(0.25,) * 3, size=32)
    encoder = Encoder(build_encoder(VIT), preprocess, {"name": VIT})
    assert "in_chans=3, img_size=32" in export(encoder, tmp_path / "e.safetensors").code


def test_a_network_of_the_users_own_is_refused(make, tmp_path):
    encoder = make("resnet18")
    encoder.spec = None
    with pytest.raises(TwofoldError, match="a network of your own is none of timm's networks"):
        export(encoder, tmp_path / "e.safetensors", format="timm")


def test_a_library_that_is_missing_is_named(make, tmp_path, monkeypatch):
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(TwofoldError, match=r"format timm needs timm.*pip install twofold\[timm\]"):
        export(make("resnet18"), tmp_path / "e.safetensors", format="timm")
