import json
import warnings

import pytest
import torch
from torch import nn

from twofold import TwofoldError
from twofold.balance import Uncertainty
from twofold.checkpoint import (
    checkpoints,
    load_tensors,
    restore,
    save_checkpoint,
    save_tensors,
)
from twofold.optim import Optimizer, build_optimizer, set_learning_rate


def trained(name="sgd", steps=3):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = build_optimizer(Optimizer(name=name), net)
    set_learning_rate(optimizer, 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
    balancer = Uncertainty(["a", "b"])
    for _ in range(steps):
        balancer.backward({name: torch.ones((), requires_grad=True) for name in "ab"})
    return net, optimizer, balancer


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_network_optimiser_and_balancer_come_back_bit_for_bit(tmp_path, name):
    net, optimizer, balancer = trained(name)
    save_checkpoint(tmp_path, net, optimizer, balancer, 3)
    other, other_optimizer, other_balancer = trained(name, steps=1)
    assert restore(tmp_path, other, other_optimizer, other_balancer) == 3
    for saved, copied in ((net, other), (balancer, other_balancer)):
        assert saved.state_dict().keys() == copied.state_dict().keys()
        for key, tensor in saved.state_dict().items():
            assert torch.equal(tensor, copied.state_dict()[key])
    for state, copied in zip(
        optimizer.state_dict()["state"].values(),
        other_optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        assert state.keys() == copied.keys()
        assert all(torch.equal(torch.as_tensor(state[k]), copied[k]) for k in state)


def test_the_newest_two_are_kept(tmp_path):
    everything = trained()
    for step in (1, 5, 20, 100):
        save_checkpoint(tmp_path, *everything, step)
    assert [path.name for path in checkpoints(tmp_path)] == [
        "step-00000020.safetensors",
        "step-00000100.safetensors",
    ]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "facts"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, harm):
    everything = trained()
    save_checkpoint(tmp_path, *everything, 1)
    save_checkpoint(tmp_path, *everything, 2)
    newest = checkpoints(tmp_path)[-1]
    data = bytearray(newest.read_bytes())
    if harm == "cut":
        data = data[: len(data) // 2]
    elif harm == "flip":
        data[-5] ^= 1
    elif harm == "facts":
        data = data.replace(b'\\"step\\": 2', b'\\"step\\": 9')
        assert b": 9" in data
    else:
        data = bytearray()
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="passed over a checkpoint: .* is damaged"):
        assert restore(tmp_path, *everything) == 1


def test_without_checkpoints_training_starts_at_its_beginning(tmp_path):
    assert restore(tmp_path, *trained()) == 0


def test_a_write_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": torch.ones(2)}, {"version": 1})
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match=r"disk full: .*a\.safetensors"):
        save_tensors(path, {"x": torch.zeros(2)}, {"version": 2})
    tensors, facts = load_tensors(path)
    assert tensors["x"].tolist() == [1, 1]
    assert facts == {"version": 1}


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "step-00000001.safetensors"
    torch.save({"x": torch.ones(1)}, path)
    with pytest.raises(TwofoldError, match="is damaged"):
        load_tensors(path)


def test_facts_and_types_survive(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"half": torch.ones(3, dtype=torch.bfloat16), "scalar": torch.tensor(7)}
    save_tensors(path, tensors, {"list": [1, 2.5, None, "ü"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded, facts = load_tensors(path)
    assert loaded["half"].dtype == torch.bfloat16
    assert loaded["scalar"].item() == 7
    assert json.dumps(facts) == json.dumps({"list": [1, 2.5, None, "ü"]})
