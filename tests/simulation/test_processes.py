"""Work in several processes."""

import math
import multiprocessing
import os
import time

import pytest

from twofold.errors import TwofoldError
from twofold.simulation.processes import in_processes


def test_every_job_is_done():
    found = []
    in_processes(math.factorial, [3, 4, 5], workers=2, done=found.append)
    assert sorted(found) == [6, 24, 120]


def test_no_jobs_start_no_process(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_context", None)
    in_processes(math.factorial, [], workers=2, done=print)


def test_a_process_that_dies_is_told_in_one_line():
    with pytest.raises(TwofoldError, match=r"^a process that simulates died.*to go on[^\n]*$"):
        in_processes(os._exit, [1], workers=1, done=print)


def test_what_is_raised_ends_the_other_processes():
    def stop(result):
        raise KeyboardInterrupt

    others = set(multiprocessing.active_children())
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_processes(time.sleep, [0.0, 60.0], workers=2, done=stop)
    assert time.monotonic() - began < 30
    assert not set(multiprocessing.active_children()) - others
