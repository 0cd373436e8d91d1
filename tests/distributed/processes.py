"""Two processes that find each other, as `torchrun` starts them but without its own."""

import os
import socket
import subprocess
import sys

import torch
from torch import multiprocessing

WORLD = 2


def results_of(work):
    """What `work(rank, results)` puts into `results` on each rank, joined by gloo."""
    with multiprocessing.get_context("spawn").Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(_joined, (_free_port(), work, results), nprocs=WORLD)
        return dict(results)


def _joined(number, port, work, results):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=number, world_size=WORLD)
    work(number, results)
    torch.distributed.destroy_process_group()


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(*words, world=WORLD):
    """Python with these arguments, once for each rank."""
    port = _free_port()
    found = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**found, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(world)
    ]


def ended(processes, timeout=100):
    """Of each its exit status, and what it wrote to standard output and to standard error."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


def run(*words):
    """Both ran these arguments to their end."""
    return ended(start(*words))
