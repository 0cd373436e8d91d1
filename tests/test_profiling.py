"""What a run spends its time on, and whether what is slow is named."""

import json
from functools import partial
from threading import Thread

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import twofold
from twofold import checkpoint, profiling
from twofold.hardware import Hardware
from twofold.loader import Loader
from twofold.log import Log
from twofold.monitor import Monitor
from twofold.profiling import PARTS, Profile, bottleneck, part, preparing, profiled, training


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def slow(self, function, seconds):
        def slowed(*args, **kwargs):
            self.now += seconds
            return function(*args, **kwargs)

        return slowed


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, "Profile", partial(Profile, clock=clock))
    return clock


class Network(nn.Module):
    num_features = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, images):
        return self.layer(images.flatten(1))


def pretrained(folder, network=None, **options):
    images = np.random.default_rng(0).integers(0, 255, (320, 1, 8, 8), dtype=np.uint8)
    given = {"epochs": 1, "batch_size": 8, "threads": 1, "loader_threads": 0, "seed": 1}
    given |= {"optimizer": {"learning_rate": 0.01}, "data": images, "out": folder, "quiet": True}
    return twofold.pretrain("simclr", encoder=network or Network(), **{**given, **options})


@pytest.mark.parametrize(
    ("slow", "name", "seconds", "named"),
    [
        (Loader, "batch", 1.0, "views are the bottleneck (100 % of the time is spent waiting"),
        (Network, "forward", 1.0, "the encoder is the bottleneck"),
        (Monitor, "__call__", 9.0, "monitoring is the bottleneck (100 % of the time)"),
        (checkpoint, "save_checkpoint", 9.0, "checkpoints are the bottleneck (100 % of the time)"),
        (Log, "step", 1.0, "the log is the bottleneck (100 % of the time)"),
    ],
)
def test_what_is_slow_is_named(clock, monkeypatch, tmp_path, slow, name, seconds, named):
    monkeypatch.setattr(slow, name, clock.slow(getattr(slow, name), seconds))
    pretrained(tmp_path / "run", profile=True)
    found = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert found["sentence"].startswith(named)
    assert set(found["parts"]) == set(PARTS)
    assert 0 < found["seconds"] <= clock.now
    assert sum(one["share"] for one in found["parts"].values()) == pytest.approx(1, abs=1e-3)
    assert found["steps"] == 32


def test_the_monitors_use_of_an_encoder_is_the_monitors(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "forward", clock.slow(Network.forward, 1.0))
    pretrained(tmp_path / "run", profile=True)
    found = json.loads((tmp_path / "run" / "profile.json").read_text())
    parts = found["parts"]
    assert parts["encoder"]["seconds"] == found["steps"]
    assert parts["monitor"]["seconds"] > 0
    assert found["seconds"] == parts["encoder"]["seconds"] + parts["monitor"]["seconds"]


def test_a_profile_changes_no_bit_and_goes_with_the_run(tmp_path):
    def same(folder, other):
        one, two = (load_file(path / "encoder.safetensors") for path in (folder, other))
        return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)

    network = Network()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    pretrained(tmp_path / "plain", network)
    network.load_state_dict(state)
    pretrained(tmp_path / "profiled", network, profile=True)
    assert same(tmp_path / "plain", tmp_path / "profiled")
    assert not (tmp_path / "plain" / "profile.json").exists()
    assert not network._forward_hooks
    assert not network._forward_pre_hooks
    network.load_state_dict(state)
    pretrained(tmp_path / "profiled", network, overwrite=True)
    assert not (tmp_path / "profiled" / "profile.json").exists()


def test_a_run_says_where_its_time_went(tmp_path, capsys):
    pretrained(tmp_path / "run", profile=True, quiet=False)
    said = capsys.readouterr().err
    assert "waiting for views" in said
    assert "bottleneck" in said
    assert f"profile: {tmp_path / 'run' / 'profile.json'}" in said.replace("\n", "")


def test_threads_that_prepare_ahead_are_counted_apart(clock, tmp_path):
    def prepare():
        with preparing(), part("views"):
            clock.now += 5

    with profiled(tmp_path) as profile, part("log"):
        thread = Thread(target=prepare)
        thread.start()
        thread.join()
    assert profile.seconds["views"] == 0
    assert profile.seconds["log"] == 5
    assert profile.ahead >= 0
    assert not (tmp_path / "profile.json").exists()  # no step was taken


def test_on_a_gpu_one_step_of_ten_is_timed_and_stands_for_them(clock, monkeypatch, tmp_path):
    waits = []
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waits.append(clock.now))
    gpu = Hardware(device="cuda", precision="bf16", threads=1, loader_threads=1)
    with profiled(tmp_path) as profile, training([], gpu):
        for _ in range(20):
            with part("views"):
                clock.now += 1
            with part("optimizer"):
                clock.now += 3
    found = profile.found()
    assert found["seconds"] == 80
    assert found["parts"]["views"] == {"seconds": 20, "share": 0.25}
    assert len(waits) < 20 * 2


@pytest.mark.parametrize(
    ("hardware", "remedy"),
    [
        ({"threads": 2, "loader_threads": 1}, "--loader-threads 2 --threads 1"),
        ({"threads": 2, "loader_threads": 0}, "--loader-threads 1 --threads 1"),
        ({"threads": 1, "loader_threads": 0}, "--loader-threads 1"),
    ],
)
def test_what_is_advised_fits_the_machine(hardware, remedy):
    on = Hardware(device="cpu", precision="float32", **hardware)
    assert remedy in bottleneck({"views": 0.6, "encoder": 0.4}, on)
    assert "bf16" in bottleneck({"encoder": 0.5, "backward": 0.5}, on)
