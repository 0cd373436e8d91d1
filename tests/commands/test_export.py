"""`twofold export` as a user types it."""

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file

import twofold
from twofold import Encoder
from twofold.cli import main
from twofold.erasure import fit_eraser
from twofold.networks import mlp
from twofold.preprocess import measure

STORED = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)


def run(*args):
    """The exit status of `twofold export ARGS`."""
    with pytest.raises(SystemExit) as caught:
        main(["export", *map(str, args)])
    return caught.value.code


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What runs leave: of a small network made blind, and of one that torchvision has, too."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    eraser = fit_eraser(torch.randn(200, 64), torch.randn(200, 2))
    head = {"projector": mlp(64, 16, 8).eval(), "erasers": {"features": eraser}}
    for name, parts, network in (("small", head, "resnet-small"), ("resnet", {}, "resnet18")):
        width = 0.25 if parts else 1.0
        spec = {"name": network, "channels": 1, "image_size": 8, "width": width}
        (folder / name).mkdir()
        (folder / name / "config.yaml").touch()
        encoder = Encoder(twofold.build_encoder(**spec), measure(STORED), spec, **parts)
        encoder.save(folder / name / "encoder.safetensors")
    return folder


def test_a_run_becomes_weights_that_torchvision_loads(place, tmp_path, capsys):
    out = tmp_path / "e.safetensors"
    assert run(place / "resnet", "--out", out, "--format", "torchvision") == 0
    said, lines = capsys.readouterr().out.split("\n\n", 1)
    assert said.startswith(f"{out}: features differ from twofold's by ")
    names = {"images": torch.from_numpy(STORED).float()}
    exec(lines, names)
    expected = twofold.load(place / "resnet").embed(STORED)
    np.testing.assert_allclose(names["features"].detach().numpy(), expected, atol=1e-5)
    keys = torchvision.models.resnet18().state_dict().keys() - load_file(out).keys()
    assert keys == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(
    ("name", "flags", "reading"),
    [
        ("e.onnx", [], {}),
        ("e.pt2", ["--layer", "projector.1"], {"layer": "projector.1"}),
    ],
)
def test_a_blind_run_becomes_a_graph_that_is_blind(place, tmp_path, capsys, name, flags, reading):
    assert run(place / "small", "--out", tmp_path / name, *flags) == 0
    lines = capsys.readouterr().out.split("\n\n", 1)[1]
    images = STORED.astype(np.float32)
    names = {"images": torch.from_numpy(images) if name == "e.pt2" else images}
    exec(lines, names)
    encoder = twofold.load(place / "small")
    assert encoder.readings.erasers
    np.testing.assert_allclose(
        names["features"], encoder.embed(STORED, **reading), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "RUN is missing; write twofold export RUN --out FILE"),
        ("smal --out e.onnx", "did you mean small?"),
        ("small", "--out is missing; it is the file to write"),
        ("small --out e.bin", "must end in .safetensors or .onnx or .pt2"),
        ("small --out e.pt2 --format onnx", "e.pt2 is to be of format onnx; its name must end in"),
        ("small --out no/e.pt2", "the folder no does not exist"),
        ("small --out e.onnx --format onx", "unknown value of --format 'onx'; did you mean 'onnx'"),
        ("small --out e.safetensors", "several formats; name one: torchvision or timm"),
        ("small --out e.safetensors --format timm", "is none of timm's networks; use format onnx"),
        ("small --out e.pt2 --route sensitive", "unknown route 'sensitive'"),
        ("resnet --out e.safetensors --format timm --no-preprocess", "preprocess is for formats"),
    ],
)
def test_a_mistake_is_answered_in_one_line(place, capsys, monkeypatch, line, words):
    monkeypatch.chdir(place)
    assert run(*line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err
    assert sorted(path.name for path in place.iterdir()) == ["resnet", "small"]
