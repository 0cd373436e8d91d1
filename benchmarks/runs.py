"""What benchmarks of whole runs share: processes on one thread, results that last, figures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import twofold
from twofold.domains import Data
from twofold.evaluate import accuracy, features, knn, linear_probe
from twofold.evaluate.features import Prepare
from twofold.evaluate.intervals import t_figure
from twofold.folder import read_metrics, write_atomically
from twofold.hardware import detect
from twofold.recipes import Recipe
from twofold.studies.result import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
ENCODER = "resnet-small"
INK, GRID = "#7a7a7a", "#7a7a7a44"  # legible on white and on black
SERIES = ("#3b82c4", "#d9772b", "#3a9a6a", "#c2518f", "#8a6fd1", "#a8892c")


def part(data: Data, images: int) -> Data:
    """`data` with that many training items, evenly spaced."""
    index = np.linspace(0, len(data.train) - 1, min(images, len(data.train))).astype(np.int64)
    return dataclasses.replace(data, train=data.train.take(index))


def pretrain(
    recipe: str | Recipe,
    data: Data,
    folder: Path,
    *,
    epochs: int,
    seed: int = 0,
    encoder: str = ENCODER,
    **changes: Any,
) -> tuple[twofold.Run, float]:
    """A finished run on one thread and the CPU seconds of all that it did."""
    began = time.process_time()
    run = twofold.pretrain(
        recipe,
        data=data,
        out=folder,
        encoder=encoder,
        epochs=epochs,
        seed=seed,
        threads=1,
        loader_threads=0,
        monitor_every=epochs,
        quiet=True,
        **changes,
    )
    if read_metrics(run.folder)[-1]["kind"] != "end":
        sys.exit(f"{recipe} was stopped")
    return run, time.process_time() - began


def judge(encoder: nn.Module, prepare: Prepare, data: Data, seed: int) -> dict[str, Any]:
    """kNN and linear accuracy on the test images, of which the training has seen none."""
    train, test = (features(encoder, half.items, prepare) for half in (data.train, data.test))
    predictions = {
        "knn": knn(train, data.train.labels, test),
        "linear": linear_probe(train, data.train.labels, test, seed=seed).predictions,
    }
    return {probe: accuracy(found, data.test.labels) for probe, found in predictions.items()}


def answer(command: Sequence[str], environment: dict[str, str]) -> str:
    """The last line that a command prints; it says itself what goes wrong."""
    done = subprocess.run(command, env=environment, stdout=-1, text=True, check=True)
    return done.stdout.splitlines()[-1]


def in_processes(
    script: str, works: Iterable[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[Any, Any]]:
    """Carries out each of `works` by `script --work` in a process of its own, on one thread.

    Yields each with its answer as soon as it is done, None if it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {}
        for work in works:
            command = [sys.executable, script, "--work", json.dumps(work)]
            waiting[pool.submit(answer, command, environment)] = work
        try:
            for future in as_completed(waiting):
                try:
                    yield waiting[future], json.loads(future.result())
                except subprocess.CalledProcessError:
                    yield waiting[future], None
        except KeyboardInterrupt:
            sys.exit("stopped; the same command goes on")
        finally:
            pool.shutdown(cancel_futures=True)


class Results:
    """What was measured so far, by what it was the measurement of; kept in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        empty = {"torch": torch.__version__, "precision": precision(), "runs": []}
        self.all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else empty
        self.done = {tuple(run["work"]): run["found"] for run in self.all["runs"]}

    def measure(self, script: str, works: Iterable[tuple[Any, ...]], jobs: int) -> None:
        """Carries out those of `works` that are not there yet, and writes each down when done."""
        failures, now, kept = 0, precision(), self.all["precision"]
        missing = [work for work in dict.fromkeys(works) if work not in self.done]
        for work, found in in_processes(script, missing, jobs):
            if found is None:
                failures += 1
                print(*work, "failed", flush=True)
                continue
            self.done[work] = found
            run = {"work": work, "found": found}
            self.all["runs"].append(run | ({"precision": now} if now != kept else {}))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, (json.dumps(self.all, indent=1) + "\n").encode())
            print(*work, f"{found['cpu_seconds']} CPU s", flush=True)
        if failures:
            sys.exit(f"{failures} failed; the same command tries them again")

    @property
    def made_by(self) -> str:
        """What computed them, and what it cost."""
        minutes = sum(run["found"]["cpu_seconds"] for run in self.all["runs"]) / 60
        computed = self.all["precision"]
        others = [run["precision"] for run in self.all["runs"] if "precision" in run]
        if others:
            computed += f" ({len(others)} of {len(self.all['runs'])} in {', '.join({*others})})"
        return f"CPU, {computed}, torch {self.all['torch']}, {minutes:.3g} CPU minutes"


def precision() -> str:
    """What runs on one thread of this computer compute in."""
    return detect(device="cpu", threads=1).precision


def arguments(name: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of runs on part of the images have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000, help="training images of a run")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    kept = ROOT / "benchmarks" / "results" / f"{name}.json"
    parser.add_argument("--results", type=Path, default=kept, help="file of what is measured")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the page")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser


def carry_out_here(work: Callable[[], dict[str, Any]]) -> None:
    """Prints what `work` finds on one thread, with the CPU seconds of this process."""
    torch.set_num_threads(1)
    found = work()
    print(json.dumps({**found, "cpu_seconds": round(time.process_time(), 1)}))


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the margin of its 95 % interval, `t(0.975, n - 1) s / √n`; 0 for one seed."""
    if len(values) == 1:
        return float(values[0]), 0.0
    found = t_figure(torch.tensor(values, dtype=torch.float64))
    return found["value"], found["ci95"][1] - found["value"]


def write_page(text: str, path: Path) -> None:
    """Writes a page and prints it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def percent(found: Estimate) -> str:
    """A mean and its interval."""
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def plain(axes: Axes) -> None:
    """Leaves of the frame of a chart only lines to read values by."""
    axes.grid(axis="x", color=GRID)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, length=0)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG, the same bytes every time."""
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "twofold"}):
        figure.savefig(path, transparent=True, metadata={"Date": None})
