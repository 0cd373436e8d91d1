"""End-to-end training speed against its limits: steps on a batch that never changes, and bare ones.

    .venv/bin/python benchmarks/step.py

Three ways run in turn in one process (A B C A B C ...), in CPU seconds of one thread and the
precision that a run would choose: steps of a run, batches and all; the same steps on one batch; and
on one batch no more than the encoder, the loss, its gradient and the update. The first ratio says
what drawing, rendering and loading views cost, the second what else a run does at each step as
well: balancing, and looking whether all is finite. 1 would be nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from twofold.assembly import build_views
from twofold.balance import Weighted
from twofold.domains.image import open_data
from twofold.hardware import Hardware, detect
from twofold.loader import Loader
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.objectives import Batch
from twofold.optim import build_optimizer, set_learning_rate
from twofold.preprocess import measure
from twofold.recipes import simclr
from twofold.train import step

CASES = (  # encoder, width, batch size, steps a turn
    ("resnet-small", 1.0, 256, 12),
    ("resnet18", 0.25, 128, 8),
    ("resnet18", 1.0, 64, 3),
)


def main() -> None:
    """Measures every case, prints a table and writes it to benchmarks/results/step.json."""
    options = argparse.ArgumentParser()
    options.add_argument("--turns", type=int, default=7)
    turns = options.parse_args().turns
    hardware = detect(threads=1, loader_threads=0)
    torch.set_num_threads(1)
    rows = []
    for encoder, width, batch_size, steps in CASES:
        run, static, bare = rates(encoder, width, batch_size, steps, hardware, turns)
        row = {"encoder": encoder, "width": width, "batch_size": batch_size}
        row |= {"end_to_end": round(statistics.median(run))}
        row |= {"static": round(statistics.median(static)), "bare": round(statistics.median(bare))}
        row |= {"ratio": _ratio(run, static), "ratio_to_bare": _ratio(run, bare)}
        rows.append(row)
        print(*(f"{name} {value}" for name, value in row.items()), sep=", ", flush=True)
    result = {"hardware": vars(hardware), "torch": torch.__version__, "turns": turns, "rows": rows}
    path = Path(__file__).parent / "results" / "step.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def _ratio(rates: list[float], limits: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(rates, limits, strict=True)), 3)


def rates(
    encoder: str, width: float, batch_size: int, steps: int, hardware: Hardware, turns: int
) -> tuple[list[float], ...]:
    """Images per CPU second of every turn: of a run, on a static batch, and bare."""
    recipe = replace(simclr(), batch_size=batch_size)
    source = open_data("fashion-mnist").train
    loader = Loader(
        source.items,
        None,
        views=build_views(recipe, source, seed=0),
        preprocess=measure(source.items),
        batch_size=batch_size,
        view_size=lambda step: source.height,
        device=hardware.device,
        threads=hardware.loader_threads,
        seed=0,
    )
    torch.manual_seed(0)
    network = build_encoder(
        encoder, channels=source.channels, image_size=source.height, width=width
    )
    method = Method(network, recipe.objectives)
    method.to(hardware.device, memory_format=torch.channels_last)
    optimizer = build_optimizer(recipe.optimizer, method)
    set_learning_rate(optimizer, 0.01)
    balancer = Weighted(list(recipe.objectives)).to(hardware.device)

    def full(batch: Batch) -> None:
        step(method, batch, balancer, optimizer, hardware)

    def bare(batch: Batch) -> None:
        with hardware.autocast():
            losses = method(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    def turn(batches: Iterator[Batch], one_step: Callable[[Batch], None]) -> float:
        one_step(next(batches))
        began = time.process_time()
        for batch in itertools.islice(batches, steps):
            one_step(batch)
        return batch_size * steps / (time.process_time() - began)

    found: tuple[list[float], ...] = ([], [], [])
    for number in range(turns):
        first = number * (steps + 1)
        same = itertools.repeat(loader.batch(first))
        found[0].append(turn(loader.batches(first, first + steps + 1), full))
        found[1].append(turn(same, full))
        found[2].append(turn(same, bare))
    return found


if __name__ == "__main__":
    main()
