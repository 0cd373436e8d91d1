import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import TwofoldError
from twofold.folder import read_metrics


def images(count=120, size=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, size, size), dtype=np.uint8)


SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "quiet": True, "threads": 1}


def train(folder, **changes):
    return twofold.pretrain("simclr", data=images(), out=folder, **{**SMALL, **changes})


def weights(folder):
    return load_file(folder / "encoder.safetensors")


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        train(tmp_path / name, epochs=2, seed=seed)
    assert_same_bits(weights(tmp_path / "a"), weights(tmp_path / "b"))
    first, other = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_loader_threads_change_no_bit(tmp_path, precision):
    """The same 50 steps and more with 0, 1 and 2 threads."""
    for threads in (0, 1, 2):
        train(tmp_path / str(threads), epochs=9, loader_threads=threads, precision=precision)
    assert read_metrics(tmp_path / "0")[-1]["step"] >= 50
    assert_same_bits(weights(tmp_path / "0"), weights(tmp_path / "1"))
    assert_same_bits(weights(tmp_path / "1"), weights(tmp_path / "2"))


def test_training_learns(tmp_path):
    """The loss falls well below chance on images that differ, from a chance it starts near."""
    blobs = np.zeros((160, 1, 12, 12), np.uint8)
    for number, blob in enumerate(blobs):
        row, column = divmod(number % 16, 4)
        blob[0, row * 3 : row * 3 + 3, column * 3 : column * 3 + 3] = 255
    twofold.pretrain(
        "simclr",
        data=blobs,
        out=tmp_path / "run",
        epochs=30,
        **SMALL,
        prescription=dict.fromkeys(twofold.RECIPES["simclr"]().prescription, "off")
        | {"flip": "invariant"},
        optimizer=twofold.Optimizer(learning_rate=0.5),
    )
    steps = [line for line in read_metrics(tmp_path / "run") if line["kind"] == "step"]
    assert steps[0]["loss"] == pytest.approx(steps[0]["chance"]["contrast"], abs=0.4)
    assert steps[-1]["loss"] < 0.85 * steps[0]["chance"]["contrast"]
    assert all(line["loss"] > line["floor"]["contrast"] for line in steps)


def test_a_run_stopped_by_ctrl_c_saves_and_goes_on_to_the_same_bits(tmp_path, interrupted_at):
    train(tmp_path / "whole", epochs=4)
    with interrupted_at(9):
        train(tmp_path / "stopped", epochs=4)
    assert not (tmp_path / "stopped" / "encoder.safetensors").exists()
    twofold.resume(tmp_path / "stopped", data=images(), quiet=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path):
    train(tmp_path / "whole", epochs=2)
    train(tmp_path / "stopped", epochs=2)
    for path in (tmp_path / "stopped" / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "stopped" / "encoder.safetensors").unlink()
    twofold.resume(tmp_path / "stopped", data=images(), quiet=True)
    assert_same_bits(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    train(tmp_path / "run", epochs=1)
    before = weights(tmp_path / "run")
    lines = read_metrics(tmp_path / "run")
    twofold.resume(tmp_path / "run", data=images(), quiet=True)
    assert_same_bits(before, weights(tmp_path / "run"))
    assert len(read_metrics(tmp_path / "run")) == len(lines)


def test_other_data_is_refused_on_resume(tmp_path):
    train(tmp_path / "run", epochs=1)
    with pytest.raises(TwofoldError, match="the data has changed since the run began"):
        twofold.resume(tmp_path / "run", data=images(seed=1), quiet=True)


def test_a_loss_that_is_no_number_ends_the_run_with_a_remedy(tmp_path):
    finding = r"the loss of 'contrast' is not finite at step 2 \(items [\d, ]+ and 13 more\); lower"
    with pytest.raises(TwofoldError, match=finding):
        train(tmp_path / "run", epochs=9, optimizer=twofold.Optimizer(learning_rate=1e30))


def test_metrics_say_what_a_reader_needs(tmp_path):
    train(tmp_path / "run", epochs=2, monitor_every=2)
    lines = read_metrics(tmp_path / "run")
    steps = [line for line in lines if line["kind"] == "step"]
    assert steps[0]["chance"]["contrast"] == pytest.approx(math.log(31))
    assert steps[0]["losses"].keys() == {"contrast"}
    assert steps[0]["lr"] == pytest.approx(0.24 * 16 / 256)
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [2]
    assert epochs[0]["knn"] is None
    assert epochs[0]["health"]["verdict"]
    assert lines[-1]["kind"] == "end"
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == len(lines)
    assert json.dumps(lines)  # plain values alone


def test_metrics_say_how_several_losses_were_balanced(tmp_path):
    objectives = {"contrast": twofold.SimCLR(), "aside": twofold.SimCLR(projector=(8, 4))}
    train(tmp_path / "one", epochs=1)
    train(tmp_path / "two", epochs=1, objectives=objectives, weights={"aside": 0.5})
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    assert not any("balance" in line for line in one)
    steps = [line for line in two if line["kind"] == "step"]
    assert all(s["balance"]["weights"] == {"contrast": 1.0, "aside": 0.5} for s in steps)
    total = steps[0]["losses"]["contrast"] + steps[0]["losses"]["aside"] / 2
    assert steps[0]["loss"] == pytest.approx(total)


def test_views_are_small_at_first_if_asked(tmp_path, monkeypatch):
    from twofold.loader import Loader

    sizes = []
    real = Loader.batch

    def recorded(self, step):
        batch = real(self, step)
        sizes.append((step, batch.views[0].shape[-1]))
        return batch

    monkeypatch.setattr(Loader, "batch", recorded)
    train(tmp_path / "run", epochs=2, early_resolution=2 / 3, early_share=0.5)
    total = len(sizes)
    assert [size for _, size in sorted(sizes)] == [8] * (total // 2) + [12] * (total - total // 2)
