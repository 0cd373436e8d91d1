"""What makes the views of a run, as it is chosen, recorded and kept."""

from dataclasses import asdict, replace

import numpy as np
import pytest

import twofold
from twofold import TwofoldError
from twofold.augment import IMAGE, Views, fused, rendering
from twofold.config import Config, Settings, load_config
from twofold.hardware import Hardware
from twofold.recipes import simclr
from twofold.renderers import WORTH_VALUES, with_renderer

CPU = Hardware(device="cpu", precision="float32", threads=1, loader_threads=0)
MANY = WORTH_VALUES  # items, whose views are more values than that


def views_of(*names, **settings):
    return Views(IMAGE, dict.fromkeys(names, "invariant"), channels=3, size=8, **settings)


def chosen(views, samples=MANY, hardware=CPU, renderer="auto"):
    whole = Config(recipe=simclr(), settings=Settings(renderer=renderer))
    return with_renderer(whole, hardware, views, samples).renderer


@pytest.fixture
def without_numba(monkeypatch):
    monkeypatch.setattr(fused, "available", lambda: False)


@pytest.fixture
def with_numba(monkeypatch):
    monkeypatch.setattr(fused, "available", lambda: True)


@pytest.mark.usefixtures("with_numba")
def test_fused_where_it_pays():
    views = views_of("crop", "hue")
    assert chosen(views) == "fused"
    assert views.renderer is fused.render
    assert chosen(views_of("crop", "hue"), samples=100) == "torch"
    assert chosen(views_of("crop", "noise")) == "torch"
    assert chosen(views_of("crop"), hardware=replace(CPU, device="cuda")) == "torch"
    assert chosen(views_of("crop", renderer=lambda *_, **__: None)) == "torch"
    assert chosen(views_of("crop"), renderer="torch") == "torch"
    assert chosen(views_of("crop"), samples=100, renderer="fused") == "fused"


@pytest.mark.usefixtures("without_numba")
def test_torch_without_numba():
    views = views_of("crop")
    assert chosen(views) == "torch"
    assert views.renderer is rendering.render
    with pytest.raises(TwofoldError, match=r"^renderer is fused, which needs numba: pip install"):
        chosen(views_of("crop"), renderer="fused")


@pytest.mark.usefixtures("with_numba")
def test_fused_cannot_be_had_for_everything():
    with pytest.raises(
        TwofoldError, match=r"images on a CPU, of crop, flip.*; say --renderer torch"
    ):
        chosen(views_of("crop", "noise"), renderer="fused")


@pytest.mark.usefixtures("with_numba")
def test_a_run_goes_on_with_what_it_began_with():
    begun = asdict(replace(CPU, renderer="fused"))
    found = Config(recipe=simclr(), found={"hardware": begun})
    assert with_renderer(found, CPU, views_of("crop"), 9).renderer == "fused"
    before = {name: value for name, value in begun.items() if name != "renderer"}
    found = Config(recipe=simclr(), found={"hardware": before})
    assert with_renderer(found, CPU, views_of("crop"), MANY).renderer == "torch"


@pytest.mark.usefixtures("without_numba")
def test_a_run_that_began_with_it_needs_numba():
    whole = Config(recipe=simclr(), found={"hardware": asdict(replace(CPU, renderer="fused"))})
    with pytest.raises(TwofoldError, match=r"^the run began with fused, which needs numba"):
        with_renderer(whole, CPU, views_of("crop"), MANY)


def test_a_run_trains_with_it_and_says_so(tmp_path, capsys):
    pytest.importorskip("numba")
    images = np.random.default_rng(0).integers(0, 256, (48, 3, 8, 8)).astype(np.uint8)
    run = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "threads": 1, "seed": 1}
    embedded = {}
    for renderer in ("fused", "torch"):
        out = tmp_path / renderer
        twofold.pretrain("simclr", data=images, out=out, epochs=1, renderer=renderer, **run)
        assert (", fused views" in capsys.readouterr().err) == (renderer == "fused")
        assert load_config(out / "config.yaml").found["hardware"]["renderer"] == renderer
        embedded[renderer] = twofold.load(out).embed(images)
    np.testing.assert_allclose(embedded["fused"], embedded["torch"], atol=0.05)
