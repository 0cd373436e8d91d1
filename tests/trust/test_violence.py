"""Whatever happens to a run, it ends with the bits of one to which nothing happened."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from violence import (
    Job,
    born,
    differences,
    ended,
    finish,
    kill,
    make_images,
    recipe,
    steps,
    wait_until,
)

import twofold
from twofold import TwofoldError
from twofold.checkpoint import checkpoints
from twofold.folder import CHECKPOINTS, METRICS, append

pytestmark = pytest.mark.slow
EPOCHS = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A job that was done at one go."""
    folder = tmp_path_factory.mktemp("whole")
    make_images(folder / "images")
    job = Job(folder / "images", folder / "job", EPOCHS)
    finish(job)
    return job


@pytest.fixture
def job(whole, tmp_path):
    """The same job, of which nothing is done."""
    return replace(whole, folder=tmp_path / "job")


@pytest.fixture
def half(whole, tmp_path):
    """The same job, stopped on the way."""
    job = replace(whole, folder=tmp_path / "half")
    stop(job, signal.SIGTERM, after=EPOCHS)
    assert len(checkpoints(job.run / CHECKPOINTS)) == 2
    return job


def stop(job, number, after):
    """Lets a process work until some steps are written down, and sends it a signal."""
    process = born(job)
    wait_until(lambda: len(steps(job)) > after, process)
    os.kill(process.pid, number)
    return ended(process)


def assert_as_if_nothing_happened(whole, job):
    finish(job)
    assert not differences(whole, job)
    assert steps(job) == list(range(1, steps(job)[-1] + 1))


def test_seven_kills(whole, job):
    found = kill(job, 7)
    assert found.total() == 7
    assert len(found) > 2
    assert_as_if_nothing_happened(whole, job)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_step_save_and_say_so(whole, job, number):
    for after in (2, 20):
        assert stop(job, number, after) == 130, job.said
        saved = int(checkpoints(job.run / CHECKPOINTS)[-1].stem.removeprefix("step-"))
        assert saved == steps(job)[-1]  # nothing is lost
    assert_as_if_nothing_happened(whole, job)


def test_a_full_disk_is_named_and_loses_nothing_that_was_saved(whole, half):
    """No file can be as large as a checkpoint; metrics still fit."""
    before = [path.read_bytes() for path in checkpoints(half.run / CHECKPOINTS)]
    assert ended(born(half, most_bytes=100_000)) == 2
    assert "File too large: " in half.said
    assert f"{half.run / CHECKPOINTS}/step-" in half.said
    assert [path.read_bytes() for path in checkpoints(half.run / CHECKPOINTS)] == before
    assert not list((half.run / CHECKPOINTS).glob(".*"))
    assert_as_if_nothing_happened(whole, half)


@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_of_a_damaged_checkpoint_the_user_is_told_and_the_one_before_is_used(whole, half, harm):
    newest = checkpoints(half.run / CHECKPOINTS)[-1]
    data = bytearray(newest.read_bytes())
    if harm == "flip":
        data[random.Random(0).randrange(len(data) // 2, len(data))] ^= 4
    newest.write_bytes(data[: len(data) // 3] if harm == "cut" else data)
    assert ended(born(half)) == 0
    assert f"passed over a checkpoint: {newest} is damaged" in half.said
    assert_as_if_nothing_happened(whole, half)


def test_the_command_line_tells_of_a_damaged_checkpoint_in_one_line(tmp_path):
    small = {"encoder": "resnet-small", "width": 0.25, "epochs": 1, "checkpoint_seconds": 1e-6}
    twofold.pretrain("simclr", data="digits", out=tmp_path, threads=1, quiet=True, **small)
    newest = checkpoints(tmp_path / CHECKPOINTS)[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    command = [sys.executable, "-m", "twofold", "pretrain", "--resume", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if "passed over" in line]
    assert line.startswith(f"note: passed over a checkpoint: {newest} is damaged (")
    assert "warnings.warn" not in done.stderr


def test_without_a_sound_checkpoint_it_begins_again(whole, half):
    for path in checkpoints(half.run / CHECKPOINTS):
        path.write_bytes(b"")
    assert_as_if_nothing_happened(whole, half)
    assert half.said.count("passed over a checkpoint") == 2


def test_damaged_metrics_are_told_and_half_a_line_is_none(whole, half):
    append(half.run / METRICS, '{"kind": "step", "st')
    assert_as_if_nothing_happened(whole, half)
    assert "damaged" not in half.said


def test_a_second_process_is_refused_and_the_first_does_not_notice(whole, job):
    first = born(job)
    wait_until(lambda: len(steps(job)) > 0, first)
    assert ended(born(job)) == 2
    assert f"another process is training in {job.run}" in job.said
    assert ended(first) == 0
    assert_as_if_nothing_happened(whole, job)


def test_what_a_killed_process_had_begun_to_write_goes(whole, half):
    for place in (half.run, half.run / CHECKPOINTS):
        (place / ".a.safetensors.99999999.partial").write_bytes(b"half")
    assert_as_if_nothing_happened(whole, half)


def test_a_folder_left_before_anything_was_in_it_can_be_used(whole, job):
    job.run.mkdir(parents=True)
    (job.run / ".config.yaml.99999999.partial").write_text("recipe:")
    assert_as_if_nothing_happened(whole, job)


def test_a_read_only_folder_is_refused_before_the_data_are_opened(whole, monkeypatch, tmp_path):
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    rule = "cannot be written: .* is read-only; choose another --out"
    with pytest.raises(TwofoldError, match=rule):
        twofold.resume(whole.run, recipe=recipe(EPOCHS))
    with pytest.raises(TwofoldError, match=rule):
        twofold.pretrain(recipe(EPOCHS), data=whole.images, out=tmp_path / "new")
    assert not list(tmp_path.iterdir())
