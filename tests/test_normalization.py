"""BatchNorm over processes: statistics, gradients and state of one batch."""

import copy

import pytest
import torch
from processes import WORLD, results_of
from torch import nn

from twofold import TwofoldError, distributed, normalization
from twofold.normalization import across_processes, follow, moments, over_all

ROWS = 6


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.BatchNorm2d(4, affine=False),
        nn.Unflatten(1, (4, 1)),
        nn.BatchNorm3d(4, track_running_stats=False),
        nn.Flatten(),
        nn.Linear(16, 5),
        nn.BatchNorm1d(5, momentum=None),
    ).double()


def items():
    generator = torch.Generator().manual_seed(1)
    images = 3 + torch.randn(WORLD * ROWS, 3, 6, 6, dtype=torch.float64, generator=generator)
    return images, torch.randn(WORLD * ROWS, 5, dtype=torch.float64, generator=generator)


def learned(net, images, weights):
    """Two steps' gradients, and what the norms remember."""
    for _ in range(2):
        net.zero_grad()
        (net(images) * weights).sum(dim=1).mean().backward()
    distributed.average_gradients(net.parameters())
    gradients = {name: weight.grad for name, weight in net.named_parameters()}
    return gradients | dict(net.named_buffers())


def on_process(number, results):
    net = network()
    across_processes(net)
    net = copy.deepcopy(net)  # as BYOL's target is
    across_processes(net)
    assert list(net.state_dict()) == list(network().state_dict())
    assert sum(isinstance(norm, nn.modules.batchnorm._BatchNorm) for norm in net) == 4
    images, weights = items()
    mine = slice(number * ROWS, (number + 1) * ROWS)
    found = learned(net, images[mine], weights[mine])
    found["read"] = net.eval()(images).detach()
    with torch.autocast("cpu"):
        half = copy.deepcopy(net).float().train()[:2](images[mine].float())
    assert half.dtype == torch.bfloat16
    results[number] = {name: tensor.tolist() for name, tensor in found.items()}


@pytest.mark.slow
def test_two_processes_normalise_as_one():
    results = results_of(on_process)
    net = network()
    expected = learned(net, *items())
    expected["read"] = net.eval()(items()[0]).detach()
    for found in results.values():
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            there = torch.tensor(found[name], dtype=tensor.dtype)
            torch.testing.assert_close(there, tensor, rtol=1e-10, atol=1e-12)


def test_one_process_has_torch_own_norms():
    net = network()
    across_processes(net)
    assert [type(layer) for layer in net] == [type(layer) for layer in network()]


class Own(nn.BatchNorm2d):
    pass


def test_norms_that_might_divide_by_something_else_are_refused(monkeypatch):
    monkeypatch.setattr(normalization, "world_size", lambda: 2)
    with pytest.raises(TwofoldError, match=r"^1 is a Own, a BatchNorm of its own kind"):
        across_processes(nn.Sequential(nn.ReLU(), Own(3)))
    synchronised = nn.Sequential(nn.SyncBatchNorm(3))
    across_processes(synchronised)
    assert type(synchronised[0]) is nn.SyncBatchNorm


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_moments_of_shares_are_those_of_all(layout):
    torch.manual_seed(0)
    values = (100 + torch.randn(12, 3, 5, 4, dtype=torch.float64)).to(memory_format=layout)
    means, variances, sizes = zip(*map(moments, values.chunk(3)), strict=True)
    mean, variance = over_all(torch.stack(means), torch.stack(variances))
    assert sizes == (80, 80, 80)
    torch.testing.assert_close(mean, values.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(variance, values.var(dim=(0, 2, 3), correction=0))
    norm, own = nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    norm(values)
    follow(own, mean, variance, 240)
    torch.testing.assert_close(own.state_dict(), norm.state_dict())
