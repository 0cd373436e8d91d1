"""What a training spends its time on, and what there is to do about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

from twofold.distributed import rank
from twofold.folder import PROFILE, write_atomically
from twofold.hardware import Hardware

P = ParamSpec("P")
T = TypeVar("T")

VIEWS, ENCODER, LOSSES, BACKWARD = "views", "encoder", "losses", "backward"
OPTIMIZER, MONITOR, CHECKPOINTS, LOG, REST = "optimizer", "monitor", "checkpoints", "log", "rest"

PARTS = {
    VIEWS: "waiting for views",
    ENCODER: "encoder, forwards",
    LOSSES: "heads and losses, forwards",
    BACKWARD: "backwards",
    OPTIMIZER: "optimiser",
    MONITOR: "monitoring",
    CHECKPOINTS: "checkpoints",
    LOG: "log and display",
    REST: "everything else",
}
"""What a training does, in the words of its table."""

_QUEUED = (VIEWS, ENCODER, LOSSES, BACKWARD, OPTIMIZER)  # what a GPU may do behind the others
_SAMPLED = 10  # of so many steps on a GPU one is timed: to wait for its parts slows it
_OVERHEAD = 0.25  # share from which what computes no gradient is worth looking at first


class Profile:
    """Seconds of each part of a training.

    Parts may lie in one another, and count what they take without the parts in them.

    Args:
        clock: Gives the time in seconds.

    Example:
        >>> ticks = iter(range(9))
        >>> profile = Profile(clock=lambda: next(ticks))
        >>> with profile.part("losses"), profile.part("encoder"):
        ...     pass
        >>> profile.seconds["losses"], profile.seconds["encoder"]
        (2.0, 1.0)
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.ahead = 0.0
        """CPU seconds of the threads that prepare batches ahead."""
        self.steps = 0
        self.hardware: Hardware | None = None
        self._clock, self._mark = clock, 0.0
        self._open: list[str] = []
        self._unsampled = 0.0
        self._thread, self._lock = get_ident(), Lock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A block that is a part of the training, in the thread that trains."""
        if get_ident() != self._thread:
            yield
            return
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def training(self, encoders: Iterable[nn.Module], hardware: Hardware) -> Iterator[None]:
        """A block that trains; `encoders` are told apart from what lies around them."""
        self.hardware = hardware
        hooks = []
        for encoder in encoders:
            hooks.append(encoder.register_forward_pre_hook(self._before_encoder))
            hooks.append(encoder.register_forward_hook(self._after_encoder, always_call=True))
        try:
            with self.part(REST):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """A block of a thread that prepares batches ahead."""
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.ahead += time.thread_time() - began

    def found(self) -> dict[str, Any]:
        """Seconds and share of each part, and what they say, as `profile.json` holds them."""
        timed = sum(self.seconds[name] for name in _QUEUED)
        more = 1 + self._unsampled / timed if timed else 1.0
        seconds = {name: s * (more if name in _QUEUED else 1) for name, s in self.seconds.items()}
        total = sum(seconds.values())
        shares = {name: one / total if total else 0.0 for name, one in seconds.items()}
        return {
            "steps": self.steps,
            "seconds": round(total, 3),
            "parts": {
                name: {"seconds": round(seconds[name], 3), "share": round(shares[name], 4)}
                for name in PARTS
            },
            "prepared_ahead_cpu_seconds": round(self.ahead, 3),
            "sentence": bottleneck(shares, self.hardware),
        }

    def _enter(self, name: str) -> None:
        self._count()
        self._open.append(name)

    def _leave(self) -> None:
        self._count()
        if self._open.pop() == OPTIMIZER:
            self.steps += 1

    def _count(self) -> None:
        """Gives the time since the last call to the part that is open."""
        gpu = self.hardware is not None and self.hardware.device.startswith("cuda")
        sampled = not gpu or self.steps % _SAMPLED == 0
        if gpu and sampled:
            torch.cuda.synchronize()
        now = self._clock()
        if self._open:
            spent, name = now - self._mark, self._open[-1]
            if sampled or name not in _QUEUED:
                self.seconds[name] += spent
            else:
                self._unsampled += spent
        self._mark = now

    def _before_encoder(self, *_: object) -> None:
        if get_ident() == self._thread and self._open:
            around = self._open[-1]  # a monitor's use of an encoder is the monitor's
            self._enter(ENCODER if around == LOSSES else around)

    def _after_encoder(self, *_: object) -> None:
        if get_ident() == self._thread and len(self._open) > 1:
            self._leave()


_running: list[Profile] = []


@contextmanager
def profiled(folder: Path, *, on: bool = True) -> Iterator[Profile | None]:
    """A block whose trainings are profiled if `on`; at its end `profile.json` is written."""
    if not on:
        yield None
        return
    profile = Profile()
    _running.append(profile)
    try:
        yield profile
    finally:
        _running.remove(profile)
    if rank() == 0 and profile.steps:
        text = json.dumps(profile.found(), indent=2) + "\n"
        write_atomically(folder / PROFILE, text.encode())


def part(name: str) -> AbstractContextManager[None]:
    """A block that a profile counts as a part of the training, where there is a profile."""
    return _running[-1].part(name) if _running else nullcontext()


def counted(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Makes all of a function such a part."""

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def in_part(*args: P.args, **kwargs: P.kwargs) -> T:
            with part(name):
                return function(*args, **kwargs)

        return in_part

    return wrap


def training(encoders: Iterable[nn.Module], hardware: Hardware) -> AbstractContextManager[None]:
    """As of `Profile`, where there is one."""
    return _running[-1].training(encoders, hardware) if _running else nullcontext()


def preparing() -> AbstractContextManager[None]:
    """As of `Profile`, where there is one."""
    return _running[-1].preparing() if _running else nullcontext()


def bottleneck(shares: Mapping[str, float], hardware: Hardware | None = None) -> str:
    """What takes most of what could be saved, and how it is saved, in one sentence.

    Time in which no gradient is computed comes first if it is a quarter of the whole.

    Args:
        shares: Share of each part in the time of the training, by its name in `PARTS`.
        hardware: What it was computed on.

    Example:
        >>> bottleneck({"views": 0.1, "monitor": 0.5, "encoder": 0.4})
        'monitoring is the bottleneck (50 % of the time): raise --monitor-every'
    """
    overheads = (VIEWS, MONITOR, CHECKPOINTS, LOG, REST)
    first = max(overheads, key=lambda name: shares.get(name, 0.0))
    if shares.get(first, 0.0) < _OVERHEAD:
        first = max((ENCODER, LOSSES, OPTIMIZER), key=lambda name: shares.get(name, 0.0))
    percent = f"{100 * shares.get(first, 0.0):.0f} %"
    if first == VIEWS:
        return (
            f"views are the bottleneck ({percent} of the time is spent waiting for them): "
            + _faster_views(hardware)
        )
    if first == ENCODER:
        computed = sum(shares.get(name, 0.0) for name in (ENCODER, BACKWARD))
        return (
            f"the encoder is the bottleneck ({100 * computed:.0f} % of the time, forwards and "
            f"backwards): {_faster_encoder(hardware)}"
        )
    return {
        LOSSES: f"heads and losses are the bottleneck ({percent} of the time before gradients): "
        "lower --batch-size, or train fewer objectives",
        OPTIMIZER: f"the optimiser is the bottleneck ({percent} of the time): raise --batch-size, "
        "which takes fewer steps",
        MONITOR: f"monitoring is the bottleneck ({percent} of the time): raise --monitor-every",
        CHECKPOINTS: f"checkpoints are the bottleneck ({percent} of the time): raise "
        "--checkpoint-seconds, or choose a faster disk for --out",
        LOG: f"the log is the bottleneck ({percent} of the time): leave --track out, or choose a "
        "faster disk for --out",
        REST: f"no part is the bottleneck ({percent} of the time lies between them): raise "
        "--batch-size, which takes fewer steps",
    }[first]


def _faster_views(hardware: Hardware | None) -> str:
    ways = []
    if hardware is not None:
        ahead = hardware.loader_threads
        ways.append(f"--loader-threads {ahead + 1}")
        if hardware.threads > 1 and hardware.device == "cpu":
            ways[0] += f" --threads {hardware.threads - 1}"
    if find_spec("numba") is None:
        ways.append('pip install "twofold[fast]"')
    return ", ".join([*ways, "or smaller views (--image-size)"])


def _faster_encoder(hardware: Hardware | None) -> str:
    ways = ["a smaller --encoder", "smaller views (--image-size)"]
    if hardware is not None and hardware.precision == "float32":
        ways.append("--precision bf16 where it is native")
    if hardware is None or hardware.device == "cpu":
        ways.append("a GPU")
    return f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
