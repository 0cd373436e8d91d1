"""What every method learns in the same CPU time, and lightly's on the same network and images.

    python benchmarks/methods.py [--seconds 120] [--seeds 0 1 2] [--methods simclr byol ...]
                                 [--peers lightly] [--jobs 2]

Each small recipe trains `resnet-small` on Fashion-MNIST on one thread, a process a run, for the
number of epochs that comes nearest to `--seconds` of CPU time: what an epoch costs is measured
beforehand, on a quarter of the images with the run's own mix of small and full views. The frozen
encoder is then judged by kNN and linear probe on the test images, as `twofold evaluate` does.
`--peers lightly` adds lightly's SimCLR, BYOL, SimSiam and Barlow Twins, those of them that
`--methods` names (`lightly_methods.py`, in `.venv-bench`, which `make bench` creates): they train
for the number of steps that comes nearest and meet the same judge.

Every run is written to benchmarks/results/methods.json as soon as it is done, and not done again.
Once all that were asked for are there, docs/methods.md and docs/methods.svg are drawn from them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import runs
from twofold.domains import Data, Source
from twofold.domains.image import open_data
from twofold.evaluate.features import Prepare
from twofold.folder import read_metrics, write_atomically
from twofold.networks import build_encoder
from twofold.preprocess import measure
from twofold.recipes import RECIPES
from twofold.studies.result import Estimate, estimate

RESULT = runs.ROOT / "benchmarks" / "results" / "methods.json"
PEER = runs.ROOT / ".venv-bench" / "bin" / "python"
METHODS = tuple(name for name, recipe in RECIPES.items() if recipe.__module__.endswith(".small"))
WITH_LABELS = ("sup_con", "supervised")
PEERS = {"lightly": ("simclr", "byol", "simsiam", "barlow_twins")}
BASELINES = ("raw pixels", "untrained")
PROBES = {"linear": "linear probe", "knn": "kNN"}
PART = 4  # one image in so many serves to measure what an epoch costs
PEER_STEPS = 24  # steps that measure what a step of a peer costs
COLOURS = {"linear": "#3b82c4", "knn": "#d9772b"}


class Work(NamedTuple):
    """What one process does; the first three make it the same run."""

    method: str
    """A recipe, `PEER RECIPE` or a baseline."""
    seed: int = 0
    seconds: float = 0.0
    """The budget."""
    length: int | None = None
    """Epochs, or steps of a peer; to measure what one costs if None."""


def carry_out(work: Work) -> dict[str, Any]:
    """The record of one run, or what a method costs: `once`, and `each` epoch or step."""
    torch.set_num_threads(1)
    data = open_data("fashion-mnist")
    name, _, peer_method = work.method.partition(" ")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        if name in PEERS:
            return carry_out_peer(work, peer_method, data, folder)
        if work.length is None:
            return cost(work.method, data, folder)
        if work.method in BASELINES:
            return runs.judge(*baseline(work, data.train), data, work.seed)
        run, seconds = runs.pretrain(
            work.method, data, folder / "run", epochs=work.length, seed=work.seed
        )
        encoder = run.encoder()
        found = runs.judge(encoder.backbone, encoder.preprocess, data, work.seed)
        return {"epochs": work.length, "cpu_seconds": round(seconds, 1), **found}


def cost(recipe: str, data: Data, folder: Path) -> dict[str, float]:
    """CPU seconds of an epoch of all images, and of what a run does once, from runs on a part.

    The views change size after a share of the steps, so each of the runs has both in proportion.
    """
    part = runs.part(data, len(data.train) // PART)
    seconds, steps = [], []
    for number, epochs in enumerate((1, 1, 3)):  # the first also pays what a process pays once
        run, spent = runs.pretrain(recipe, part, folder / str(number), epochs=epochs)
        seconds.append(spent)
        steps.append(read_metrics(run.folder)[-1]["step"])
    step = (seconds[2] - seconds[1]) / (steps[2] - steps[1])
    return {
        "each": step * steps[0] * len(data.train) / len(part.train),
        "once": max(0.0, seconds[0] - step * steps[0]),
    }


def carry_out_peer(work: Work, method: str, data: Data, folder: Path) -> dict[str, Any]:
    """The same for lightly: it trains in an environment of its own and is judged in this one."""
    train = data.train
    images = np.moveaxis(np.asarray(train.items), 1, -1)
    np.save(folder / "images.npy", images[..., 0] if train.channels == 1 else images)
    found = {
        "--images": folder / "images.npy",
        "--steps": work.length or PEER_STEPS,
        "--seed": work.seed,
        "--precision": runs.precision(),
        "--out": folder / "encoder.pt",
    }
    script = Path(__file__).with_name("lightly_methods.py")
    command = [PEER, script, method, *(part for pair in found.items() for part in pair)]
    command += [] if work.length else ["--calibrate"]
    environment = {**os.environ, "PYTHONPATH": str(runs.ROOT / "src")}
    spent = json.loads(runs.answer([str(part) for part in command], environment))
    if work.length is None:
        return {"each": spent["seconds"] / PEER_STEPS, "once": 0.0}
    encoder = build_encoder(runs.ENCODER, channels=train.channels, image_size=train.height)
    encoder.load_state_dict(torch.load(folder / "encoder.pt", weights_only=True))
    return {
        "epochs": round(spent["epochs"], 2),
        "cpu_seconds": round(spent["seconds"], 1),
        "lightly": spent["lightly"],
        **runs.judge(encoder, measure(train.items), data, work.seed),
    }


def baseline(work: Work, train: Source) -> tuple[nn.Module, Prepare]:
    """What there is to beat: pixels as they are, or the network before it is trained."""
    preprocess = measure(train.items)
    if work.method == "raw pixels":
        return nn.Flatten(), preprocess.unit
    torch.manual_seed(work.seed)
    return build_encoder(runs.ENCODER, channels=train.channels, image_size=train.height), preprocess


class Results:
    """`methods.json`: what was measured so far."""

    def __init__(self) -> None:
        empty = {"torch": torch.__version__, "precision": runs.precision(), "costs": {}, "runs": []}
        self.all: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else empty

    @property
    def done(self) -> dict[tuple[str, int, float], dict[str, Any]]:
        """The runs by what they are."""
        return {(run["method"], run["seed"], run["seconds"]): run for run in self.all["runs"]}

    def add(self, work: Work, found: dict[str, Any]) -> None:
        """Takes in what `work` found and writes it down."""
        if work.length is None:
            self.all["costs"][work.method] = found
        else:
            run = {"method": work.method, "seed": work.seed, "seconds": work.seconds, **found}
            self.all["runs"].append(run)
            shown = ", ".join(f"{probe} {run[probe]['value']:.4f}" for probe in PROBES)
            epochs, spent = run.get("epochs", 0), run.get("cpu_seconds", 0)
            print(
                f"{work.method:20} seed {work.seed}: {shown}; {epochs} epochs, {spent} CPU s",
                flush=True,
            )
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(RESULT, (json.dumps(self.all, indent=1) + "\n").encode())

    def measure(self, works: Iterable[Work], jobs: int) -> int:
        """Carries out `works`, `jobs` at a time, and returns how many failed."""
        failures = 0
        for work, found in runs.in_processes(__file__, works, jobs):
            if found is None:
                failures += 1
                print(f"{work.method}: failed", flush=True)
            else:
                self.add(work, found)
        return failures

    def length(self, method: str, seconds: float) -> int:
        """Epochs, or steps of a peer, that come nearest to a budget."""
        found = self.all["costs"][method]
        return max(1, round((seconds - found["once"]) / found["each"]))


class Row(NamedTuple):
    """A method over its seeds."""

    method: str
    linear: Estimate
    knn: Estimate
    epochs: float
    cpu_seconds: float

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.method}, with labels" if self.method in WITH_LABELS else self.method


def summarise(method: str, found: Sequence[dict[str, Any]]) -> Row:
    """Means and intervals of a method's runs."""
    linear, near = (estimate([run[probe] for run in found]) for probe in PROBES)
    epochs, seconds = (
        float(np.mean([run.get(field, 0) for run in found])) for field in ("epochs", "cpu_seconds")
    )
    return Row(method, linear, near, epochs, seconds)


def describe(rows: Sequence[Row], seconds: float, about: dict[str, Any]) -> str:
    """The text of docs/methods.md."""
    lines = [
        "# The methods at an equal budget",
        "",
        f"Every method trained `{runs.ENCODER}` on Fashion-MNIST for about {seconds:g} CPU "
        "seconds on one thread, views included, and the frozen features were judged on the 10,000 "
        "test images. Lengths were fitted to costs measured beforehand; the last column says what "
        "runs took. Settings were chosen on training images. Of the 60,000 training "
        "images twofold holds out 1,200 for its online kNN and trains on the others; lightly "
        "trained on all. Probes learn from all 60,000.",
        "",
        "| method | linear probe, % | kNN (k = 20), % | epochs | CPU seconds |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = map(runs.percent, row[1:3])
        spent = (f"{row.epochs:.3g}", f"{row.cpu_seconds:.0f}") if row.epochs else ("", "")
        lines.append(f"| {' | '.join((row.name, *cells, *spent))} |")
    bases: dict[str, list[str]] = {}
    for row in rows:
        bases.setdefault(row.linear.basis, []).append(row.name)
    common = max(bases, key=lambda basis: len(bases[basis]))
    others = "".join(f"; of {', '.join(n)}: {b}" for b, n in bases.items() if b != common)
    lines += [
        "",
        "![Linear probe and kNN of every method, with intervals](methods.svg)",
        "",
        f"Sorted by linear probe. 95 % intervals: {common}{others}. CPU, {about['precision']}, "
        f"torch {about['torch']}; figures of single runs are in `benchmarks/results/methods.json`.",
    ]
    if any(row.method.startswith("lightly ") for row in rows):
        lines += [
            "",
            "lightly 1.6.0 got the same network, images, batch size, precision and CPU time, "
            "augmentation included, and heads of the same widths. Its transforms, losses and "
            "optimiser are those of its own CIFAR-10 script, not chosen for this data or so short "
            "a time, as twofold's are; `benchmarks/lightly_methods.py` says what was changed. "
            "Rendering whole batches and starting with views of half the size is what lets "
            "twofold see more images.",
        ]
    lines += ["", "Written by `benchmarks/methods.py`.", ""]
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """A dot and an interval for each method and probe, the best on top."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.36 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    for shift, (probe, words) in zip((-0.13, 0.13), PROBES.items(), strict=True):
        found = 100 * np.array([getattr(row, probe)[:3] for row in rows])
        mean, low, high = found.T
        axes.errorbar(
            mean,
            np.arange(len(rows)) + shift,
            xerr=(mean - low, high - mean),
            fmt="o",
            markersize=4.5,
            capsize=2,
            color=COLOURS[probe],
            label=words,
        )
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on the test images, %")
    runs.plain(axes)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, labelcolor=runs.INK)
    runs.save(figure, path)


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120.0, help="CPU seconds of a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--peers", nargs="*", choices=[*PEERS], default=[])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--docs", type=Path, default=runs.ROOT / "docs", help="folder of the page")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(carry_out(Work(*json.loads(options.work)))))
        return
    if options.peers and not PEER.exists():
        sys.exit("lightly cannot be measured: .venv-bench is missing; `make bench` creates it")
    methods = [*options.methods]
    methods += [
        f"{peer} {name}" for peer in options.peers for name in PEERS[peer] if name in methods
    ]
    results = Results()
    unknown = [Work(name) for name in methods if name not in results.all["costs"]]
    failed = results.measure(unknown, options.jobs)
    wanted = [Work("raw pixels", length=0)]
    wanted += [Work("untrained", seed, length=0) for seed in options.seeds]
    for seed in options.seeds:
        for name in filter(results.all["costs"].__contains__, methods):
            length = results.length(name, options.seconds)
            wanted.append(Work(name, seed, options.seconds, length))
    failed += results.measure((w for w in wanted if w[:3] not in results.done), options.jobs)
    if failed:
        sys.exit(f"{failed} failed; the same command tries them again")
    rows = [
        summarise(name, [results.done[w[:3]] for w in wanted if w.method == name])
        for name in (*BASELINES, *methods)
    ]
    rows.sort(key=lambda row: -row.linear.mean)
    draw(rows, options.docs / "methods.svg")
    text = describe(rows, options.seconds, results.all)
    runs.write_page(text, options.docs / "methods.md")


if __name__ == "__main__":
    main()
