"""Runs of two processes: their bits, how they stop, die and go on, and what they say."""

import json
import signal
import time

import numpy as np
import pytest
import torch
from processes import ended, run, start
from safetensors.torch import load_file

import twofold
from twofold.folder import read_metrics

pytestmark = pytest.mark.slow
TWOFOLD = ("-m", "twofold")
FLAGS = ("--batch-size", "16", "--precision", "float32", "--seed", "3", "--threads", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures of four kinds."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    images = generator.integers(0, 100, (200, 1, 12, 12), dtype=np.uint8)
    for kind in range(4):
        images[labels == kind, :, 3 * kind : 3 * kind + 3] += 100
    np.savez(folder / "few.npz", images=images, labels=labels)
    return folder


def steps(folder):
    return [line["step"] for line in read_metrics(folder) if line["kind"] == "step"]


def begin(place, out, *words):
    data = ("--data", place / "few.npz", "--label-key", "labels", "--key", "images")
    small = ("--encoder", "resnet-small", "--width", "0.25")
    return (*TWOFOLD, "pretrain", "simclr", *data, *small, *FLAGS, "--out", out, *words)


@pytest.fixture(scope="module")
def shared(place):
    """A run of two processes, and what they said."""
    return run(*begin(place, place / "two", "--epochs", "3"))


def test_two_processes_end_with_the_weights_of_one(place, shared):
    """With BatchNorm, whose batch is that of both; chance alone would differ by far more."""
    assert [status for status, *_ in shared] == [0, 0], shared
    alone = begin(place, place / "one", "--epochs", "3")
    assert ended(start(*alone, world=1))[0][0] == 0
    runs = [read_metrics(place / name) for name in ("one", "two")]
    lines = [[line for line in run if line["kind"] == "step"] for run in runs]
    assert len(lines[0]) == len(lines[1]) >= 20
    for one, two in zip(*lines, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    first, second = (load_file(place / name / "encoder.safetensors") for name in ("one", "two"))
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=1e-3, atol=1e-4)


def test_one_process_writes_and_speaks_for_all(place, shared):
    assert steps(place / "two") == [*range(1, 1 + len(steps(place / "two")))]
    (_, out, first), (_, other, second) = shared
    assert (out, other, second) == ("", "", "")
    assert first.count("done: ") == 1
    assert "float32 on cpu with 1 thread in each of 2 processes" in first
    kinds = [line["kind"] for line in read_metrics(place / "two")]
    assert (kinds.count("epoch"), kinds.count("end")) == (3, 1)
    assert twofold.Run(place / "two").config.found["hardware"]["processes"] == 2


def test_two_processes_evaluate_as_one(place, shared):
    """The same figures, for each batch is encoded as by one; printed and written once."""
    (status, out, _), (_, other, _) = run(*TWOFOLD, "evaluate", place / "two", "--probes", "knn")
    assert (status, other) == (0, "")
    assert str(place / "two" / "evaluation.json") in out
    found = json.loads((place / "two" / "evaluation.json").read_text())
    again = twofold.Run(place / "two").evaluate(probes=["knn"], quiet=True)
    assert again["knn"]["accuracy"] == found["knn"]["accuracy"]


def waited_for(path, lines):
    """The metrics of a run have as many lines."""
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_one_process_is_asked_all_do_and_one_goes_on(place):
    """SIGTERM to process 1 alone stops both at one step; one process takes it to its end."""
    out = place / "stopped"
    processes = start(*begin(place, out, "--epochs", "60", "--tune", "off"))
    waited_for(out / "metrics.jsonl", 10)
    processes[1].send_signal(signal.SIGTERM)
    (status, _, said), (other, _, silent) = ended(processes)
    assert (status, other, silent) == (130, 130, "")
    last = steps(out)[-1]
    assert f"stopped after step {last} of " in said
    config = out / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 60", f"epochs: {last // 8 + 2}"))
    run = twofold.resume(out, quiet=True)
    assert steps(out) == [*range(1, 1 + (last // 8 + 2) * steps_per_epoch(run))]
    assert run.config.found["hardware"]["processes"] == 1


def steps_per_epoch(run):
    return run.config.found["train_items"] // 16


def test_a_process_that_is_killed_ends_the_other_and_two_go_on(place):
    """The newest checkpoint is there: a run begun by two ends by two, each step once."""
    out = place / "killed"
    processes = start(*begin(place, out, "--epochs", "60", "--checkpoint-seconds", "0.2"))
    waited_for(out / "metrics.jsonl", 20)
    processes[1].kill()
    began = time.monotonic()
    (status, _, said), (other, _, _) = ended(processes)
    assert time.monotonic() - began < 30
    assert (status, other) == (2, -signal.SIGKILL)
    assert said.splitlines()[-1] == (
        "twofold: another process ended before its work was done; "
        f"`twofold pretrain --resume {out}` goes on"
    )
    assert "Traceback" not in said
    assert list((out / "checkpoints").glob("step-*.safetensors"))
    epochs = steps(out)[-1] // 8 + 2
    config = out / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 60", f"epochs: {epochs}"))
    found = run(*TWOFOLD, "pretrain", "--resume", out)
    assert [status for status, *_ in found] == [0, 0], found
    assert steps(out) == [*range(1, 1 + epochs * steps_per_epoch(twofold.Run(out)))]


def test_what_all_find_is_told_once(place):
    words = begin(place, place / "odd", "--batch-size", "15")
    (status, _, said), (other, _, silent) = run(*words)
    assert (status, other, silent) == (2, 2, "")
    assert said == (
        "twofold: batch_size is 15, which 2 processes cannot share alike; "
        "it must be a multiple of 2, such as 14\n"
    )
    assert not (place / "odd").exists()


ALONE = """
from twofold import TwofoldError
from twofold.distributed import rank, together, wait_for_all
with together():
    if rank() == {who}:
        raise TwofoldError("no")
    wait_for_all()
"""


@pytest.mark.parametrize(("who", "words"), [(0, "no"), (1, "process 1 of 2: no")])
def test_what_one_finds_is_told_by_it_alone(who, words):
    found = run("-c", ALONE.format(who=who))
    assert f"TwofoldError: {words}\n" in found[who][2]
    assert found[1 - who] == (2, "", "")


def test_a_command_for_one_process_says_so():
    (status, _, said), (_, _, silent) = run(*TWOFOLD, "list")
    assert (status, silent) == (2, "")
    assert said == "twofold: `twofold list` is work for one process; start it without torchrun\n"
