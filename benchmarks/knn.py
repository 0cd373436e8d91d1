"""Classification by nearest neighbours against lightly's, one thread each: the speed, the answers.

    OMP_NUM_THREADS=1 python benchmarks/knn.py [--run runs/demo]

A bank of 50 000 features, 200 neighbours, temperature 0.1, 4096 queries. Both start from features
as an encoder gives them, on the CPU; both normalise them. lightly classifies 1024 queries at a
time, where it is fastest. Rounds alternate, so that whatever else the machine does touches both;
the medians and the median of the ratios are printed and written to benchmarks/results/knn.json.
Where the two predict different classes, their scores in float64 are compared: in a tie, which is
a difference below 1e-5 of the score, rounding decides, and everything else fails.

The features of the last case are those of Fashion-MNIST by the encoder of a run, which `make demo`
trains. lightly runs in `.venv-bench` (made by `make bench`), in a process of its own that this file
starts with `--lightly`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "knn.json"
PEER = ROOT / ".venv-bench" / "bin" / "python"
ROUNDS = 7
BANK, QUERIES, DIM = 50_000, 4096, 512
K, TEMPERATURE = 200, 0.1
LIGHTLY_BATCH = 1024
TIE = 1e-5
CASES = {  # name: kind of features, classes
    "random, 10 classes": ("random", 10),
    "random, 100 classes": ("random", 100),
    "clusters, 100 classes": ("clusters", 100),
    "positive, 10 classes": ("positive", 10),
    "positive, 100 classes": ("positive", 100),
    "Fashion-MNIST, 10 classes": ("images", 10),
}


def make(kind: str, classes: int, run: Path) -> dict[str, np.ndarray]:
    """Bank, labels and queries of a case."""
    if kind == "images":
        return encode(run)
    draw = np.random.default_rng(0)
    groups = draw.integers(0, 100, BANK + QUERIES)
    if kind == "random":
        features = draw.standard_normal((BANK + QUERIES, DIM))
    elif kind == "clusters":
        features = draw.standard_normal((100, DIM))[groups]
        features = features + draw.standard_normal(features.shape)
    else:  # of 32 hidden dimensions, after a ReLU: the mean cosine is .76
        hidden = draw.standard_normal((100, 32))[groups]
        hidden = hidden + 0.7 * draw.standard_normal(hidden.shape)
        features = 2 + hidden @ draw.standard_normal((32, DIM)) / 6
        features = np.maximum(features + 0.3 * draw.standard_normal(features.shape), 0)
    bank, queries = np.split(features.astype(np.float32), [BANK])
    return {"bank": bank, "labels": groups[:BANK] % classes, "queries": queries}


def encode(run: Path) -> dict[str, np.ndarray]:
    """Features of Fashion-MNIST: of training images for the bank, of test images as queries."""
    import twofold
    from twofold.domains.image import open_data
    from twofold.evaluate import features

    data, encoder = open_data("fashion-mnist"), twofold.load(run)
    bank, queries = (
        features(encoder, items, encoder.preprocess, precision="bf16").numpy()
        for items in (data.train.items[:BANK], data.test.items[:QUERIES])
    )
    return {"bank": bank, "labels": np.asarray(data.train.labels[:BANK]), "queries": queries}


def read(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Bank, labels and queries of the case in that file."""
    with np.load(path) as arrays:
        bank, labels, queries = (
            torch.from_numpy(arrays[name]) for name in ("bank", "labels", "queries")
        )
    return bank, labels, queries


def with_twofold(path: Path, classes: int) -> Callable[[], Tensor]:
    """What predicts the class of every query."""
    from twofold.evaluate import knn

    bank, labels, queries = read(path)
    return lambda: knn(bank, labels, queries, k=K, temperature=TEMPERATURE, num_classes=classes)


def with_lightly(path: Path, classes: int) -> Callable[[], Tensor]:
    """What predicts the class of every query."""
    from lightly.utils.benchmarking.knn import knn_predict

    bank, labels, queries = read(path)

    def run() -> Tensor:
        normalised, batches = F.normalize(bank).T, F.normalize(queries).split(LIGHTLY_BATCH)
        predicted = [knn_predict(q, normalised, labels, classes, K, TEMPERATURE) for q in batches]
        return torch.cat(predicted)[:, 0]

    return run


def timed(run: Callable[[], Tensor]) -> tuple[float, list[int]]:
    """CPU microseconds per query, and the predictions."""
    start = time.process_time()
    predicted = run()
    return (time.process_time() - start) / len(predicted) * 1e6, predicted.tolist()


def serve_lightly() -> None:
    """Answers each file and number of classes on standard input with a round."""
    runs: dict[str, Callable[[], Tensor]] = {}
    for line in sys.stdin:
        if line not in runs:
            path, classes = json.loads(line)
            runs = {line: with_lightly(Path(path), classes)}
        print(json.dumps(timed(runs[line])), flush=True)


def margin(path: Path, classes: int, query: int, first: int, second: int) -> float:
    """How far the scores of two classes are apart in float64, in parts of the first's."""
    bank, labels, queries = read(path)
    similarity = F.normalize(bank.double()) @ F.normalize(queries[query].double(), dim=0)
    nearest = similarity.topk(K)
    votes = (nearest.values / TEMPERATURE).exp()
    scores = votes.new_zeros(classes).index_add_(0, labels[nearest.indices], votes)
    return float((scores[first] - scores[second]).abs() / scores[first])


def measure(path: Path, classes: int, peer: subprocess.Popen[str] | None) -> dict[str, float]:
    """Medians of alternating rounds, and what the predictions have in common."""
    run = with_twofold(path, classes)
    own, other, mine, theirs = [], [], [], []
    for _ in range(ROUNDS + 1):
        seconds, mine = timed(run)
        own.append(seconds)
        if peer and peer.stdin and peer.stdout:
            print(json.dumps([str(path), classes]), file=peer.stdin, flush=True)
            seconds, theirs = json.loads(peer.stdout.readline())
            other.append(seconds)
    figures = {"twofold": statistics.median(own[1:])}  # the first round is the warming-up
    if peer:
        different = [(i, a, b) for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
        for query, first, second in different:
            apart = margin(path, classes, query, first, second)
            assert apart < TIE, f"query {query}: {first} and {second} are no tie ({apart:.2g})"
        ratios = [b / a for a, b in zip(own[1:], other[1:], strict=True)]
        figures |= {"lightly": statistics.median(other[1:]), "ratio": statistics.median(ratios)}
        figures["different"] = len(different)
    return figures


def main() -> None:
    """Measures every case, prints the table and writes the result."""
    torch.set_num_threads(1)
    if "--lightly" in sys.argv:
        serve_lightly()
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "demo")
    options = parser.parse_args()
    peer = None
    if PEER.exists():
        command = [str(PEER), __file__, "--lightly"]
        peer = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    else:
        print("lightly is not measured: .venv-bench is missing; `make bench` creates it")
    figures = {}
    for case, (kind, classes) in CASES.items():
        if kind == "images" and not options.run.exists():
            print(f"{case} is not measured: {options.run} is missing; `make demo` trains it")
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.npz"
            np.savez(path, **make(kind, classes, options.run))
            figures[case] = {"dim": read(path)[0].shape[1], **measure(path, classes, peer)}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures[case].items())
        print(f"{case:28}{shown}", flush=True)
    if peer:
        peer.communicate()
    about = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "bank": BANK,
        "queries": QUERIES,
        "k": K,
        "temperature": TEMPERATURE,
        "rounds": ROUNDS,
        "load": os.getloadavg()[0],
        "note": "The machine was shared; CPU time of one thread, rounds interleaved.",
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({**about, "microseconds_per_query": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
