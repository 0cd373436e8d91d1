"""A number that is none is caught at its step, named, and never saved."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import TwofoldError, log
from twofold.checkpoint import checkpoints, load_tensors
from twofold.divergence import finite
from twofold.folder import CHECKPOINTS, append, read_metrics
from twofold.objectives import SimCLR

POISON = 77  # the training item whose batch has no finite loss
ITS_ID = {"77", "78"}  # one item before it or none is for testing
IMAGES = np.random.default_rng(0).integers(0, 256, (120, 1, 12, 12), dtype=np.uint8)
EPOCHS = 3


class NoLoss(SimCLR):
    """SimCLR whose loss is no number where one item is in the batch."""

    def loss(self, heads, batch):
        loss = super().loss(heads, batch)
        return loss * torch.nan if POISON in batch.index else loss


class NoGradient(SimCLR):
    """SimCLR whose loss is a number there, but has no slope."""

    def loss(self, heads, batch):
        loss = super().loss(heads, batch)
        return loss + (0 * batch.features[0]).sum().sqrt() if POISON in batch.index else loss


class Steep(SimCLR):
    """SimCLR whose gradient is ten thousand times as long."""

    def loss(self, heads, batch):
        return 1e4 * super().loss(heads, batch)


class Never(SimCLR):
    """SimCLR whose loss is never a number."""

    def loss(self, heads, batch):
        return super().loss(heads, batch) * torch.inf


def recipe(kind, **changes):
    begun = twofold.RECIPES["simclr"]()
    objectives = {"contrast": SimCLR(projector=(16, 8)), "aside": kind(projector=(16, 8))}
    small = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "epochs": EPOCHS}
    return replace(begun, objectives=objectives, **{**small, **changes})


def pretrain(folder, kind, *, changes=None, **settings):
    learned = recipe(kind, **(changes or {}))
    how = {"threads": 1, "checkpoint_seconds": 0.001, "quiet": True, "test_fraction": 0.01}
    return twofold.pretrain(learned, data=IMAGES, out=folder, **{**how, **settings})


def lines(folder, kind):
    return [line for line in read_metrics(folder) if line["kind"] == kind]


def weights(folder):
    return load_file(folder / "encoder.safetensors")


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def skipped(tmp_path_factory):
    """A run that left out the batches of one item."""
    folder = tmp_path_factory.mktemp("skipped")
    pretrain(folder, NoLoss, not_finite="skip")
    return folder


@pytest.mark.parametrize(("kind", "what"), [(NoLoss, "loss"), (NoGradient, "gradient")])
def test_step_objective_and_items_are_named_and_no_weight_has_moved(tmp_path, skipped, kind, what):
    step = lines(skipped, "skipped")[0]["step"]
    with pytest.raises(TwofoldError) as caught:
        pretrain(tmp_path, kind)
    said = str(caught.value)
    assert said.startswith(f"the {what} of 'aside' is not finite at step {step} (items ")
    assert said.endswith("or leave the batch out with --not-finite skip")
    assert "\n" not in said
    (found,) = lines(tmp_path, "skipped")
    assert ITS_ID & set(found["ids"])
    assert len(found["ids"]) == 16
    assert (found["step"], found["what"], found["objectives"]) == (step, what, ["aside"])
    assert [line["step"] for line in lines(tmp_path, "step")] == list(range(1, step))
    newest = checkpoints(tmp_path / CHECKPOINTS)[-1]
    tensors, facts = load_tensors(newest)
    assert facts["step"] == step - 1
    assert finite(tensor for name, tensor in tensors.items() if name.startswith("method."))
    with pytest.raises(TwofoldError, match=f"at step {step} "):  # the same, as a run is exact
        twofold.resume(tmp_path, data=IMAGES, recipe=recipe(kind), quiet=True)


def test_skipping_leaves_out_the_batch_alone_and_tells_which(skipped):
    found = lines(skipped, "skipped")
    assert ITS_ID & set.intersection(*(set(line["ids"]) for line in found))
    taken = [line["step"] for line in lines(skipped, "step")]
    assert sorted([*taken, *(line["step"] for line in found)]) == list(range(1, 7 * EPOCHS + 1))
    assert 1 <= len(found) <= EPOCHS  # an item is in one batch of an epoch, or in none
    assert finite(weights(skipped).values())


def test_how_far_it_goes_back_changes_no_bit(tmp_path, skipped):
    pretrain(tmp_path, NoLoss, not_finite="skip", checkpoint_seconds=3600)
    assert same(weights(skipped), weights(tmp_path))


def test_a_run_that_skips_and_is_stopped_ends_with_the_same_bits(tmp_path, skipped, interrupted_at):
    with interrupted_at(12):
        pretrain(tmp_path, NoLoss, not_finite="skip")
    twofold.resume(tmp_path, data=IMAGES, recipe=recipe(NoLoss), quiet=True)
    assert same(weights(skipped), weights(tmp_path))
    timed = ("elapsed", "images_per_s")
    once, again = (
        [{k: v for k, v in line.items() if k not in timed} for line in read_metrics(folder)]
        for folder in (skipped, tmp_path)
    )
    assert once == again


def test_where_no_batch_is_sound_skipping_ends(tmp_path):
    with pytest.raises(TwofoldError, match=r"is not finite at step 11 .* after 10 steps left out"):
        pretrain(tmp_path, Never, not_finite="skip")
    assert [line["step"] for line in lines(tmp_path, "skipped")] == list(range(1, 12))


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    optimizer = twofold.Optimizer(learning_rate=1e38, scaling="none")
    with pytest.raises(TwofoldError, match="the weights are not finite before step 2; lower"):
        pretrain(tmp_path, Steep, changes={"optimizer": optimizer})
    assert not checkpoints(tmp_path / CHECKPOINTS)


def test_metrics_cut_short_by_a_full_disk_are_written_again(tmp_path, monkeypatch):
    pretrain(tmp_path / "whole", SimCLR)
    written = 0

    def full(path, text):
        nonlocal written
        written += 1
        append(path, text if written < 12 else text[:40])
        if written == 12:
            raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(log, "append", full)
        with pytest.raises(OSError, match=r"No space left on device: .*metrics\.jsonl"):
            pretrain(tmp_path / "full", SimCLR)
    twofold.resume(tmp_path / "full", data=IMAGES, recipe=recipe(SimCLR), quiet=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "full"))
    taken = [line["step"] for line in lines(tmp_path / "full", "step")]
    assert taken == list(range(1, 7 * EPOCHS + 1))


def test_damaged_lines_of_metrics_are_told(tmp_path):
    pretrain(tmp_path, SimCLR)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind"', b'"k\xffnd', 1))
    with pytest.warns(UserWarning, match=r"1 lines of .*metrics\.jsonl are damaged and go"):
        twofold.resume(tmp_path, data=IMAGES, recipe=recipe(SimCLR), quiet=True)
