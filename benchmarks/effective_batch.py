"""What batches in parts cost: time per item against plain steps, and memory.

    python benchmarks/effective_batch.py

Time is that of one thread, in float32 and without threads that load: every kind of step in turn,
so that whatever else the machine does touches all; the median of the rounds' ratios. Each figure
of memory is the growth of the peak of a process of its own over what it held before the first
step. What is measured goes to benchmarks/results/effective_batch.json as it comes, and the same
command goes on; the table goes into docs/how_to/large_batches.md in the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from runs import ROOT, Results, carry_out_here, table
from twofold.assembly import build_views
from twofold.balance import Weighted
from twofold.domains import Source
from twofold.hardware import Hardware
from twofold.loader import Feed, InParts, Loader
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.networks.names import BatchNorm
from twofold.optim import build_optimizer, set_learning_rate
from twofold.preprocess import measure
from twofold.recipes import simclr
from twofold.train import step

COSTS = (("resnet-small", 28, 1, 128, 512),)
"""Encoder, size and channels of the images, items of a part and of a step."""
MEMORY = (("plain", 256), ("plain", 1024), ("group", 256), ("group", 1024), ("group", 4096))
PART = 64  # of those
ROUNDS = 5
HARDWARE = Hardware(device="cpu", precision="float32", threads=1, loader_threads=0)
BEGUN, ENDED = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    """Measures what is missing, and writes the table."""
    parser = argparse.ArgumentParser()
    kept = ROOT / "benchmarks" / "results" / "effective_batch.json"
    parser.add_argument("--results", type=Path, default=kept, help="file of what is measured")
    page = ROOT / "docs" / "how_to" / "large_batches.md"
    parser.add_argument("--page", type=Path, default=page, help="page that has the table")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, *rest = json.loads(options.work)
        carry_out_here(partial({"cost": cost, "memory": memory}[kind], *rest))
        return
    results = Results(options.results)
    works = [("cost", *case) for case in COSTS] + [("memory", *case) for case in MEMORY]
    results.measure(__file__, works, jobs=1)
    write_table(results, options.page)


class Training:
    """A SimCLR that takes steps of any kind on random images."""

    def __init__(self, encoder: str, size: int, channels: int, items: int) -> None:
        shape = (items, channels, size, size)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        self.source = Source(name="random", items=images, ids=list(map(str, range(items))))
        self.recipe, self.size = simclr(), size
        torch.manual_seed(0)
        network = build_encoder(encoder, channels=channels, image_size=size)
        self.method = Method(network, self.recipe.objectives)
        self.method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(self.recipe.optimizer, self.method)
        set_learning_rate(self.optimizer, 0.01)
        self.balancer = Weighted(list(self.recipe.objectives))

    def plain(self, batch_size: int) -> Loader:
        """Batches that are encoded as a whole."""
        return self._loader(batch_size, 1)

    def in_parts(self, part: int, whole: int, batch_norm: BatchNorm) -> InParts:
        """Batches of `whole` items of which `part` are encoded at a time."""
        return InParts(self._loader(part, whole // part), whole // part, batch_norm)

    def take(self, feed: Feed, steps: int) -> None:
        """As many steps."""
        for batch in feed.batches(0, steps):
            step(self.method, batch, self.balancer, self.optimizer, HARDWARE)

    def _loader(self, batch_size: int, multiple: int) -> Loader:
        return Loader(
            self.source.items,
            None,
            views=build_views(self.recipe, self.source, seed=0),
            preprocess=measure(self.source.items),
            batch_size=batch_size,
            view_size=lambda part: self.size,
            device="cpu",
            threads=0,
            seed=0,
            multiple=multiple,
        )


def cost(encoder: str, size: int, channels: int, part: int, whole: int) -> dict[str, Any]:
    """Milliseconds an item, and the ratios to a plain step of either size."""
    training = Training(encoder, size, channels, whole)
    kinds: dict[str, tuple[Feed, int]] = {
        "plain, part": (training.plain(part), whole // part),
        "plain, whole": (training.plain(whole), 1),
    }
    kinds |= {name: (training.in_parts(part, whole, name), 1) for name in get_args(BatchNorm)}
    rounds = [
        {name: seconds(partial(training.take, *kind)) / whole for name, kind in kinds.items()}
        for _ in range(ROUNDS + 1)
    ][1:]
    found: dict[str, Any] = {
        name: round(1000 * statistics.median(one[name] for one in rounds), 3) for name in kinds
    }
    for base in ("part", "whole"):
        found[f"times {base}"] = {
            name: round(statistics.median(one[name] / one[f"plain, {base}"] for one in rounds), 3)
            for name in get_args(BatchNorm)
        }
    return found


def memory(kind: str, whole: int) -> dict[str, Any]:
    """MiB that two steps of resnet-small take at most, beside what a step of two items takes."""
    training = Training("resnet-small", 28, 1, whole)
    training.take(training.plain(2), 1)
    before = peak()
    training.take(training.plain(whole) if kind == "plain" else _parts(training, whole), 1)
    return {"mib": round((peak() - before) / 1024)}


def _parts(training: Training, whole: int) -> InParts:
    return training.in_parts(PART, whole, "group")


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def peak() -> int:
    """KiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write_table(results: Results, page: Path) -> None:
    """Puts what was measured between the marks of the page."""
    rows = []
    for case in COSTS:
        encoder, size, channels, part, whole = case
        found = results.done[("cost", *case)]
        for name in get_args(BatchNorm):
            times = [f"{found[f'times {base}'][name]:.2f}" for base in ("part", "whole")]
            rows.append(
                [f"{encoder}, {channels}x{size}x{size}", f"{whole} by {part}", name, *times]
            )
    head = ("encoder", "step", "batch_norm", "times a plain step of the part", "of the whole")
    mib = {case: results.done[("memory", *case)]["mib"] for case in MEMORY}
    held = [[kind, str(whole), f"{mib[kind, whole]:,} MiB"] for kind, whole in MEMORY]
    lines = [
        BEGUN,
        "",
        *table(head, rows),
        "",
        *table(
            ("resnet-small, 1x28x28", "items a step", f"memory of a step, parts of {PART}"), held
        ),
        "",
        f"`python benchmarks/effective_batch.py`: one thread, float32, torch {torch.__version__}.",
        "",
        ENDED,
    ]
    text = page.read_text()
    before, after = text.split(BEGUN)[0], text.split(ENDED)[1]
    page.write_text(before + "\n".join(lines) + after)


if __name__ == "__main__":
    main()
