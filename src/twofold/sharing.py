"""Runs that several processes share: begun by all of them, each with a part of its machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from twofold.allocation import keep_memory
from twofold.config import Config
from twofold.distributed import of_first, own_device, together, world_size
from twofold.hardware import Hardware, detect
from twofold.train import Outcome

Begin = TypeVar("Begin", bound=Callable[..., Outcome])
"""Begins a run of a configuration in a folder, or goes on with it."""


def by_all(begin: Begin) -> Begin:
    """Lets all processes of `torchrun` begin a run together; without it, as it is."""

    @wraps(begin)
    def begin_together(whole: Config, folder: Path, **given: Any) -> Outcome:
        keep_memory()
        with together(f"`twofold {whole.command} --resume {folder}` goes on"):
            return begin(whole, folder, **given)

    return cast(Begin, begin_together)


def find_hardware(whole: Config) -> Hardware:
    """What the run computes on; a resumed run computes as it began.

    On another number of processes it takes what device and threads there are for each.
    """
    settings = whole.settings
    begun = Hardware(**whole.found["hardware"]) if "hardware" in whole.found else None
    if begun is not None and begun.processes == world_size():
        return replace(begun, device=own_device(begun.device))
    found = detect(
        device=settings.device,
        precision=settings.precision if begun is None else begun.precision,
        threads=settings.threads,
        loader_threads=settings.loader_threads,
    )
    agreed = of_first(lambda: begun or found)
    return replace(
        found,
        device=own_device(found.device),
        precision=agreed.precision,
        memory_format=agreed.memory_format,
    )
