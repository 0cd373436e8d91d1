import os
import socket
import subprocess
import sys

import pytest
import torch
from processes import WORLD, results_of
from torch.nn import functional as F

import twofold
from twofold.distributed import (
    average_gradients,
    complete,
    gather,
    make_alike,
    mean,
    of_all,
    of_first,
    own_device,
    rank,
    shares,
    together,
    wait_for_all,
    world_size,
)
from twofold.losses import nt_xent

BATCH = 6


def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, WORLD * BATCH, 5, dtype=torch.float64, generator=generator)
    weight = torch.randn(4, 5, dtype=torch.float64, generator=generator)
    return *inputs.unbind(), weight


def gradient_on(number, results):
    """One rank's gradient, averaged over ranks."""
    first, second, weight = data()
    weight.requires_grad_()
    mine = slice(number * BATCH, (number + 1) * BATCH)
    assert (rank(), world_size()) == (number, WORLD)
    assert mean(torch.tensor([number, 3.0])).tolist() == [0.5, 3.0]
    embeddings = [gather(F.linear(view[mine], weight)) for view in (first, second)]
    loss = nt_xent(*embeddings, temperature=0.3)
    loss.backward()
    parameter = torch.nn.Parameter(weight)
    parameter.grad = weight.grad
    average_gradients([torch.nn.Parameter(torch.ones(1)), parameter])  # one has none
    results[number] = (loss.item(), weight.grad.tolist())
    assert of_first(lambda: number) == 0
    assert of_all(number) == [0, 1]
    module = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(module.weight, number)
    make_alike(module)
    assert not module.weight.any()
    parts = shares(5, 2)
    assert parts == [range(2), range(2, 5)]
    rows = torch.zeros(5, 3)
    rows[parts[number].start : parts[number].stop] = number + 1
    assert complete(rows, parts)[:, 0].tolist() == [1, 1, 2, 2, 2]
    nothing = torch.empty(0)  # of a process that has no part
    assert complete(nothing if number else rows, [range(5), range(5, 5)])[0].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_two_processes_have_the_loss_and_gradient_of_the_whole_batch():
    results = results_of(gradient_on)
    first, second, weight = data()
    weight.requires_grad_()
    loss = nt_xent(F.linear(first, weight), F.linear(second, weight), temperature=0.3)
    loss.backward()
    for number in range(WORLD):
        value, gradient = results[number]
        assert value == pytest.approx(loss.item(), rel=1e-12)
        assert torch.allclose(torch.tensor(gradient, dtype=torch.float64), weight.grad, rtol=1e-10)


def test_one_process_gathers_its_own():
    rows = torch.ones(2, 3)
    assert gather(rows) is rows
    assert mean(rows) is rows
    assert (rank(), world_size()) == (0, 1)


def test_processes_that_do_not_meet_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(twofold.TwofoldError, match="start them with torchrun"):
        twofold.pretrain("simclr", data="digits", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_one_process_is_together_with_itself():
    with together():
        assert (rank(), world_size()) == (0, 1)
        wait_for_all()
        assert own_device("cuda") == "cuda"


DIES = """
import os, sys
from twofold.distributed import rank, together, wait_for_all
with together():
    if rank() == 1:
        os._exit(9)
    wait_for_all()
"""


@pytest.mark.slow
def test_a_process_that_dies_leaves_none_waiting():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    surroundings = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DIES],
            env={**surroundings, "MASTER_PORT": str(port), "RANK": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert processes[1].returncode == 9
    assert "LostError: another process ended before its work was done" in said[0]
