"""Batches in parts: the gradients of one batch, and what BatchNorm makes of them."""

import copy
import dataclasses
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import twofold
from twofold import Method, TwofoldError
from twofold.adapters import adapt
from twofold.balance import build_balancer
from twofold.balance.settings import Balance
from twofold.cli import main
from twofold.folder import read_metrics
from twofold.gradient_cache import check_norms
from twofold.method import Aligned
from twofold.networks import build_encoder
from twofold.objectives import (
    BYOL,
    BarlowTwins,
    Batch,
    ConCerNet,
    InfoNCE,
    Known,
    Parts,
    Siamese,
    SimCLR,
    SimSiam,
    SupCon,
    Supervised,
    Unfolded,
    VICReg,
)

ITEMS, PARTS, SIZE = 24, 4, (3, 4, 4)
KNOWN = Known(items=100, classes=3)
WIDE = {"projector": (16, 8)}


class Net(nn.Module):
    """Two layers with `between` them, in float64 as all here."""

    num_features = 6

    def __init__(self, between=None):
        super().__init__()
        self.first, self.between = nn.Linear(48, 10), between or nn.GroupNorm(2, 10)
        self.second = nn.Linear(10, 6)

    def forward(self, images):
        return self.second(torch.tanh(self.between(self.first(images.flatten(1)))))


def method_of(objectives, network=None, **settings):
    torch.manual_seed(0)
    network = Net() if network is None else network
    return Method(network, objectives, known=KNOWN, **settings).double()


def batch_of(views=2, items=ITEMS, size=SIZE):
    torch.manual_seed(1)
    return Batch(
        views=tuple(torch.randn(items, *size).double() for _ in range(views)),
        draws=tuple({"turn": {"applied": np.arange(items) % 2}} for _ in range(views)),
        index=torch.arange(items),
        labels=torch.arange(items) % 3,
    )


def in_parts(batch, count=PARTS, batch_norm=None):
    def part(rows):
        return Batch(
            views=tuple(view[rows] for view in batch.views),
            draws=tuple(
                {name: {key: of[rows] for key, of in one.items()} for name, one in draw.items()}
                for draw in batch.draws
            ),
            index=batch.index[rows],
            labels=batch.labels[rows],
        )

    size = len(batch) // count
    rows = [slice(number * size, (number + 1) * size) for number in range(count)]
    parts = tuple(partial(part, one) for one in rows)
    return Parts(parts=parts, index=batch.index, batch_norm=batch_norm)


def learned(method, batch, balance="weighted"):
    """Losses and gradients by name, from a copy of the method as the seed has it."""
    method = copy.deepcopy(method)
    torch.manual_seed(5)
    names = list(method.objectives)
    layer = method.shared_layer()[1] if len(names) > 1 else None
    settings = Balance(name=balance)
    shared = method.shared_parameters()
    balancer = build_balancer(settings, names, layer=layer, shared=shared).double()
    losses = method(batch)
    balancer.backward(losses)
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in losses.items()}, gradients, method


def assert_equal(found, expected, atol=1e-10):
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=atol)


@pytest.mark.parametrize(
    ("objective", "views"),
    [
        (SimCLR(**WIDE), 2),
        (SimCLR(**WIDE, norm=True), 2),
        (InfoNCE(**WIDE), 2),
        (SupCon(**WIDE), 2),
        (BarlowTwins(**WIDE), 2),
        (VICReg(**WIDE), 2),
        (Unfolded(), 2),
        (SimSiam(projector=(16, 16), predictor=(4,)), 2),
        (Siamese(), 2),
        (ConCerNet(members=3), 3),
        (Supervised(), 1),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value),
)
@pytest.mark.parametrize("encode", ["joint", "separate"])
def test_losses_and_gradients_are_those_of_one_batch(objective, views, encode):
    method, batch = method_of({"contrast": objective}, encode=encode), batch_of(views)
    losses, gradients, _ = learned(method, batch)
    for count in (2, PARTS):
        found = learned(method, in_parts(batch, count))
        assert_equal(found[0], losses)
        assert_equal(found[1], gradients)


@pytest.mark.parametrize("balance", ["weighted", "gradnorm", "uncertainty", "dwa", "random"])
def test_every_balancer_moves_the_weights_as_for_one_batch(balance):
    objectives = {"contrast": SimCLR(**WIDE), "classes": Supervised()}
    method, batch = method_of(objectives), batch_of()
    losses, gradients, _ = learned(method, batch, balance)
    found = learned(method, in_parts(batch), balance)
    assert_equal(found[0], losses)
    assert_equal(found[1], gradients)


def test_gradients_are_combined_as_for_one_batch():
    pytest.importorskip("torchjd")
    objectives = {"contrast": SimCLR(**WIDE), "classes": Supervised()}
    method, batch = method_of(objectives), batch_of()
    torch.manual_seed(0)
    _, gradients, _ = learned(method, batch, "mgda")
    assert_equal(learned(method, in_parts(batch), "mgda")[1], gradients, atol=1e-9)


def test_routes_have_the_gradients_of_one_batch():
    network = build_encoder("resnet15", channels=3, image_size=16, width=0.25)
    objectives = {"contrast": SimCLR(**WIDE), "aside": SimCLR(**WIDE, route="sensitive")}
    method, batch = method_of(objectives, adapt(network)), batch_of(size=(3, 16, 16))
    losses, gradients, _ = learned(method, batch)
    found = learned(method, in_parts(batch))
    assert_equal(found[0], losses)
    assert_equal(found[1], gradients)


def test_what_is_known_of_items_comes_with_their_features():
    batch = batch_of()
    encoded = method_of({"contrast": SimCLR(**WIDE)}).encoded(in_parts(batch))[None]
    assert torch.equal(encoded.index, batch.index)
    assert torch.equal(encoded.labels, batch.labels)
    assert [list(draw["turn"]["applied"]) for draw in encoded.draws] == [[0, 1] * 12] * 2


def by_hand(method, batch, encode, count=PARTS):
    """Loss and gradients where `encode` maps both views of each part to features."""
    method = copy.deepcopy(method)
    torch.manual_seed(5)
    parts = [one() for one in in_parts(batch, count).parts]
    pairs = [encode(method.encoder, torch.cat(part.views)).chunk(2) for part in parts]
    first, second = (torch.cat(view) for view in zip(*pairs, strict=True))
    loss = SimCLR(**WIDE).loss(
        method.heads["contrast"],
        dataclasses.replace(method.encoded(batch)[None], features=(first, second)),
    )
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in method.named_parameters()}


def test_dropout_is_the_same_where_a_part_is_encoded_again():
    method, batch = method_of({"contrast": SimCLR(**WIDE)}, Net(nn.Dropout(0.5))), batch_of()
    loss, gradients = by_hand(method, batch, lambda encoder, views: encoder(views))
    found = learned(method, in_parts(batch))
    assert_equal(found[0], {"contrast": loss})
    assert_equal(found[1], gradients)
    assert not torch.equal(loss, learned(method, batch)[0]["contrast"])


def with_norm():
    """A method whose encoder has BatchNorm, with running statistics that say something."""
    method = method_of({"contrast": SimCLR(**WIDE)}, Net(nn.BatchNorm1d(10)))
    method.encoder(torch.randn(50, *SIZE).double() * 2 + 1)
    return method


def statistics(method):
    norm = method.encoder.between
    return {name: value.clone() for name, value in norm.named_buffers()}


def test_group_divides_each_part_by_its_own_statistics_which_count_once():
    method, batch = with_norm(), batch_of()
    loss, gradients = by_hand(method, batch, lambda encoder, views: encoder(views))
    losses, found, after = learned(method, in_parts(batch, batch_norm="group"))
    assert_equal(losses, {"contrast": loss})
    assert_equal(found, gradients)
    for part in in_parts(batch).parts:
        method.encoder(torch.cat(part().views))
    assert_equal(statistics(after), statistics(method))


def test_frozen_divides_by_running_statistics_and_leaves_them():
    method, batch = with_norm(), batch_of()
    method.encoder.between.eval()
    expected = learned(method, batch)
    method.encoder.between.train()
    losses, gradients, after = learned(method, in_parts(batch, batch_norm="frozen"))
    assert_equal(losses, expected[0])
    assert_equal(gradients, expected[1])
    assert_equal(statistics(after), statistics(method), atol=0)
    assert after.encoder.between.training


def test_two_pass_divides_by_the_statistics_of_all_items():
    method, batch = with_norm(), batch_of()
    with torch.no_grad():
        inputs = method.encoder.first(torch.cat(batch.views).flatten(1))
    variance, mean = torch.var_mean(inputs, dim=0, correction=0)

    def encode(encoder, views):
        norm = encoder.between
        entered = encoder.first(views.flatten(1))
        divided = F.batch_norm(entered, mean, variance, norm.weight, norm.bias, eps=norm.eps)
        return encoder.second(torch.tanh(divided))

    loss, gradients = by_hand(method, batch, encode)
    losses, found, after = learned(method, in_parts(batch, batch_norm="two-pass"))
    assert_equal(losses, {"contrast": loss})
    assert_equal(found, gradients)
    method.encoder(torch.cat(batch.views))  # one batch moves the running statistics as far
    assert_equal(statistics(after), statistics(method))
    assert_equal(losses, learned(method, batch)[0])  # and has the same loss, but no such gradient


def test_two_pass_in_bf16_reaches_every_weight():
    """Its first pass has no gradients, nor may the weights in bf16 that the second finds kept."""
    torch.manual_seed(0)
    method, batch = with_norm(), batch_of()
    exact = learned(method, in_parts(batch, batch_norm="two-pass"))[1]
    single = dataclasses.replace(batch, views=tuple(view.float() for view in batch.views))
    with torch.autocast("cpu", torch.bfloat16):
        found = learned(method.float(), in_parts(single, batch_norm="two-pass"))[1]
    assert found.keys() == exact.keys()
    for name, gradient in exact.items():
        assert (found[name] - gradient).norm() < 0.2 * gradient.norm(), name


def test_two_pass_measures_each_call_of_a_norm_by_itself():
    """Views that are encoded one by one are divided each by statistics of its own."""
    method, batch = with_norm(), batch_of()
    method.encode = "separate"
    losses, _, after = learned(method, in_parts(batch, batch_norm="two-pass"))
    plain, _, expected = learned(method, batch)
    assert_equal(losses, plain)
    assert_equal(statistics(after), statistics(expected))


def test_views_are_made_again_and_held_a_part_at_a_time():
    made, alive, most = [], weakref.WeakSet(), []
    batch = in_parts(batch_of(items=64), 16)

    def watched(number):
        made.append(number)
        part = batch.parts[number]()
        views = tuple(view.clone() for view in part.views)
        alive.update(views)
        most.append(len(alive))
        return dataclasses.replace(part, views=views)

    numbers = range(len(batch.parts))
    watching = dataclasses.replace(batch, parts=tuple(partial(watched, n) for n in numbers))
    learned(method_of({"contrast": SimCLR(**WIDE)}), watching)
    assert made == [*numbers, *reversed(numbers[:-1])]  # the last part is encoded but once
    assert max(most) == 2  # the views of one part


def test_one_line_says_what_batch_norm_can_be():
    norm = Net(nn.BatchNorm1d(10))
    with pytest.raises(TwofoldError, match=r"'frozen', 'group' or 'two-pass'"):
        check_norms(norm, None)
    with pytest.raises(TwofoldError, match="the encoder has no BatchNorm"):
        check_norms(Net(), "group")
    with pytest.raises(TwofoldError, match="keeps no running statistics"):
        check_norms(Net(nn.BatchNorm1d(10, track_running_stats=False)), "frozen")


def test_objectives_that_read_views_are_refused_by_name():
    method = method_of({"contrast": BYOL(projector=(8, 8), predictor=(8,))})
    with pytest.raises(TwofoldError, match=r"objective 'contrast' \(BYOL\) reads the views"):
        method(in_parts(batch_of()))


IMAGES = np.random.default_rng(0).integers(0, 256, (70, 1, 12, 12), dtype=np.uint8)


def train(folder, encoder="resnet15", **changes):
    given = {"batch_size": 8, "effective_batch": 32, "width": 0.25, "threads": 1, "epochs": 3}
    data = {"data": IMAGES, "test_fraction": 0.1, "precision": "float32"}
    given |= {"encoder": encoder, "quiet": True, **data, **changes}
    twofold.pretrain("simclr", out=folder, **given)
    return load_file(folder / "encoder.safetensors")


def steps_of(folder):
    return [line for line in read_metrics(folder) if line["kind"] == "step"]


def test_a_run_in_parts_is_the_run_of_the_whole_batch(tmp_path):
    """The same items a step, rates, bounds and negatives; float32 rounds in another order."""
    train(tmp_path / "parts")
    train(tmp_path / "whole", batch_size=32, effective_batch=None)
    parts, whole = (steps_of(tmp_path / name) for name in ("parts", "whole"))
    assert len(parts) == len(whole) == 3 * (63 // 32)
    for one, other in zip(parts, whole, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        for name in ("lr", "chance", "floor", "step", "epoch"):
            assert one[name] == other[name]
    configs = [twofold.Run(tmp_path / name).config for name in ("parts", "whole")]
    assert configs[0].found["negatives"] == configs[1].found["negatives"] == {"contrast": 62}


@pytest.mark.parametrize("batch_norm", ["group", "two-pass"])
def test_loader_threads_change_no_bit(tmp_path, batch_norm):
    runs = [
        train(tmp_path / str(n), "resnet-small", batch_norm=batch_norm, loader_threads=n)
        for n in (0, 2)
    ]
    for name, tensor in runs[0].items():
        assert torch.equal(runs[1][name], tensor), name


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, interrupted_at):
    whole = train(tmp_path / "whole", "resnet-small", batch_norm="group", epochs=5)
    with interrupted_at(3), pytest.raises(FileNotFoundError):
        train(tmp_path / "stopped", "resnet-small", batch_norm="group", epochs=5)
    twofold.resume(tmp_path / "stopped", data=IMAGES, quiet=True)
    for name, tensor in load_file(tmp_path / "stopped" / "encoder.safetensors").items():
        assert torch.equal(whole[name], tensor), name


def test_a_step_that_diverges_is_named_and_left_out(tmp_path, monkeypatch):
    """As of one batch: its items are named, and those of the next steps are what they were."""
    real = SimCLR.loss

    def sometimes(self, heads, batch):
        loss = real(self, heads, batch)
        return loss * float("nan") if len(shown) < 2 and not shown.append(batch.index) else loss

    shown = []
    monkeypatch.setattr(SimCLR, "loss", sometimes)
    train(tmp_path / "run", not_finite="skip")
    lines = read_metrics(tmp_path / "run")
    skipped = [line for line in lines if line["kind"] == "skipped"]
    assert [line["step"] for line in skipped] == [1]
    assert len(skipped[0]["ids"]) == 32
    assert [line["step"] for line in steps_of(tmp_path / "run")] == [2, 3]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"effective_batch": 20}, "effective_batch is 20; it must be a multiple of batch_size"),
        ({"effective_batch": 8}, "effective_batch is 8; it must be a multiple of batch_size"),
        ({"effective_batch": 128}, "effective_batch is 128, but there are 63 items"),
        ({"effective_batch": None, "batch_norm": "group"}, "batch_norm is 'group', but each step"),
        ({"batch_norm": "frozen"}, "the encoder has no BatchNorm"),
        ({"encoder": "resnet-small"}, "say with batch_norm by which"),
    ],
)
def test_one_line_refuses_what_cannot_be(tmp_path, changes, finding):
    with pytest.raises(TwofoldError, match=finding):
        train(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_two_sources_are_trained_on_whole_batches():
    sides = (method_of({"contrast": InfoNCE(**WIDE)}) for _ in range(2))
    with pytest.raises(TwofoldError, match="leave effective_batch out"):
        Aligned(*sides).check_parts(None)


def test_the_command_line_says_what_batch_norm_does(tmp_path, capsys):
    np.save(tmp_path / "images.npy", IMAGES)
    flags = "--batch-size 8 --effective-batch 32 --batch-norm two-pass --epochs 1 --width 0.25"
    data = ["--data", str(tmp_path / "images.npy"), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "simclr", *data, "--encoder", "resnet-small", *flags.split()])
    assert end.value.code == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "of batch 32 in parts of 8" in said
    assert "BatchNorm divides by statistics of all 32 items" in said
