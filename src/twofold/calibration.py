"""The fastest way to compute a run on this machine: measured when it begins, and kept."""

from __future__ import annotations

import copy
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from twofold.config import Config, Settings, to_plain
from twofold.distributed import world_size
from twofold.domains.cache import cache_folder, key_of
from twofold.errors import TwofoldError
from twofold.folder import write_atomically
from twofold.hardware import Hardware
from twofold.loader import Loader
from twofold.method import Method
from twofold.optim import build_optimizer, set_learning_rate
from twofold.plain import plain_from_json
from twofold.train import make_ready, new_balancer, step, threads_of_torch

_FEWEST_STEPS = 100  # a run of fewer is over before it pays
_SHORTEST = 60.0  # seconds of a run that is worth it
_BUDGET, _BUDGET_SHARE = 5.0, 0.01  # seconds it may take, or what share of the run if that is more
_ROUNDS = 3  # in which ways are timed in turn, for machines are not equally fast all the time
_GAIN = 1.1  # how many times faster another way must be
_STEPS, _STEPS_OF_LOADER = 2, 16  # a loader's first batches say nothing of those that follow
_CHOSEN = ("precision", "memory_format", "threads", "loader_threads")

Seconds = Callable[[Hardware, int], float]
"""Times that many steps computed in a way, after one that is not timed; seconds a step."""
Way = Mapping[str, Any]
"""Fields of `Hardware` that another way has."""


def calibrate(
    whole: Config, hardware: Hardware, method: Method, feed: Callable[[Hardware], Loader]
) -> tuple[Hardware, tuple[str, ...]]:
    """The fastest way to compute a run, and what there is to say of it.

    Nothing is measured in runs that are resumed, short, of several processes or in parts, nor with
    `tune` off, nor while the machine is busy: what other programs slow down says nothing. What was
    chosen is kept in the cache: the same run computes the same bits again.

    Args:
        whole: The run.
        hardware: How it would compute otherwise.
        method: What is trained; left as it is.
        feed: Gives its batches for a way to compute.
    """
    recipe, settings = whole.recipe, whole.settings
    loader = feed(hardware)
    steps = recipe.epochs * loader.steps_per_epoch
    if (
        settings.tune == "off"
        or "hardware" in whole.found
        or world_size() > 1
        or recipe.effective_batch is not None
        or steps < _FEWEST_STEPS
    ):
        return hardware, ()
    network = {name: list(value.shape) for name, value in method.state_dict().items()}
    reads = [*loader.items.shape[1:], loader.view_size(0), loader.view_size(steps - 1)]
    described = to_plain([recipe, replace(settings, seed=0), hardware, network, reads, steps])
    key = key_of([machine(), described])
    try:
        kept = cache_folder() / f"calibration-{key}.json"
    except TwofoldError:
        return hardware, ()  # it would compute other bits the next time
    held = _read(kept)
    if held is None and _is_busy():
        return hardware, ()
    if held is None:
        seconds = Trial(method, whole, feed)
        chosen, sentence = fastest(hardware, ways(hardware, settings), seconds, steps)
        held = {"chosen": {name: getattr(chosen, name) for name in _CHOSEN}, "sentence": sentence}
        if sentence:  # something was measured
            write_atomically(kept, (json.dumps(held, indent=2) + "\n").encode())
    said = (held["sentence"],) if held["sentence"] else ()
    return replace(hardware, **held["chosen"]), said


def ways(hardware: Hardware, settings: Settings) -> list[list[Way]]:
    """What is compared with a way to compute, one after the other: alternatives of each choice.

    What the user has settled is no choice. Threads are as many in every way, however divided
    between computing and the loader.

    Example:
        >>> plain = Hardware(device="cpu", precision="float32", threads=2, loader_threads=1)
        >>> ways(plain, Settings(threads=2))
        [[{'memory_format': 'contiguous'}]]
    """
    found: list[list[Way]] = []
    if settings.precision == "auto" and hardware.precision == "bf16":
        found.append([{"precision": "float32"}])
    found.append([{"memory_format": "contiguous"}])
    free = settings.threads is None and settings.loader_threads is None
    computing, ahead = hardware.threads, hardware.loader_threads
    if free and hardware.device == "cpu" and computing + ahead > 1:
        moved = 1 if ahead else -1
        found.append([{"threads": computing + moved, "loader_threads": ahead - moved}])
    return found


def fastest(
    hardware: Hardware,
    choices: Sequence[Sequence[Way]],
    seconds: Seconds,
    steps: int,
) -> tuple[Hardware, str]:
    """The way to compute that takes the fewest seconds a step, and the sentence that says so.

    Another way is taken only if it is faster in every round and 1.1 times in their median; choices
    whose measuring would take too large a share of the run are not made.

    Args:
        hardware: The way that is kept if nothing is faster.
        choices: As `ways` gives them.
        seconds: Times a way.
        steps: Of the run.

    Example:
        >>> slow = Hardware(device="cpu", precision="bf16", threads=1, loader_threads=0)
        >>> taken = {"bf16": 2.0, "float32": 1.0}
        >>> best, said = fastest(
        ...     slow, [[{"precision": "float32"}]], lambda on, _: taken[on.precision], 9000
        ... )
        >>> best.precision, said
        ('float32', 'measured: float32 2.00 times as fast, taken; --tune off keeps the default')
    """
    once = seconds(hardware, 1)
    left = max(_BUDGET, _BUDGET_SHARE * steps * once)
    if steps * once < _SHORTEST:
        return hardware, ""
    said = []
    for choice in choices:
        count = _STEPS_OF_LOADER if any("loader_threads" in way for way in choice) else _STEPS
        cost = (1 + len(choice)) * _ROUNDS * (1 + count) * once
        if cost > left:
            continue
        left -= cost
        others = [replace(hardware, **way) for way in choice]
        rounds = [[seconds(on, count) for on in (hardware, *others)] for _ in range(_ROUNDS)]
        gains = [[one[0] / one[1 + at] for one in rounds] for at in range(len(choice))]
        best = max(range(len(choice)), key=lambda at: statistics.median(gains[at]))
        for at, (way, gain) in enumerate(zip(choice, gains, strict=True)):
            taken = at == best and min(gain) > 1 and statistics.median(gain) > _GAIN
            ending = ", taken" if taken else ""
            said.append(f"{_spell(way)} {statistics.median(gain):.2f} times as fast{ending}")
            hardware = others[at] if taken else hardware
    if not said:
        return hardware, ""
    return hardware, f"measured: {'; '.join(said)}; --tune off keeps the default"


class Trial:
    """Times steps of a copy of a method.

    Args:
        method: What would be trained.
        whole: The run.
        feed: Gives its batches for a way to compute.
    """

    def __init__(self, method: Method, whole: Config, feed: Callable[[Hardware], Loader]) -> None:
        self.method, self.recipe, self.feed = copy.deepcopy(method), whole.recipe, feed

    def __call__(self, hardware: Hardware, steps: int) -> float:
        """Seconds a step, of that many after one that is not timed."""
        recipe, method = self.recipe, self.method
        make_ready(method, hardware)
        optimizer = build_optimizer(recipe.optimizer, method, fixed=method.fixed_rate())
        set_learning_rate(optimizer, 0.0, peak=recipe.optimizer.peak(recipe.step_size))
        balancer = new_balancer(recipe, method, recipe.loss_weights).to(hardware.device)
        loader = self.feed(hardware)
        clip = recipe.optimizer.clip
        number = min(1 + steps, loader.steps_per_epoch)
        devices = [hardware.device] if hardware.device.startswith("cuda") else []
        with (
            torch.random.fork_rng(devices=devices),
            threads_of_torch(hardware.threads),
            closing(loader.batches(0, number)) as batches,
        ):
            step(method, next(batches), balancer, optimizer, hardware, clip)
            began = time.perf_counter()
            for batch in batches:
                step(method, batch, balancer, optimizer, hardware, clip)
            return (time.perf_counter() - began) / max(1, number - 1)


def machine() -> list[str | int]:
    """What tells machines apart that compute at different speeds."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = models[0] if models else platform.processor()
    wait = os.environ.get("OMP_WAIT_POLICY", "").lower()
    return [model, cores or 1, gpu, str(torch.__version__), wait]


def _is_busy() -> bool:
    """Whether more than half of the machine's cores have had work for a minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > max(1, (os.cpu_count() or 1) / 2)


def _spell(way: Way) -> str:
    """A way in the words of a sentence.

    Example:
        >>> _spell({"threads": 1, "loader_threads": 1}), _spell({"memory_format": "contiguous"})
        ('1 threads and 1 of the loader', 'contiguous')
    """
    if "loader_threads" not in way:
        return ", ".join(map(str, way.values()))
    return f"{way['threads']} threads and {way['loader_threads']} of the loader"


def _read(path: Path) -> dict[str, Any] | None:
    """What a calibration left behind; None if there is none or it cannot be used."""
    try:
        held = plain_from_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    sound = isinstance(held, dict) and set(held.get("chosen", ())) == set(_CHOSEN)
    return held if sound and isinstance(held.get("sentence"), str) else None
