"""Which way of computing is taken, when that is measured, and that it lasts."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import calibration
from twofold.calibration import Trial, calibrate, fastest, ways
from twofold.config import Config, Settings, load_config
from twofold.hardware import Hardware
from twofold.loader import Loader
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.preprocess import measure
from twofold.recipes import simclr

CPU = Hardware(device="cpu", precision="bf16", threads=4, loader_threads=1)
IMAGES = np.random.default_rng(0).integers(0, 255, (96, 1, 8, 8), dtype=np.uint8)


class Machine:
    """Takes a second a step, and in some ways other times; counts what it is asked."""

    def __init__(self, **factors):
        self.factors, self.asked = factors, []

    def __call__(self, hardware, steps):
        self.asked.append((hardware, steps))
        seconds = 1.0
        for name, (value, factor) in self.factors.items():
            if getattr(hardware, name) == value:
                seconds *= factor(len(self.asked)) if callable(factor) else factor
        return seconds


def test_the_fastest_way_is_taken_choice_by_choice():
    machine = Machine(
        precision=("float32", 0.5), memory_format=("contiguous", 2.0), loader_threads=(0, 0.8)
    )
    best, said = fastest(CPU, ways(CPU, Settings()), machine, 100_000)
    assert best == replace(CPU, precision="float32", threads=5, loader_threads=0)
    assert said == (
        "measured: float32 2.00 times as fast, taken; contiguous 0.50 times as fast; "
        "5 threads and 0 of the loader 1.25 times as fast, taken; --tune off keeps the default"
    )


@pytest.mark.parametrize("factor", [0.95, 1.0, lambda asked: 1.5 if asked < 4 else 0.3])
def test_the_default_stays_unless_another_way_is_clearly_faster(factor):
    machine = Machine(precision=("float32", factor))
    best, said = fastest(CPU, [[{"precision": "float32"}]], machine, 100_000)
    assert best == CPU
    assert "taken" not in said


def test_a_run_of_less_than_a_minute_is_timed_once_and_left_alone():
    machine = Machine(precision=("float32", 0.1))
    assert fastest(CPU, ways(CPU, Settings()), machine, 59) == (CPU, "")
    assert machine.asked == [(CPU, 1)]


def test_what_would_take_too_large_a_share_of_the_run_is_not_measured():
    machine = Machine(precision=("float32", 0.1))
    assert fastest(CPU, ways(CPU, Settings()), machine, 1000) == (CPU, "")
    assert len(machine.asked) == 1
    best, _ = fastest(CPU, ways(CPU, Settings()), machine, 2000)
    assert best.precision == "float32"
    assert {steps for _, steps in machine.asked} == {1, 2}


@pytest.mark.parametrize(
    ("settings", "hardware", "fields"),
    [
        ({}, {}, ["precision", "memory_format", "threads"]),
        ({"precision": "bf16"}, {}, ["memory_format", "threads"]),
        ({}, {"precision": "float32"}, ["memory_format", "threads"]),
        ({"threads": 4}, {}, ["precision", "memory_format"]),
        ({"loader_threads": 1}, {}, ["precision", "memory_format"]),
        ({}, {"threads": 1, "loader_threads": 0}, ["precision", "memory_format"]),
        ({}, {"device": "cuda"}, ["precision", "memory_format"]),
    ],
)
def test_what_the_user_has_settled_is_no_choice(settings, hardware, fields):
    found = ways(replace(CPU, **hardware), Settings(**settings))
    assert [next(iter(choice[0])) for choice in found] == fields


@pytest.mark.parametrize("divided", [(2, 0), (1, 1), (3, 1), (4, 0)])
def test_threads_are_divided_otherwise_and_are_no_more(divided):
    threads, ahead = divided
    *_, (way,) = ways(replace(CPU, threads=threads, loader_threads=ahead), Settings())
    assert way["threads"] + way["loader_threads"] == threads + ahead
    assert way["loader_threads"] == 1 - ahead


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.5, 0.5))
    return tmp_path / "cache"


def feed(hardware):
    source = twofold.open_data(IMAGES, test_fraction=0.2).train
    recipe = replace(simclr(), batch_size=16)
    return Loader(
        source.items,
        None,
        views=calibration_views(recipe, source),
        preprocess=measure(source.items),
        batch_size=16,
        view_size=lambda step: 8,
        device=hardware.device,
        threads=hardware.loader_threads,
        seed=0,
        layout=hardware.layout,
    )


def calibration_views(recipe, source):
    from twofold.assembly import build_views

    return build_views(recipe, source, seed=0)


@pytest.fixture
def method():
    torch.manual_seed(0)
    return Method(build_encoder("resnet-small", channels=1, image_size=8), simclr().objectives)


def test_a_choice_is_kept_and_not_measured_again(cache, monkeypatch, method):
    machine = Machine(memory_format=("contiguous", 0.5))
    monkeypatch.setattr(calibration, "Trial", lambda *given: machine)
    whole = Config(recipe=replace(simclr(), epochs=20_000, batch_size=16))
    first = calibrate(whole, CPU, method, feed)
    count = len(machine.asked)
    assert first[0] == replace(CPU, memory_format="contiguous")
    assert calibrate(whole, CPU, method, feed) == first
    assert len(machine.asked) == count
    other = replace(whole, recipe=replace(whole.recipe, batch_size=32))
    calibrate(other, CPU, method, feed)
    assert len(machine.asked) > count
    (cache / next(cache.glob("calibration-*")).name).write_text("{")
    assert calibrate(whole, CPU, method, feed) == first


@pytest.mark.parametrize(
    "change",
    [
        {"settings": Settings(tune="off")},
        {"found": {"hardware": {}}},
        {"recipe": replace(simclr(), epochs=19)},
        {"recipe": replace(simclr(), epochs=20_000, batch_size=16, effective_batch=32)},
    ],
)
def test_nothing_is_measured_where_nothing_is_to_choose(cache, monkeypatch, method, change):
    monkeypatch.setattr(calibration, "Trial", None)
    whole = Config(recipe=replace(simclr(), epochs=20_000, batch_size=16))
    assert calibrate(replace(whole, **change), CPU, method, feed) == (CPU, ())
    assert not list(cache.glob("calibration-*"))


def test_nothing_is_measured_nor_kept_while_the_machine_is_busy(cache, monkeypatch, method):
    machine = Machine(memory_format=("contiguous", 0.5))
    monkeypatch.setattr(calibration, "Trial", lambda *given: machine)
    whole = Config(recipe=replace(simclr(), epochs=20_000, batch_size=16))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (2.1, 0.5, 0.5))
    assert calibrate(whole, CPU, method, feed) == (CPU, ())
    assert not machine.asked
    monkeypatch.setattr("os.getloadavg", lambda: (1.9, 9.0, 9.0))
    assert calibrate(whole, CPU, method, feed)[0].memory_format == "contiguous"


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
def test_a_trial_leaves_the_method_and_the_random_numbers_as_they_are(method, memory_format):
    before = {name: value.clone() for name, value in method.state_dict().items()}
    random = torch.get_rng_state()
    hardware = replace(CPU, precision="float32", threads=1, memory_format=memory_format)
    trial = Trial(method, Config(recipe=replace(simclr(), batch_size=16)), feed)
    assert trial(hardware, 2) > 0
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    kernel = next(p for p in trial.method.encoder.parameters() if p.shape[1:2] > (1,))
    assert kernel.is_contiguous(memory_format=hardware.layout)
    assert feed(hardware).batch(0).views[0].is_contiguous(memory_format=hardware.layout)


def test_a_run_writes_down_what_was_chosen_and_goes_on_with_it(
    cache, monkeypatch, tmp_path, capsys, interrupted_at
):
    machine = Machine(memory_format=("contiguous", 0.5))
    monkeypatch.setattr(calibration, "Trial", lambda *given: machine)
    monkeypatch.setattr(calibration, "_FEWEST_STEPS", 4)
    monkeypatch.setattr(calibration, "_SHORTEST", 4.0)
    monkeypatch.setattr(calibration, "_BUDGET", 1000.0)
    given = {"data": IMAGES, "epochs": 1, "batch_size": 16, "encoder": "resnet-small"}
    given |= {"threads": 1, "precision": "float32"}
    twofold.pretrain("simclr", out=tmp_path / "a", **given)
    assert "measured: contiguous 2.00 times as fast, taken" in capsys.readouterr().err
    assert load_config(tmp_path / "a" / "config.yaml").found["hardware"]["memory_format"] == (
        "contiguous"
    )
    with interrupted_at(2):
        twofold.pretrain("simclr", out=tmp_path / "b", quiet=True, **given)
    for kept in cache.glob("calibration-*"):
        kept.write_text(json.dumps({"chosen": {}, "sentence": ""}))
    twofold.resume(tmp_path / "b", data=IMAGES, quiet=True)
    one, other = (load_file(tmp_path / run / "encoder.safetensors") for run in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)
