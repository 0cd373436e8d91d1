"""Compares the figures of `retrieval` with those of pytorch-metric-learning.

    PYTHONPATH=src .venv-bench/bin/python benchmarks/retrieval.py

AccuracyCalculator of pytorch-metric-learning (2.8.1 was used) computes precision at 1, R-precision
and mean average precision at R of the same features of length 1, with neighbours that it finds by
its own `CustomKNN` and its cosine similarity. Queries search one another, or a bank. The features
are noise, or classes of different sizes that overlap. Prints both figures and the largest
difference, and the seconds that each library takes.
"""

from __future__ import annotations

import argparse
import time
from importlib.metadata import version

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from torch import Tensor

from twofold.evaluate import retrieval

NAMES = {
    "r@1": "precision_at_1",
    "r_precision": "r_precision",
    "map@r": "mean_average_precision_at_r",
}


def build_features(spread: float, items: int, dim: int) -> tuple[Tensor, Tensor]:
    """Ten classes, the largest nineteen times the smallest, centres `spread` deviations wide."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.linspace(0.1, 1.9, 10)
    labels = torch.multinomial(shares, items, replacement=True, generator=generator)
    centres = spread * torch.randn(10, dim, generator=generator)
    return centres[labels] + torch.randn(items, dim, generator=generator), labels


def theirs(parts: tuple[Tensor, ...]) -> dict[str, float]:
    """Figures of pytorch-metric-learning by their names here."""
    calculator = AccuracyCalculator(
        include=tuple(NAMES.values()),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    found = calculator.get_accuracy(*parts)
    return {ours: found[name] for ours, name in NAMES.items()}


def main() -> None:
    """Compare on noise and on classes, within one set and against a bank."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--dim", type=int, default=128)
    options = parser.parse_args()
    print(f"pytorch-metric-learning {version('pytorch-metric-learning')}")
    largest = 0.0
    for kind, spread in (("noise", 0.0), ("classes", 0.3)):
        features, labels = build_features(spread, options.items, options.dim)
        half = options.items // 2
        for case, parts in (
            ("within one set", (features, labels)),
            ("against a bank", (features[:half], labels[:half], features[half:], labels[half:])),
        ):
            start = time.perf_counter()
            ours = retrieval(*parts).figures
            middle = time.perf_counter()
            other = theirs(parts)
            seconds = middle - start, time.perf_counter() - middle
            for name, expected in other.items():
                largest = max(largest, abs(ours[name]["value"] - expected))
                print(f"{kind}, {case}: {name} {ours[name]['value']:.6f}, theirs {expected:.6f}")
            print(f"{kind}, {case}: {seconds[0]:.2f} s, theirs {seconds[1]:.2f} s")
    print(f"largest difference {largest:.1e}")


if __name__ == "__main__":
    main()
