"""What each of several processes gets, looked at from one."""

import signal
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from twofold import distributed, divergence, hardware, interruption
from twofold.assembly import build_views, with_batches
from twofold.domains import Source
from twofold.errors import TwofoldError
from twofold.evaluate import features
from twofold.hardware import detect
from twofold.loader import InParts, Loader
from twofold.objectives import Batch
from twofold.preprocess import measure
from twofold.recipes import recipe_by_name

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 1, 12, 12), dtype=np.uint8)


def loader(process=0, processes=1):
    source = Source(name="toy", items=IMAGES, ids=[str(number) for number in range(50)])
    return Loader(
        IMAGES,
        None,
        views=build_views(recipe_by_name("simclr", "image"), source, 0),
        preprocess=measure(IMAGES),
        batch_size=12,
        view_size=lambda step: 8,
        device="cpu",
        threads=0,
        seed=0,
        process=process,
        processes=processes,
    )


@pytest.mark.parametrize("processes", [2, 3, 4, 12])
def test_the_shares_of_a_batch_are_that_batch_with_the_same_views(processes):
    for step in (0, 6):
        whole = loader().batch(step)
        parts = [loader(process, processes).batch(step) for process in range(processes)]
        assert {len(part.index) for part in parts} == {12 // processes}
        index = torch.cat([part.index for part in parts])
        order = index.argsort()
        assert torch.equal(index[order], whole.index)
        for view in range(2):
            views = torch.cat([part.views[view] for part in parts])
            torch.testing.assert_close(views[order], whole.views[view])


def test_parts_of_a_batch_are_shared_too():
    whole, *shares = (InParts(loader(*which), 2, None) for which in ((0, 1), (0, 2), (1, 2)))
    expected = next(whole.batches(1, 2)).index
    found = torch.cat([next(share.batches(1, 2)).index for share in shares])
    assert sorted(found.tolist()) == sorted(expected.tolist())


@pytest.fixture
def of_three(monkeypatch):
    """Makes this process one of three, of which the others say what they are told to."""

    def become(number, *modules):
        for module in (distributed, *modules):
            monkeypatch.setattr(module, "world_size", lambda: 3, raising=False)
            monkeypatch.setattr(module, "rank", lambda: number, raising=False)

    return become


@pytest.mark.parametrize(("size", "block"), [(1, 4), (4, 4), (9, 4), (100, 7), (3000, 512)])
def test_shares_are_whole_blocks_in_order(of_three, size, block):
    of_three(0)
    found = distributed.shares(size, block)
    assert [row for part in found for row in part] == list(range(size))
    assert all(part.start % block == 0 or not part for part in found)
    lengths = [-(-len(part) // block) for part in found]
    assert max(lengths) - min(lengths) <= 1


def test_each_process_encodes_the_batches_that_one_would(of_three, monkeypatch):
    seen = []

    class Counting(nn.Flatten):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    whole = features(Counting(), IMAGES, measure(IMAGES), batch_size=8)
    alone, parts = seen.copy(), []
    seen.clear()
    module = import_module("twofold.evaluate.features")  # a function has its name
    monkeypatch.setattr(module, "complete", lambda rows, found: (rows, found))
    for number in range(3):
        of_three(number, module)
        rows, found = features(Counting(), IMAGES, measure(IMAGES), batch_size=8)
        parts.append(rows[found[number].start : found[number].stop])
    assert seen == alone
    assert torch.equal(torch.cat(parts), whole)


def test_threads_of_all_processes_are_no_more_than_the_cores(monkeypatch):
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda process: range(16))
    for processes in (1, 2, 3, 4, 8, 16):
        monkeypatch.setattr(hardware, "processes_here", lambda count=processes: count)
        found = detect(device="cpu", precision="float32")
        assert processes * (found.threads + found.loader_threads) <= 16
    monkeypatch.setattr(hardware, "processes_here", lambda: 32)
    assert detect(device="cpu", precision="float32").threads == 1


def test_a_batch_that_cannot_be_shared_alike_is_refused(monkeypatch):
    monkeypatch.setattr("twofold.assembly.world_size", lambda: 3)
    recipe = recipe_by_name("simclr", "image")  # of 256
    with pytest.raises(TwofoldError, match=r"which 3 processes cannot share alike.*such as 255"):
        with_batches(recipe, 1000)
    large = replace(recipe, batch_size=300)
    smaller, (said,) = with_batches(large, 50)
    assert smaller.batch_size == 12
    assert "batches are of 12" in said
    with pytest.raises(TwofoldError, match="10 items to train on, too few for 3 processes"):
        with_batches(large, 10)


class Failing(nn.Linear):
    """Two losses, of which one is no number where this process has an item."""

    def forward(self, batch):
        loss = super().forward(batch.views[0]).sum()
        return {"a": loss, "b": loss * (torch.nan if 3 in batch.index else 1)}


def test_the_items_of_the_process_that_has_them_are_named(monkeypatch):
    told = []

    def of_all(value):
        told.append(value)
        return [((), ("0", "1")), value]

    monkeypatch.setattr(divergence, "of_all", of_all)
    batch = Batch(views=(torch.ones(2, 4),), draws=(), index=torch.tensor([2, 3]))
    on = hardware.Hardware(device="cpu", precision="float32", threads=1, loader_threads=0)
    found = divergence.diagnose(Failing(4, 1), batch, on, step=5, ids="abcd")
    assert found.sentence == "the loss of 'b' is not finite at step 5 (items c, d)"
    assert told == [(("b",), ("c", "d"))]


def test_one_of_several_stops_when_all_have_heard_and_never_at_once(monkeypatch):
    monkeypatch.setattr(interruption, "world_size", lambda: 2)
    with interruption.interruptible() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked
        assert not stop.due
        stop.heard = True
        assert stop.due
