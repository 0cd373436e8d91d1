"""Memory that a process keeps for its next batch."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from twofold.allocation import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
kept = keep_memory()
faults()
print(int(kept), faults())
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is for glibc")


def kept(**environment):
    """Whether memory is kept in a new process, and its new pages in ten rounds of 64 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=-1, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_what_was_freed_serves_again():
    (keeps, pages), (leaves, others) = kept(), kept(MALLOC_ARENA_MAX="4")
    assert keeps
    assert not leaves  # an environment that says how to allocate is obeyed
    assert pages < others / 4
