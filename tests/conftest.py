"""What several parts of the tests need."""

import signal
from contextlib import contextmanager

import pytest

from twofold import train


@pytest.fixture
def interrupted_at(monkeypatch):
    """A context in which training is interrupted at a step, as by Ctrl-C."""

    @contextmanager
    def context(step):
        real, count = train.step, 0

        def interrupted(*args):
            nonlocal count
            count += 1
            if count == step:
                signal.raise_signal(signal.SIGINT)
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(train, "step", interrupted)
            yield
        assert count == step

    return context
