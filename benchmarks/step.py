"""End-to-end training speed against its limit: the same steps on a batch that never changes.

    .venv/bin/python benchmarks/step.py

Both run in turn in one process (A B A B ...), with the threads and precision a run would choose.
The ratio says what drawing, rendering and loading views cost; 1 would be nothing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

import itertools
import json
import statistics
import time
from collections.abc import Iterator
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

CASES = (("resnet-small", 256, 30), ("resnet18", 64, 6))  # encoder, batch size, steps a turn
TURNS = 7


def main() -> None:
    """Measures every case, prints a table and writes it to benchmarks/results/step.json."""
    hardware = detect()
    torch.set_num_threads(hardware.threads)
    rows = []
    for encoder, batch_size, steps in CASES:
        end_to_end, static = rates(encoder, batch_size, steps, hardware)
        ratio = statistics.median(a / b for a, b in zip(end_to_end, static, strict=True))
        rows.append(
            {
                "encoder": encoder,
                "batch_size": batch_size,
                "end_to_end": round(statistics.median(end_to_end)),
                "static": round(statistics.median(static)),
                "ratio": round(ratio, 3),
            }
        )
        words = (
            "{encoder:14} batch {batch_size:4}: {end_to_end} of {static} images/s, ratio {ratio}"
        )
        print(words.format(**rows[-1]))
    result = {"hardware": vars(hardware), "torch": torch.__version__, "turns": TURNS, "rows": rows}
    path = Path(__file__).parent / "results" / "step.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def rates(
    encoder: str, batch_size: int, steps: int, hardware: Hardware
) -> tuple[list[float], list[float]]:
    """Images per second of every turn, end to end and on a static batch."""
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
    network = build_encoder(encoder, channels=source.channels, image_size=source.height)
    method = Method(network, recipe.objectives)
    method.to(hardware.device, memory_format=torch.channels_last)
    optimizer = build_optimizer(recipe.optimizer, method)
    set_learning_rate(optimizer, 0.01)
    balancer = Weighted(list(recipe.objectives)).to(hardware.device)

    def turn(batches: Iterator[Batch]) -> float:
        step(method, next(batches), balancer, optimizer, hardware)
        began = time.perf_counter()
        for batch in itertools.islice(batches, steps):
            step(method, batch, balancer, optimizer, hardware)
        return batch_size * steps / (time.perf_counter() - began)

    end_to_end, static = [], []
    for number in range(TURNS):
        first = number * steps
        batches = loader.batches(first, first + 2 * steps)  # as many prepared as used, to the end
        end_to_end.append(turn(batches))
        batches.close()
        static.append(turn(itertools.repeat(loader.batch(first))))
    return end_to_end, static


if __name__ == "__main__":
    main()
