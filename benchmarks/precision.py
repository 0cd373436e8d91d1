"""bf16 against float32: the accuracy of equal full runs, and what they cost.

    .venv/bin/python benchmarks/precision.py [--epochs 2] [--seeds 3]

Both precisions train the README's three-minute recipe on Fashion-MNIST from the same seeds; the
frozen encoders are then judged in float32 on the official test images.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

import twofold
from twofold.domains.image import open_data
from twofold.evaluate import accuracy, features, knn


def main() -> None:
    """Trains every seed in both precisions, prints a table and writes it as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        for precision in ("bf16", "float32"):
            rows.append(
                {"precision": precision, "seed": seed, **run(precision, seed, options.epochs)}
            )
            print("{precision:8} seed {seed}: kNN {knn:.4f}, {seconds:.0f} s".format(**rows[-1]))
    for precision in ("bf16", "float32"):
        values = [row["knn"] for row in rows if row["precision"] == precision]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(f"{precision:8} mean {statistics.mean(values):.4f}, deviation {spread:.4f}")
    result = {"epochs": options.epochs, "torch": torch.__version__, "rows": rows}
    path = Path(__file__).parent / "results" / "precision.json"
    path.write_text(json.dumps(result, indent=2) + "\n")


def run(precision: str, seed: int, epochs: int) -> dict[str, object]:
    """kNN accuracy on the test images after one run, with its interval, and its wall time."""
    data = open_data("fashion-mnist")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        trained = twofold.pretrain(
            "simclr",
            data="fashion-mnist",
            out=Path(folder) / "run",
            encoder="resnet-small",
            epochs=epochs,
            seed=seed,
            precision=precision,
            monitor_every=epochs,
            quiet=True,
        )
        seconds = time.perf_counter() - began
        encoder = trained.encoder()
    bank, queries = (
        features(encoder.backbone, part.items, encoder.preprocess)
        for part in (data.train, data.test)
    )
    figure = accuracy(knn(bank, data.train.labels, queries), data.test.labels)
    return {"knn": figure["value"], "ci95": figure["ci95"], "seconds": seconds}


if __name__ == "__main__":
    main()
