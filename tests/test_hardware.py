"""What a run computes in, and when it is not trusted."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from twofold.hardware import Hardware, detect, keep_within_bounds, trusted
from twofold.networks import build_encoder

BF16 = Hardware(device="cpu", precision="bf16", threads=1, loader_threads=0)


def strided(kernel, stride):
    return nn.Conv2d(1, 4, kernel, stride=stride, padding=tuple(k // 2 for k in kernel))


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "precision"),
    [
        ((3, 3), 2, (8, 3), "bf16"),
        ((3, 3), 2, (8, 2), "float32"),
        ((3, 3), 2, (2, 2), "bf16"),
        ((3, 3), 2, (1, 1), "float32"),
        ((3, 3), 1, (8, 1), "bf16"),
        ((1, 9), (1, 4), (1, 4), "bf16"),
        ((1, 9), (1, 4), (1, 3), "float32"),
    ],
)
def test_maps_within_the_stride_are_computed_in_float32(kernel, stride, size, precision):
    assert trusted(BF16, strided(kernel, stride), [(1, *size)]).precision == precision


def test_one_narrow_shape_of_several_is_enough_and_the_network_stays_as_it_is():
    network = nn.Sequential(strided((3, 3), 2), nn.BatchNorm2d(4), strided((3, 3), 2))[:2].train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert trusted(BF16, network, [(1, 8, 8), (1, 8, 1)]).precision == "float32"
    assert network.training
    assert not network[0]._forward_pre_hooks
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["resnet-small", "resnet18", "resnet15", "mlp"])
@pytest.mark.parametrize("size", [8, 28, 32, 40])
def test_networks_of_square_images_keep_bf16(name, size):
    encoder = build_encoder(name, channels=2, image_size=size, width=0.5)
    assert trusted(BF16, encoder, [(2, size, size)]) == BF16


def test_elsewhere_nothing_is_doubted():
    network = strided((3, 3), 2)
    for device, precision in (("cpu", "float32"), ("cuda", "bf16"), ("mps", "bf16")):
        there = Hardware(device=device, precision=precision, threads=1, loader_threads=0)
        assert trusted(there, network, [(1, 8, 1)]) is there


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_computing_and_loader_threads_fill_the_cores(monkeypatch, cores, device):
    monkeypatch.setattr("twofold.hardware.os.sched_getaffinity", lambda process: range(cores))
    found = detect(device=device, precision="float32")
    assert found.threads + found.loader_threads == cores
    assert found.loader_threads == (cores >= (4 if device == "cpu" else 2))
    assert detect(device=device, precision="float32", threads=cores).loader_threads == 0
    asked = detect(device=device, precision="float32", threads=cores, loader_threads=3)
    assert (asked.threads, asked.loader_threads) == (cores, 3)


NARROW = """
import torch
from torch import nn
from twofold.hardware import keep_within_bounds

torch.set_num_threads(1)
narrow = nn.Conv2d(4, 8, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
keep_within_bounds(narrow)
keep_within_bounds(narrow)
assert len(narrow._forward_pre_hooks) == 1
for round in range(20):
    maps = torch.rand(64, 4, 8, 8).to(memory_format=torch.channels_last)
    narrow(maps).square().mean().backward()
    blocks = [torch.rand(1 + (37 * number) % 400) for number in range(200)]
"""


def test_gradients_of_narrow_strided_convolutions_stay_within_their_memory():
    # glibc checks its heap at every call, and aborts.
    checked = {**os.environ, "MALLOC_CHECK_": "3", "LD_PRELOAD": "libc_malloc_debug.so.0"}
    subprocess.run([sys.executable, "-c", NARROW], env=checked, check=True, timeout=300)


def test_only_narrow_strided_convolutions_are_given_other_maps():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(8, 4, 3, stride=2)
    )
    keep_within_bounds(network)
    assert not any(module._forward_pre_hooks for module in network)
