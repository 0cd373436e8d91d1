"""What the ways that a run chooses between at its start are worth: images a second of one thread.

    .venv/bin/python benchmarks/ways.py

Precision and memory format, on the nets and batches of `step.py`. The four ways take turns, in CPU
seconds; figures are medians of images a CPU second, and their ratio to that of the default.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from step import CASES
from twofold.assembly import build_views
from twofold.balance import Weighted
from twofold.domains.image import open_data
from twofold.hardware import Hardware, Precision, detect
from twofold.loader import Loader
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.optim import build_optimizer, set_learning_rate
from twofold.preprocess import measure
from twofold.recipes import simclr
from twofold.train import make_ready, step

PRECISIONS: tuple[Precision, ...] = ("bf16", "float32")
FORMATS: tuple[Literal["channels_last", "contiguous"], ...] = ("channels_last", "contiguous")


def main() -> None:
    """Measures every way of every case and writes benchmarks/results/ways.json."""
    options = argparse.ArgumentParser()
    options.add_argument("--turns", type=int, default=7)
    turns = options.parse_args().turns
    torch.set_num_threads(1)
    plain = detect(threads=1, loader_threads=0)
    ways = [
        replace(plain, precision=precision, memory_format=layout)
        for precision, layout in itertools.product(PRECISIONS, FORMATS)
    ]
    rows = []
    for encoder, width, batch_size, steps in CASES:
        found: list[list[float]] = [[] for _ in ways]
        for _, (rates, way) in itertools.product(range(turns), zip(found, ways, strict=True)):
            rates.append(rate(encoder, width, batch_size, max(1, steps // 3), way))
        for rates, way in zip(found, ways, strict=True):
            gain = statistics.median(a / b for a, b in zip(rates, found[0], strict=True))
            row = {"encoder": encoder, "width": width, "batch_size": batch_size}
            row |= {"precision": way.precision, "memory_format": way.memory_format}
            row |= {"images_per_s": round(statistics.median(rates)), "gain": round(gain, 2)}
            rows.append(row)
            print(*row.values(), flush=True)
    result = {"torch": torch.__version__, "turns": turns, "rows": rows}
    path = Path(__file__).parent / "results" / "ways.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def rate(encoder: str, width: float, batch_size: int, steps: int, hardware: Hardware) -> float:
    """Images a CPU second of some steps on one batch, after one."""
    recipe = replace(simclr(), batch_size=batch_size)
    source = open_data("fashion-mnist").train
    loader = Loader(
        source.items,
        None,
        views=build_views(recipe, source, seed=0),
        preprocess=measure(source.items[:1000]),
        batch_size=batch_size,
        view_size=lambda step: source.height,
        device=hardware.device,
        threads=0,
        seed=0,
        layout=hardware.layout,
    )
    torch.manual_seed(0)
    network = build_encoder(
        encoder, channels=source.channels, image_size=source.height, width=width
    )
    method = Method(network, recipe.objectives)
    make_ready(method, hardware)
    optimizer = build_optimizer(recipe.optimizer, method)
    set_learning_rate(optimizer, 0.01)
    balancer, batch = Weighted(list(recipe.objectives)), loader.batch(0)
    step(method, batch, balancer, optimizer, hardware)
    began = time.process_time()
    for _ in range(steps):
        step(method, batch, balancer, optimizer, hardware)
    return batch_size * steps / (time.process_time() - began)


if __name__ == "__main__":
    main()
